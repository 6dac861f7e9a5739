//! The text of a set, a cpulist with additions: `0-3,^2`, `0-6:2`, `all`, `0x2`.
//!
//! `1` is CPU 1 and never a mask, and a text that may be meant as one, `01` or `00000000,00000003`, is a mistake. So is
//! an item that has none of the forms exactly.

use super::cpu_item::{CpuItem, NamedCpus, Steps, list_or_mask};
use super::items::{self, Item, Separators};
use super::mistake::{self, Mistake, shown};
use super::range::{range, without_leading_zeros};
use super::variables::{MAX_VALUE_BYTES, too_long};
use crate::cpus::{CpuList, CpuSet, write_run};

/// A message names at most this many runs of CPUs; an ellipsis stands for the others.
const RUNS_SHOWN: usize = 8;

impl CpuSet {
    /// Parses a set in any of the ways a user may write it.
    ///
    /// Items are separated by commas or white space: `N`, `N-M`, `N-M:S` (every S-th), `all`, `^N` and
    /// `^N-M` (left out of the items before it), or a mask with its `0x`. `all` is what the word `all`
    /// stands for. Whether a CPU is available is not checked, except that one at or past
    /// [`CPU_LIMIT`](crate::CPU_LIMIT) never is.
    ///
    /// # Errors
    /// The mistakes in the text, in the order of their columns; a set without a CPU is one, and so is a text
    /// of more than [`MAX_VALUE_BYTES`]. Of very many mistakes the first are told.
    pub fn parse(text: &str, all: &CpuSet) -> Result<CpuSet, Vec<Mistake>> {
        if text.len() > MAX_VALUE_BYTES {
            return Err(vec![too_long()]);
        }
        let parsed = self::parse(text, 1, all);
        if parsed.mistakes.is_empty() { Ok(parsed.set) } else { Err(mistake::listed(parsed.mistakes)) }
    }
}

/// What the text of a set says.
pub(crate) struct ParsedSet {
    /// The CPUs that it names, whether available or not.
    pub(crate) set: CpuSet,
    /// What is wrong for good, by column: what cannot be read, and CPUs at or past the limit, which no set can hold.
    pub(crate) mistakes: Vec<Mistake>,
    /// The CPUs that are not available now, one message for each item that names some.
    pub(crate) absent: Vec<Mistake>,
}

/// Parses a set. Its text begins in column `column` of the variable's value. `available` is what `all` stands
/// for; a CPU outside it is absent.
pub(crate) fn parse(text: &str, column: usize, available: &CpuSet) -> ParsedSet {
    let (items, mistakes) = items::split(text, column, Separators::CommasAndBlanks);
    let mut parsed = ParsedSet { set: CpuSet::new(), mistakes, absent: Vec::new() };
    if items::is_blank_text(text) {
        parsed.mistakes.push(
            Mistake::at(column, "the value is empty").hint("name at least one CPU or unset the variable"),
        );
        return parsed;
    }
    if let Some(mistake) = mask_of_the_kernel(text, column, &items) {
        parsed.mistakes.push(mistake);
        return parsed;
    }
    // If the set is empty in the end, the message points to the last item that took CPUs out.
    let mut emptied = column;
    for (at, &item) in items.iter().enumerate() {
        if mistake::are_enough(&parsed.mistakes) {
            break;
        }
        match CpuItem::parse(item) {
            Ok(CpuItem::Without(first, last)) => {
                if at == 0 {
                    parsed.mistakes.push(without_of_nothing(item));
                }
                emptied = item.column;
                parsed.set.remove_range(first, last);
            }
            Ok(CpuItem::With(named)) => parsed.add(item, &named, available),
            Ok(CpuItem::All) => parsed.set = parsed.set.union(available),
            Err(mistake) => parsed.mistakes.push(mistake),
        }
    }
    if parsed.mistakes.is_empty() && parsed.set.is_empty() {
        parsed.mistakes.push(Mistake::at(emptied, "the set holds no CPU").hint("name at least one"));
    }
    parsed.mistakes.sort_by_key(|mistake| mistake.column);
    parsed
}

