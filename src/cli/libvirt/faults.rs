//! What is wrong with a domain's pinning, in so many lines: whoever wrote the XML must not fill a log with
//! them, nor the memory.

use crate::output::text::{count, cut};
use std::fmt;

/// So many faults are kept; of the others only the number.
const KEPT: usize = 12;

/// So many characters of one fault are kept.
const CHARACTERS: usize = 400;

/// Faults, each a sentence without a full stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    kept: Vec<String>,
    more: usize,
}

impl Faults {
    /// Adds a fault.
    pub(crate) fn add(&mut self, fault: impl fmt::Display) {
        if self.kept.len() == KEPT {
            self.more = self.more.saturating_add(1);
            return;
        }
        self.kept.push(cut(&fault.to_string(), CHARACTERS).into_owned());
    }

    /// Adds faults, after those that there are.
    pub(crate) fn extend(&mut self, faults: impl IntoIterator<Item = impl fmt::Display>) {
        faults.into_iter().for_each(|fault| self.add(fault));
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// One line for each that was kept, and one that counts the others.
    pub(crate) fn lines(&self) -> Vec<String> {
        let rest = (self.more > 0).then(|| format!("and {}", count(self.more, "more fault")));
        self.kept.iter().cloned().chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_faults_are_a_few_lines() {
        let mut faults = Faults::default();
        assert!(faults.is_empty() && faults.lines().is_empty());
        faults.extend((0..KEPT).map(|number| format!("fault {number}")));
        assert_eq!(faults.lines().len(), KEPT);
        faults.add("x".repeat(1 << 20));
        assert_eq!(faults.lines().last().unwrap(), "and 1 more fault");
        faults.extend((0..1_000_000).map(|_| "x"));
        assert_eq!(faults.lines().len(), KEPT + 1);
        assert_eq!(faults.lines().last().unwrap(), "and 1000001 more faults");
    }

    #[test]
    fn a_long_fault_is_cut_at_a_whole_character() {
        let mut faults = Faults::default();
        faults.add("é".repeat(5000));
        assert_eq!(faults.lines(), [format!("{}…", "é".repeat(CHARACTERS))]);
        assert_eq!(cut("short", 5), "short");
    }
}
