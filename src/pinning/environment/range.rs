//! Numbers and ranges, `N` and `N-M`: of CPUs and of vCPUs.
//!
//! A number that begins with a zero, `01`, is none: taskset(1) and the kernel's files write masks like that, and
//! the mask `01` is CPU 0.

use super::items::Item;
use super::mistake::{Mistake, shown};

/// The numbers of `N` or `N-M`, in the order in which they are written.
///
/// A number too large for the type becomes the largest, which is past every limit too.
pub(crate) fn range(text: &str) -> Option<(u64, u64)> {
    match text.split_once('-') {
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => number(text).map(|only| (only, only)),
    }
}

/// The mistake of a range whose first number is larger than its last.
pub(crate) fn backwards(item: Item<'_>, first: u64, last: u64) -> Mistake {
    let what = format!("the range {} runs backwards", shown(item.text));
    Mistake::at(item.column, what).hint(format!("did you mean {last}-{first}?"))
}

/// The number of a text of ASCII digits; `None` for any other text, and for one with zeros before the number.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.chars().try_fold(0u64, |number, c| {
        Some(number.saturating_mul(10).saturating_add(u64::from(c.to_digit(10)?)))
    })
}

/// A number of the item begins with a zero; `plain` is the item without it.
pub(crate) fn leading_zero(item: Item<'_>, plain: &str) -> Mistake {
    let what = format!("{} has a number that begins with a zero", shown(item.text));
    Mistake::at(item.column, what).hint(format!("did you mean {}?", shown(plain)))
}

/// The text without the zeros before its numbers; `None` if there are none.
pub(crate) fn without_leading_zeros(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut in_number = false;
    while let Some(c) = rest.next() {
        let is_leading = c == '0' && !in_number && rest.peek().is_some_and(char::is_ascii_digit);
        if !is_leading {
            plain.push(c);
            in_number = c.is_ascii_digit();
        }
    }
    (plain.len() < text.len()).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_before_a_number_make_it_none() {
        assert_eq!(["0", "10", "01", "00", ""].map(number), [Some(0), Some(10), None, None, None]);
        assert_eq!(["1-2", "01-2", "1-02"].map(range), [Some((1, 2)), None, None]);
    }

    #[test]
    fn only_zeros_before_a_number_are_left_out() {
        let plain = |text| without_leading_zeros(text);
        assert_eq!(plain("00-0100:02").as_deref(), Some("0-100:2"));
        assert_eq!(["0", "100-200", "^0", "x0", ""].map(plain), [None, None, None, None, None]);
    }
}
