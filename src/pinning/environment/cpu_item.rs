//! One item of a cpulist, such as `0-6:2` or `^4`: what it names, or why it cannot be read.
//!
//! A number may be of any size, so every number is compared with [`CPU_LIMIT`] before a set grows with it.

use super::items::Item;
use super::mistake::{Mistake, shown};
use super::range::{backwards, leading_zero, number, range, without_leading_zeros};
use crate::cpus::{CPU_LIMIT, CpuId, CpuSet};

/// A message names the CPUs of a mask by a list of no more than so many characters.
const CPUS_SHOWN: usize = 40;

/// What one item says.
pub(crate) enum CpuItem {
    /// These CPUs are in the set.
    With(NamedCpus),
    /// The CPUs from the first to the second are not.
    Without(CpuId, CpuId),
    /// Every CPU that is available is in the set.
    All,
}

/// The CPUs that one item names.
pub(crate) struct NamedCpus {
    /// Those below [`CPU_LIMIT`].
    pub(crate) set: CpuSet,
    /// Those at or past it, which no set can hold.
    pub(crate) beyond: Option<Steps>,
}

/// Every `step`-th number from `first` to `last`.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    first: u64,
    pub(crate) last: u64,
    step: u64,
}

impl CpuItem {
    /// Reads one item.
    pub(crate) fn parse(item: Item<'_>) -> Result<Self, Mistake> {
        if item.text == "all" {
            return Ok(CpuItem::All);
        }
        if let Some(digits) = item.text.strip_prefix("0x") {
            return mask(digits).map(CpuItem::With).ok_or_else(|| unreadable(item));
        }
        if let Some(text) = item.text.strip_prefix('^') {
            let (first, last) = range(text).ok_or_else(|| unreadable(item))?;
            if first > last {
                return Err(backwards(Item { text, ..item }, first, last));
            }
            return Ok(CpuItem::Without(clamped(first), clamped(last)));
        }
        let (text, step) = match item.text.split_once(':') {
            Some((text, step)) => (text, number(step).filter(|_| text.contains('-'))),
            None => (item.text, Some(1)),
        };
        let (Some((first, last)), Some(step)) = (range(text), step) else {
            return Err(unreadable(item));
        };
        if first > last {
            return Err(backwards(Item { text, ..item }, first, last));
        }
        if step == 0 {
            let what = format!("{} has a step of 0", shown(item.text));
            return Err(Mistake::at(item.column, what).hint(format!("every second CPU is {}:2", shown(text))));
        }
        Ok(CpuItem::With(Steps { first, last, step }.below_and_beyond()))
    }
}

impl Steps {
    /// Divides the numbers into those below [`CPU_LIMIT`] and those at or past it.
    fn below_and_beyond(self) -> NamedCpus {
        let limit = u64::from(CPU_LIMIT);
        let mut set = CpuSet::new();
        if self.first < limit && self.step == 1 {
            set.insert_range(clamped(self.first), clamped(self.last.min(limit - 1)));
        }
        let mut next = self.first;
        while self.step > 1 && next < limit && next <= self.last {
            set.insert(clamped(next));
            next = next.saturating_add(self.step);
        }
        if self.step == 1 {
            next = next.max(limit);
        }
        let beyond = Steps { first: next, ..self };
        NamedCpus {
            set,
            beyond: Some(beyond).filter(|beyond| beyond.last >= limit && beyond.first <= beyond.last),
        }
    }

    /// The runs of neighbouring numbers.
    pub(crate) fn runs(self) -> impl Iterator<Item = (u64, u64)> {
        let mut next = Some(self.first);
        std::iter::from_fn(move || {
            let first = next.filter(|&first| first <= self.last)?;
            let last = if self.step == 1 { self.last } else { first };
            next = last.checked_add(self.step);
            Some((first, last))
        })
    }
}

/// The CPUs of a mask in hexadecimal digits; the last digit is for CPUs 0-3. `None` if it has other digits or
/// none.
fn mask(digits: &str) -> Option<NamedCpus> {
    if digits.is_empty() {
        return None;
    }
    let mut words = Vec::new();
    for chunk in digits.as_bytes().rchunks(16) {
        let word = chunk
            .iter()
            .try_fold(0u64, |word, &digit| Some(word << 4 | u64::from(char::from(digit).to_digit(16)?)))?;
        words.push(word);
    }
    let named = CpuSet::from_words(&words);
    let mut set = named.clone();
    set.remove_range(CpuId(CPU_LIMIT), CpuId(u32::MAX));
    // The message names one of the CPUs past the limit, which is enough.
    let beyond = named.difference(&set).iter().next().map(|CpuId(cpu)| u64::from(cpu));
    Some(NamedCpus { set, beyond: beyond.map(|cpu| Steps { first: cpu, last: cpu, step: 1 }) })
}

/// A CPU number; one too large for the type becomes the largest, which is past every limit too.
fn clamped(cpu: u64) -> CpuId {
    CpuId(u32::try_from(cpu).unwrap_or(u32::MAX))
}

/// The mistake of a text that is CPUs if it is read as a list, and others if it is read as a mask without its
/// `0x`. `list` is how the list is written, `digits` are those of the mask.
pub(crate) fn list_or_mask(item: Item<'_>, list: &str, digits: &str) -> Mistake {
    let what = format!("{} can be read in two ways", shown(item.text));
    let digits = digits.trim_start_matches('0');
    let hex = shown(digits);
    let cpus = mask(digits).map(|named| named.set.to_string()).filter(|cpus| !cpus.is_empty());
    let hint = match cpus {
        Some(cpus) if cpus.len() <= CPUS_SHOWN => {
            format!("write {list} for {}, or 0x{hex} for {}", in_words(list), in_words(&cpus))
        }
        Some(_) => format!("write {list} for {}, or 0x{hex} for the mask", in_words(list)),
        None => format!("write {list} for {}", in_words(list)),
    };
    Mistake::at(item.column, what).hint(hint)
}

/// A list of CPUs with its noun.
fn in_words(list: &str) -> String {
    let noun = if number(list).is_some() { "CPU" } else { "CPUs" };
    format!("{noun} {list}")
}

fn unreadable(item: Item<'_>) -> Mistake {
    if let Some(plain) = without_leading_zeros(item.text) {
        if number(&plain).is_some() {
            return list_or_mask(item, &shown(&plain), item.text);
        }
        if CpuItem::parse(Item { text: &plain, ..item }).is_ok() {
            return leading_zero(item, &plain);
        }
    }
    let text = shown(item.text);
    let mistake = Mistake::at(item.column, format!("{text} is not a set of CPUs"));
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return mistake.hint(format!("brackets have no place here, did you mean {inner}?"));
    }
    if let Some(digits) = text.strip_prefix("0X") {
        return mistake.hint(format!("did you mean 0x{digits}?"));
    }
    if text.eq_ignore_ascii_case("all") {
        return mistake.hint("did you mean all?");
    }
    mistake.hint("write it like 1, 0-3, 0-6:2, all,^1 or 0x3")
}
