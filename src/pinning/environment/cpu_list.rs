//! The text of a set: `0-3,^2`, `0-6:2`, `all`, `0x2`.
//!
//! `1` is CPU 1 and never a mask; whatever does not read as exactly one of the forms is a mistake. Numbers are
//! bounded before anything grows with them.

use super::items::{self, Item, Separators};
use super::mistake::{Mistake, shown};
use super::range::{backwards, number, range};
use crate::cpus::{CPU_LIMIT, CpuId, CpuList, CpuSet, write_run};

/// So many runs of CPUs are named in one line; more end in an ellipsis.
const RUNS_SHOWN: usize = 8;

impl CpuSet {
    /// Reads a set in any of the ways a user may write it.
    ///
    /// Items are separated by commas or white space: `N`, `N-M`, `N-M:S` (every S-th), `all`, `^N` and
    /// `^N-M` (left out of what stands before), or a mask with its `0x`. `all` is what the word `all`
    /// stands for. Whether a CPU is available is not judged, except that one at or past [`CPU_LIMIT`]
    /// never is.
    ///
    /// # Errors
    /// Every mistake in the text, in the order of their columns; a set without a CPU is one.
    pub fn parse(text: &str, all: &CpuSet) -> Result<CpuSet, Vec<Mistake>> {
        let parsed = self::parse(text, 1, all);
        if parsed.mistakes.is_empty() { Ok(parsed.set) } else { Err(parsed.mistakes) }
    }
}

/// What a text says.
pub(crate) struct ParsedSet {
    /// What it names, whether available or not.
    pub(crate) set: CpuSet,
    /// What does not read, with CPUs at or past the limit, which no set can hold.
    pub(crate) mistakes: Vec<Mistake>,
    /// The CPUs that are not available now, item by item.
    pub(crate) absent: Vec<Mistake>,
}

/// Reads a set whose text begins in column `column` of its value. `available` limits it and is what `all`
/// stands for.
pub(crate) fn parse(text: &str, column: usize, available: &CpuSet) -> ParsedSet {
    let (items, mistakes) = items::split(text, column, Separators::CommasAndBlanks);
    let mut parsed = ParsedSet { set: CpuSet::new(), mistakes, absent: Vec::new() };
    if items::is_blank_text(text) {
        parsed.mistakes.push(
            Mistake::at(column, "the value is empty").hint("name at least one CPU or unset the variable"),
        );
        return parsed;
    }
    // Where the set became empty, if it is: at the last item that takes CPUs out.
    let mut emptied = column;
    for (at, &item) in items.iter().enumerate() {
        match term(item) {
            Ok(Term::Without(first, last)) => {
                if at == 0 {
                    parsed.mistakes.push(without_of_nothing(item));
                }
                emptied = item.column;
                parsed.set.remove_range(first, last);
            }
            Ok(Term::With(named)) => parsed.add(item, &named, available),
            Ok(Term::All) => parsed.set = parsed.set.union(available),
            Err(mistake) => parsed.mistakes.push(mistake),
        }
    }
    if parsed.mistakes.is_empty() && parsed.set.is_empty() {
        parsed.mistakes.push(Mistake::at(emptied, "the set holds no CPU").hint("name at least one"));
    }
    parsed.mistakes.sort_by_key(|mistake| mistake.column);
    parsed
}

/// Reads a set in brackets. `None` where the item is not in brackets.
pub(crate) fn parse_bracketed(item: Item<'_>, available: &CpuSet) -> Option<ParsedSet> {
    let inner = item.text.strip_prefix('[')?.strip_suffix(']')?;
    if items::is_blank_text(inner) {
        let mistake = Mistake::at(item.column, "the brackets are empty").hint("name at least one CPU");
        return Some(ParsedSet { set: CpuSet::new(), mistakes: vec![mistake], absent: Vec::new() });
    }
    Some(parse(inner, item.column + 1, available))
}

