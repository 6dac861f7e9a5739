//! What a target tells the program that it becomes by execve(2), if that is a target too.
//!
//! A wrapper may have QEMU's name and become QEMU (NixOS's do). The library then acts in the same process twice. The
//! second time it would take the set of the first time for the affinity that QEMU was started with, and say every fault again.
//! So the first time leaves a variable in its environment. The pid and the start time say whether it is this process's
//! own, and not one that a child has inherited.

use crate::hash::fnv1a;
use pinning::status_page::{ClassState, ClassWord};
use pinning::{Class, CpuSet, same_cpus};
use std::fmt::{self, Display};

/// The variable's name.
pub(crate) const VARIABLE: &str = "PINSHIM_EXEC";

/// What the variable says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecChain {
    /// The process.
    pub(crate) pid: i32,
    /// When it was started (the 22nd field of proc_pid_stat(5)).
    pub(crate) started: u64,
    /// The affinity that it was started with.
    pub(crate) start: CpuSet,
    /// The affinity that the library gave it then.
    pub(crate) placed: CpuSet,
    /// The scheduling class that it was started with; `None` where nobody has looked.
    pub(crate) start_class: Option<Class>,
    /// The one that the library gave it then.
    pub(crate) given_class: Option<Class>,
    /// A hash of the faults that were said; 0 where there were none.
    pub(crate) said: u64,
}

impl ExecChain {
    /// What the variable's value says, if it is about the process with this id and start time.
    pub(crate) fn parse(text: &str, pid: i32, started: u64) -> Option<Self> {
        let mut fields = text.split(':');
        let mut field = || fields.next();
        let chain = Self {
            pid: field()?.parse().ok()?,
            started: field()?.parse().ok()?,
            start: cpus(field()?)?,
            placed: cpus(field()?)?,
            start_class: class(field()?)?,
            given_class: class(field()?)?,
            said: u64::from_str_radix(field()?, 16).ok()?,
        };
        (fields.next().is_none() && (chain.pid, chain.started) == (pid, started)).then_some(chain)
    }

    /// The scheduling class that the process was started with, where it has the class `now`: as for [`ExecChain::start`].
    pub(crate) fn start_class(&self, now: Class) -> Class {
        let is_ours = self.given_class.is_some_and(|given| given.is_met_by(now));
        self.start_class.filter(|_| is_ours).unwrap_or(now)
    }

    /// The affinity that the process was started with, where its affinity is `now`. If that is not what the library gave it,
    /// somebody has set it since (taskset), and means it.
    pub(crate) fn start(self, now: CpuSet) -> CpuSet {
        if same_cpus(now.words(), self.placed.words()) { self.start } else { now }
    }
}

impl Display for ExecChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, started, start, placed, start_class, given_class, said } = self;
        let word = |class: &Option<Class>| {
            class.map_or(0, |class| ClassWord { class, state: ClassState::Given }.to_word())
        };
        let (start_class, given_class) = (word(start_class), word(given_class));
        write!(f, "{pid}:{started}:{start}:{placed}:{start_class:x}:{given_class:x}:{said:x}")
    }
}

/// The set in a field. The empty one, which the text of a set cannot say, stands where an affinity could not be read.
fn cpus(text: &str) -> Option<CpuSet> {
    let none = CpuSet::new();
    if text == none.to_string() { Some(none) } else { CpuSet::parse(text, &none).ok() }
}

/// The class that a field names; `None` for a field that makes no sense.
fn class(text: &str) -> Option<Option<Class>> {
    let word = u64::from_str_radix(text, 16).ok()?;
    if word == 0 { Some(None) } else { ClassWord::from_word(word).map(|word| Some(word.class)) }
}

/// The hash of some lines; 0 where there are none.
pub(crate) fn hash_of(lines: &str) -> u64 {
    if lines.is_empty() { 0 } else { fnv1a(lines.bytes()) }
}

#[cfg(test)]
mod tests {
    use super::{ExecChain, hash_of};
    use pinning::{Class, CpuSet};
    use proptest::prelude::*;

    fn chain(start: &[u64], placed: &[u64], said: u64) -> ExecChain {
        let (start, placed) = (CpuSet::from_words(start), CpuSet::from_words(placed));
        let start_class =
            (said % 2 == 0).then_some(Class { value: Some(-20), slice_us: 3000, ..Class::USUAL });
        ExecChain { pid: 7, started: 900, start, placed, start_class, given_class: Some(Class::USUAL), said }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            start in prop::collection::vec(any::<u64>(), 0..5), placed in prop::collection::vec(any::<u64>(), 0..5),
            said in any::<u64>(),
        ) {
            let chain = chain(&start, &placed, said);
            prop_assert_eq!(ExecChain::parse(&chain.to_string(), 7, 900), Some(chain));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f:,]{0,60}|.{0,40}") {
            let _ = ExecChain::parse(&text, 7, 900);
        }
    }

    #[test]
    fn another_process_s_word_does_not_count() {
        let text = chain(&[3], &[1], 0).to_string();
        for (pid, started) in [(8, 900), (7, 901)] {
            assert_eq!(ExecChain::parse(&text, pid, started), None);
        }
        assert_eq!(ExecChain::parse(&(text + ":"), 7, 900), None);
    }

    #[test]
    fn an_affinity_that_somebody_has_set_since_is_the_one_to_start_with() {
        let set = |word| CpuSet::from_words(&[word]);
        assert_eq!(chain(&[3], &[1], 0).start(set(1)), set(3));
        assert_eq!(chain(&[3], &[1], 0).start(set(2)), set(2));
    }

    #[test]
    fn a_class_that_somebody_has_set_since_is_the_one_to_start_with() {
        let (chain, other) = (chain(&[3], &[1], 0), Class { value: Some(5), ..Class::USUAL });
        assert_eq!(Some(chain.start_class(Class { slice_us: 2800, ..Class::USUAL })), chain.start_class);
        assert_eq!(chain.start_class(other), other);
        assert_eq!(ExecChain { start_class: None, ..chain }.start_class(Class::USUAL), Class::USUAL);
    }

    #[test]
    fn no_lines_have_no_hash() {
        assert_eq!(hash_of(""), 0);
        assert_ne!(hash_of("a"), hash_of("b"));
    }
}
