//! The numbers of IOThreads: their order of creation, by which an ordered list in `PIN_IOTHREADS` goes.

use crate::hash::fnv1a;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The IOThreads of this process.
pub(crate) static IOTHREADS: Numbers = Numbers::new();

/// The order of creation of IOThreads. One that is deleted and made again with the same id keeps its number, since the id
/// is all that a user sees of it.
pub(crate) struct Numbers {
    /// A hash of the id of each; 0 in a free place.
    seen: [AtomicU64; 256],
    /// Beyond so many an id is not remembered: each gets the next number.
    beyond: AtomicU32,
}

impl Numbers {
    const fn new() -> Self {
        Self { seen: [const { AtomicU64::new(0) }; 256], beyond: AtomicU32::new(256) }
    }

    /// The number of the IOThread with this id, from 0.
    pub(crate) fn number_of(&self, id: &[u8]) -> u32 {
        let key = fnv1a(id.iter().copied());
        for (number, seen) in (0u32..).zip(&self.seen) {
            let before = seen.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
            if before.is_ok() || before == Err(key) {
                return number;
            }
        }
        self.beyond.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there was an IOThread with this id; true if there were too many to know.
    pub(crate) fn has(&self, id: &[u8]) -> bool {
        let key = fnv1a(id.iter().copied());
        let is_full = self.seen.last().is_some_and(|last| last.load(Ordering::Relaxed) != 0);
        is_full || self.seen.iter().any(|seen| seen.load(Ordering::Relaxed) == key)
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn iothreads_are_numbered_in_the_order_of_their_first_creation() {
        let numbers = Numbers::new();
        let ids: Vec<_> = (0..300).map(|number| format!("io{number}")).collect();
        for (number, id) in (0..).zip(&ids) {
            assert_eq!(numbers.number_of(id.as_bytes()), number);
        }
        assert!(numbers.has(b"io7") && numbers.has(b"nobody"), "there were too many to know");
        // Made again with the same id; where there is no room for the id each creation is a new one.
        for (number, id) in (0..256).zip(&ids) {
            assert_eq!(numbers.number_of(id.as_bytes()), number);
        }
        assert_eq!(numbers.number_of(ids[256].as_bytes()), 300);
    }

    #[test]
    fn an_id_is_there_once_it_has_a_number() {
        let numbers = Numbers::new();
        numbers.number_of(b"io1");
        assert!(numbers.has(b"io1"));
        assert!(!numbers.has(b"io2") && !numbers.has(b""));
    }
}