/// Reads a set that stands where several items would need brackets.
pub(crate) fn parse_unbracketed(item: Item<'_>, available: &CpuSet) -> ParsedSet {
    let mut parsed = parse(item.text, item.column, available);
    if item.text.strip_prefix('^').and_then(range).is_some_and(|(first, last)| first <= last) {
        parsed.mistakes =
            vec![without_of_nothing(item).hint(format!("did you mean [all,{}]?", shown(item.text)))];
    }
    parsed
}

impl ParsedSet {
    fn add(&mut self, item: Item<'_>, named: &Named, available: &CpuSet) {
        self.set = self.set.union(&named.set);
        let absent = named.set.difference(available);
        if absent.is_empty() && named.beyond.is_none() {
            return;
        }
        let mistake =
            Mistake::at(item.column, not_available(item, &absent, named.beyond.as_ref(), available));
        if named.beyond.is_some() { self.mistakes.push(mistake) } else { self.absent.push(mistake) }
    }
}

enum Term {
    With(Named),
    Without(CpuId, CpuId),
    All,
}

/// What one item names.
struct Named {
    /// The CPUs below the limit.
    set: CpuSet,
    /// Those at or past it.
    beyond: Option<Span>,
}

/// Every `step`-th number from `first` to `last`.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
    step: u64,
}

