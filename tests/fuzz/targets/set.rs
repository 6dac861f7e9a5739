//! A set of CPUs.

use super::hosts;
use crate::cost::Limit;
use pinning::{CPU_LIMIT, CpuSet, MASK_WORDS};

/// 33 mistakes of some KiB, items of 24 bytes that each take one byte of text and a comma, and a set.
const LIMIT: Limit = Limit { memory: (256 << 10, 64), allocations: (1_000, 16) };

/// A text is a set, which is the set of its own text, or has mistakes that each are one line.
pub(crate) fn run(data: &[u8]) {
    let (host, text) = hosts::choose(data);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match LIMIT.holds(text.len(), || CpuSet::parse(text, &host.available)) {
        Ok(set) => {
            assert!(!set.is_empty() && set.words().len() <= MASK_WORDS);
            assert!(set.iter().all(|cpu| cpu.0 < CPU_LIMIT && set.contains(cpu)));
            assert_eq!(set.iter().count(), set.len());
            if let Err(mistakes) =
                CpuSet::parse(&set.to_string(), &CpuSet::new()).map(|again| assert_eq!(again, set))
            {
                panic!("{set} is not read again: {mistakes:?}");
            }
        }
        Err(mistakes) => {
            assert!((1..=33).contains(&mistakes.len()));
            let columns: Vec<usize> = mistakes.iter().filter_map(|mistake| mistake.column).collect();
            assert!(columns.is_sorted());
            assert!(columns.iter().all(|column| (1..=text.chars().count() + 1).contains(column)));
            for mistake in &mistakes {
                assert!(!mistake.what.contains(char::is_control), "{mistake:?}");
                assert!(!mistake.hint.iter().any(|hint| hint.contains(char::is_control)), "{mistake:?}");
            }
        }
    }
}
