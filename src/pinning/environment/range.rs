//! Numbers and ranges, `N` and `N-M`: of CPUs and of vCPUs.

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

/// The number of a text of ASCII digits; `None` for any other text.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0u64, |number, c| {
        Some(number.saturating_mul(10).saturating_add(u64::from(c.to_digit(10)?)))
    })
}