/// The mistake of a text that the kernel would write for a mask: groups of eight hexadecimal digits for 32 CPUs
/// each, as in `/proc/irq/*/smp_affinity` (bitmap_print_to_pagebuf(), lib/bitmap-str.c). With digits up to 9 alone it
/// is a list too.
fn mask_of_the_kernel(text: &str, column: usize, items: &[Item<'_>]) -> Option<Mistake> {
    let (first, groups) = items.split_first()?;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_group = |item: &Item<'_>| item.text.len() == 8 && is_hex(item.text);
    let is_first = (1..=8).contains(&first.text.len()) && is_hex(first.text);
    if groups.is_empty() || !is_first || !groups.iter().all(is_group) {
        return None;
    }
    let whole = Item { column, text: text.trim_matches(items::is_blank) };
    let digits: String = items.iter().map(|item| item.text).collect();
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    match without_leading_zeros(whole.text).filter(|_| decimal) {
        Some(list) => Some(list_or_mask(whole, &shown(&list), &digits)),
        None if decimal => None,
        None => {
            let what = format!("{} is not a set of CPUs", shown(whole.text));
            let digits = digits.trim_start_matches('0');
            Some(Mistake::at(column, what).hint(format!("did you mean the mask 0x{}?", shown(digits))))
        }
    }
}

/// Parses a set in brackets. `None` where the item is not in brackets.
pub(crate) fn parse_bracketed(item: Item<'_>, available: &CpuSet) -> Option<ParsedSet> {
    let inner = item.text.strip_prefix('[')?.strip_suffix(']')?;
    if items::is_blank_text(inner) {
        let mistake = Mistake::at(item.column, "the brackets are empty").hint("name at least one CPU");
        return Some(ParsedSet { set: CpuSet::new(), mistakes: vec![mistake], absent: Vec::new() });
    }
    Some(parse(inner, item.column + 1, available))
}

/// Parses a set that is one item without brackets, in a text where a set of several items stands in brackets.
pub(crate) fn parse_unbracketed(item: Item<'_>, available: &CpuSet) -> ParsedSet {
    let mut parsed = parse(item.text, item.column, available);
    if item.text.strip_prefix('^').and_then(range).is_some_and(|(first, last)| first <= last) {
        parsed.mistakes =
            vec![without_of_nothing(item).hint(format!("did you mean [all,{}]?", shown(item.text)))];
    }
    parsed
}

impl ParsedSet {
    /// Adds the CPUs of an item, and says which of them are not available.
    fn add(&mut self, item: Item<'_>, named: &NamedCpus, available: &CpuSet) {
        self.set = self.set.union(&named.set);
        let absent = named.set.difference(available);
        if absent.is_empty() && named.beyond.is_none() {
            return;
        }
        let mistake =
            Mistake::at(item.column, not_available(item, &absent, named.beyond.as_ref(), available));
        mistake::add(
            vec![mistake],
            if named.beyond.is_some() { &mut self.mistakes } else { &mut self.absent },
        );
    }
}

/// The message that CPUs of an item are not available: those of `absent` and those past the limit.
fn not_available(item: Item<'_>, absent: &CpuSet, beyond: Option<&Steps>, available: &CpuSet) -> String {
    let here = first_runs(CpuList(available.words()).runs());
    let here = if here.is_empty() { "none".to_owned() } else { in_words(&here) };
    if beyond.is_some_and(|beyond| beyond.last == u64::MAX) {
        return format!("{} is not available here ({here})", shown(item.text));
    }
    let list = CpuList(absent.words());
    let runs = first_runs(list.runs().chain(beyond.into_iter().flat_map(|beyond| beyond.runs())));
    let single = matches!(runs.as_slice(), [(first, last)] if first == last);
    let (cpus, are) = if single { ("CPU", "is") } else { ("CPUs", "are") };
    format!("{cpus} {} {are} not available here ({here})", in_words(&runs))
}

/// The first runs: as many as a message names, and one more if there are more. Neighbouring runs become one.
fn first_runs(all: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (first, last) in all {
        if let Some(before) = runs.last_mut().filter(|before| before.1.checked_add(1) == Some(first)) {
            before.1 = last;
        } else if runs.len() > RUNS_SHOWN {
            break;
        } else {
            runs.push((first, last));
        }
    }
    runs
}

/// Runs of CPUs as a message names them.
fn in_words(runs: &[(u64, u64)]) -> String {
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
    named
}

/// The mistake of an item `^N` before which no other item stands.
fn without_of_nothing(item: Item<'_>) -> Mistake {
    let what = format!("nothing stands before {} that it could be left out of", shown(item.text));
    Mistake::at(item.column, what).hint(format!("did you mean all,{}?", shown(item.text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> CpuSet {
        CpuSet::from_words(&[0b11])
    }

    #[track_caller]
    fn means(text: &str, list: &str) {
        assert_eq!(CpuSet::parse(text, &two()).map(|set| set.to_string()), Ok(list.to_owned()), "{text}");
    }

    #[track_caller]
    fn is_wrong(text: &str, column: usize, what: &str, hint: &str) {
        let mistake = Mistake::at(column, what);
        let mistake = if hint.is_empty() { mistake } else { mistake.hint(hint) };
        assert_eq!(CpuSet::parse(text, &two()), Err(vec![mistake]), "{text}");
    }

    #[test]
    fn every_form_is_read() {
        means("1", "1");
        means("0-3,6", "0-3,6");
        means(" 6 , 0-3\n", "0-3,6");
        means("0\t1", "0-1");
        means("0-6:2", "0,2,4,6");
        means("1-2:9", "1");
        means("all", "0-1");
        means("all,^0", "1");
        means("0-9,^2-4,3", "0-1,3,5-9");
        means("1,^4000000000,^3-99999999999999999999", "1");
        means("0x2", "1");
        means("0xfF,^0", "1-7");
        means("0x10000000000000000", "64");
        means(&format!("0x{}1", "0".repeat(100_000)), "0");
        means("8191", "8191");
    }

    #[test]
    fn a_text_of_no_form_is_a_mistake() {
        const FORMS: &str = "write it like 1, 0-3, 0-6:2, all,^1 or 0x3";
        for text in [
            "x", "+1", "-1", "1-", "1_0", "０", "1-2-3", "1:2", "1-2:", "1-2:x", "^", "^all", "^0x1", "0x",
            "0x1g", "0-0x3",
        ] {
            is_wrong(text, 1, &format!("{text} is not a set of CPUs"), FORMS);
        }
        is_wrong("1 -2", 3, "-2 is not a set of CPUs", FORMS);
        is_wrong("0X2", 1, "0X2 is not a set of CPUs", "did you mean 0x2?");
        is_wrong("All", 1, "All is not a set of CPUs", "did you mean all?");
        is_wrong("[0,1]", 1, "[0,1] is not a set of CPUs", "brackets have no place here, did you mean 0,1?");
        is_wrong("0-1:0", 1, "0-1:0 has a step of 0", "every second CPU is 0-1:2");
        is_wrong("0,^3-1", 3, "the range 3-1 runs backwards", "did you mean 1-3?");
        is_wrong("0,^0", 3, "the set holds no CPU", "name at least one");
    }

    #[test]
    fn a_text_that_may_be_a_mask_is_a_mistake_that_shows_both_readings() {
        let both =
            |text: &str, hint: &str| is_wrong(text, 1, &format!("{text} can be read in two ways"), hint);
        both("01", "write 1 for CPU 1, or 0x1 for CPU 0");
        both("010", "write 10 for CPU 10, or 0x10 for CPU 4");
        both("00", "write 0 for CPU 0");
        both("007", "write 7 for CPU 7, or 0x7 for CPUs 0-2");
        both(
            "0555555555555555555",
            "write 555555555555555555 for CPU 555555555555555555, or 0x555555555555555555 for the mask",
        );
        both("00000000,00000003", "write 0,3 for CPUs 0,3, or 0x3 for CPUs 0-1");
        both("3,00000000", "write 3,0 for CPUs 3,0, or 0x300000000 for CPUs 32-33");
        is_wrong("f,00000000", 1, "f,00000000 is not a set of CPUs", "did you mean the mask 0xf00000000?");
        is_wrong("1,01", 3, "01 can be read in two ways", "write 1 for CPU 1, or 0x1 for CPU 0");
        let zero = |text: &str, plain: &str| {
            let what = format!("{text} has a number that begins with a zero");
            is_wrong(text, 1, &what, &format!("did you mean {plain}?"));
        };
        zero("00-03", "0-3");
        zero("0-03", "0-3");
        zero("0-6:02", "0-6:2");
        is_wrong("1,^00", 3, "^00 has a number that begins with a zero", "did you mean ^0?");
        // What cannot be meant as a mask stays what it was.
        means("0", "0");
        means("0,10", "0,10");
        means("0x01", "0");
    }

    #[test]
    fn a_cpu_past_the_limit_is_not_available() {
        is_wrong("8192", 1, "CPU 8192 is not available here (0-1)", "");
        is_wrong("0-4000000000", 1, "CPUs 2-4000000000 are not available here (0-1)", "");
        is_wrong("8190-8194:2", 1, "CPUs 8190,8192,8194 are not available here (0-1)", "");
        is_wrong("99999999999999999999", 1, "99999999999999999999 is not available here (0-1)", "");
        is_wrong(&format!("0x1{}", "0".repeat(2_048)), 1, "CPU 8192 is not available here (0-1)", "");
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