fn term(item: Item<'_>) -> Result<Term, Mistake> {
    if item.text == "all" {
        return Ok(Term::All);
    }
    if let Some(digits) = item.text.strip_prefix("0x") {
        return mask(digits).map(Term::With).ok_or_else(|| unreadable(item));
    }
    if let Some(text) = item.text.strip_prefix('^') {
        let (first, last) = range(text).ok_or_else(|| unreadable(item))?;
        if first > last {
            return Err(backwards(Item { text, ..item }, first, last));
        }
        return Ok(Term::Without(clamped(first), clamped(last)));
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
    Ok(Term::With(Span { first, last, step }.named()))
}

impl Span {
    fn named(self) -> Named {
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
        let beyond = Span { first: next, ..self };
        Named { set, beyond: Some(beyond).filter(|span| span.last >= limit && span.first <= span.last) }
    }

    /// The runs of neighbouring numbers.
    fn runs(self) -> impl Iterator<Item = (u64, u64)> {
        let mut next = Some(self.first);
        std::iter::from_fn(move || {
            let first = next.filter(|&first| first <= self.last)?;
            let last = if self.step == 1 { self.last } else { first };
            next = last.checked_add(self.step);
            Some((first, last))
        })
    }
}

/// The mask that hexadecimal digits spell, the last of them for CPUs 0-3.
fn mask(digits: &str) -> Option<Named> {
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
    // One CPU past the limit speaks for all of them.
    let beyond = named.difference(&set).iter().next().map(|CpuId(cpu)| u64::from(cpu));
    Some(Named { set, beyond: beyond.map(|cpu| Span { first: cpu, last: cpu, step: 1 }) })
}

fn clamped(cpu: u64) -> CpuId {
    CpuId(u32::try_from(cpu).unwrap_or(u32::MAX))
}

fn not_available(item: Item<'_>, absent: &CpuSet, beyond: Option<&Span>, available: &CpuSet) -> String {
    if beyond.is_some_and(|span| span.last == u64::MAX) {
        return format!("{} is not available here ({available})", shown(item.text));
    }
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let list = CpuList(absent.words());
    for (first, last) in list.runs().chain(beyond.into_iter().flat_map(|span| span.runs())) {
        if let Some(before) = runs.last_mut().filter(|before| before.1.checked_add(1) == Some(first)) {
            before.1 = last;
        } else if runs.len() > RUNS_SHOWN {
            break;
        } else {
            runs.push((first, last));
        }
    }
    let mut named = String::new();
    for (at, &(first, last)) in runs.iter().enumerate() {
        if at > 0 {
            named.push(',');
        }
        if at == RUNS_SHOWN {
            named.push('…');
            break;
        }
        // Writing to a String cannot fail.
        let _ = write_run(&mut named, first, last);
    }
    let single = matches!(runs.as_slice(), [(first, last)] if first == last);
    let (cpus, are) = if single { ("CPU", "is") } else { ("CPUs", "are") };
    format!("{cpus} {named} {are} not available here ({available})")
}

fn without_of_nothing(item: Item<'_>) -> Mistake {
    let what = format!("nothing stands before {} that it could be left out of", shown(item.text));
    Mistake::at(item.column, what).hint(format!("did you mean all,{}?", shown(item.text)))
}

fn unreadable(item: Item<'_>) -> Mistake {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> CpuSet {
        CpuSet::from_words(&[0b11])
    }

    #[track_caller]
    fn reads(text: &str, list: &str) {
        assert_eq!(CpuSet::parse(text, &two()).map(|set| set.to_string()), Ok(list.to_owned()), "{text}");
    }

    #[track_caller]
    fn mistakes(text: &str, column: usize, what: &str, hint: &str) {
        let mistake = Mistake::at(column, what);
        let mistake = if hint.is_empty() { mistake } else { mistake.hint(hint) };
        assert_eq!(CpuSet::parse(text, &two()), Err(vec![mistake]), "{text}");
    }

    #[test]
    fn reads_every_form() {
        reads("1", "1");
        reads("007", "7");
        reads("0-3,6", "0-3,6");
        reads(" 6 , 0-3\n", "0-3,6");
        reads("0\t1", "0-1");
        reads("0-6:2", "0,2,4,6");
        reads("1-2:9", "1");
        reads("all", "0-1");
        reads("all,^0", "1");
        reads("0-9,^2-4,3", "0-1,3,5-9");
        reads("1,^4000000000,^3-99999999999999999999", "1");
        reads("0x2", "1");
        reads("0xfF,^0", "1-7");
        reads("0x10000000000000000", "64");
        reads(&format!("0x{}1", "0".repeat(100_000)), "0");
        reads("65535", "65535");
    }

    #[test]
    fn whatever_is_no_form_is_a_mistake() {
        const FORMS: &str = "write it like 1, 0-3, 0-6:2, all,^1 or 0x3";
        for text in [
            "x", "+1", "-1", "1-", "1_0", "０", "1-2-3", "1:2", "1-2:", "1-2:x", "^", "^all", "^0x1", "0x",
            "0x1g", "0-0x3",
        ] {
            mistakes(text, 1, &format!("{text} is not a set of CPUs"), FORMS);
        }
        mistakes("1 -2", 3, "-2 is not a set of CPUs", FORMS);
        mistakes("0X2", 1, "0X2 is not a set of CPUs", "did you mean 0x2?");
        mistakes("All", 1, "All is not a set of CPUs", "did you mean all?");
        mistakes("[0,1]", 1, "[0,1] is not a set of CPUs", "brackets have no place here, did you mean 0,1?");
        mistakes("0-1:0", 1, "0-1:0 has a step of 0", "every second CPU is 0-1:2");
        mistakes("0,^3-1", 3, "the range 3-1 runs backwards", "did you mean 1-3?");
        mistakes("0,^0", 3, "the set holds no CPU", "name at least one");
    }

    #[test]
    fn what_passes_the_limit_is_not_available() {
        mistakes("65536", 1, "CPU 65536 is not available here (0-1)", "");
        mistakes("0-4000000000", 1, "CPUs 2-4000000000 are not available here (0-1)", "");
        mistakes("65534-65538:2", 1, "CPUs 65534,65536,65538 are not available here (0-1)", "");
        mistakes("99999999999999999999", 1, "99999999999999999999 is not available here (0-1)", "");
        mistakes(&format!("0x1{}", "0".repeat(16_384)), 1, "CPU 65536 is not available here (0-1)", "");
    }

    #[test]
    fn a_long_list_of_absent_cpus_is_cut() {
        let parsed = parse("0-99:2", 1, &two());
        assert_eq!(
            parsed.absent,
            [Mistake::at(1, "CPUs 2,4,6,8,10,12,14,16,… are not available here (0-1)")]
        );
    }

    #[test]
    fn every_mistake_is_reported_in_order() {
        let columns: Vec<usize> = CpuSet::parse("x,,é,3-1", &two())
            .unwrap_err()
            .iter()
            .filter_map(|mistake| mistake.column)
            .collect();
        assert_eq!(columns, [1, 3, 4, 6]);
    }
}
