//! Numbers and ranges, `N` and `N-M`, in the texts of CPUs and of vCPUs.

use super::items::Item;
use super::mistake::{Mistake, shown};

/// `N` or `N-M`, in whichever order. A number too large for the type stands as its maximum, which is no less
/// out of reach.
pub(crate) fn range(text: &str) -> Option<(u64, u64)> {
    match text.split_once('-') {
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => number(text).map(|only| (only, only)),
    }
}

/// The mistake of a range that runs from high to low.
pub(crate) fn backwards(item: Item<'_>, first: u64, last: u64) -> Mistake {
    let what = format!("the range {} runs backwards", shown(item.text));
    Mistake::at(item.column, what).hint(format!("did you mean {last}-{first}?"))
}

/// ASCII digits and nothing else.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0u64, |number, c| {
        Some(number.saturating_mul(10).saturating_add(u64::from(c.to_digit(10)?)))
    })
}
