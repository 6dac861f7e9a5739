//! A thread's waits for a CPU: the lengths of all of them, and the longest ones with who ran instead.

use crate::record::recording::{Instead, Wait, Waits};
use hdrhistogram::Histogram;
use pinning::CpuId;

/// So many of the longest are kept.
pub(crate) const LONGEST: usize = 50;

/// Two digits of a length are kept: a histogram of three takes ten times the memory.
const DIGITS: u8 = 2;

/// Waits that come one by one.
#[derive(Debug, Clone)]
pub(crate) struct WaitList {
    lengths: Histogram<u64>,
    longest: Vec<Wait>,
    /// All of them together.
    pub(crate) total: u64,
}

/// A wait that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) preempted: bool,
}

impl Default for WaitList {
    fn default() -> Self {
        Self { lengths: lengths(), longest: Vec::new(), total: 0 }
    }
}

/// A histogram without a bound.
pub(crate) fn lengths() -> Histogram<u64> {
    #[allow(clippy::unwrap_used, reason = "the number of digits is a constant that it takes")]
    let lengths = Histogram::new(DIGITS).unwrap();
    lengths
}

impl WaitList {
    /// Adds a wait, which ended when the thread ran on this CPU. Who ran instead is asked for only if it is one of the longest.
    pub(crate) fn add(&mut self, wait: Waited, cpu: u32, instead: impl FnOnce() -> Vec<Instead>) {
        let length = wait.to.saturating_sub(wait.from);
        self.total += length;
        // It grows with what it holds.
        let _ = self.lengths.record(length);
        let is_full = self.longest.len() == LONGEST;
        if is_full && self.longest.last().is_some_and(|shortest| shortest.length >= length) {
            return;
        }
        let at = self.longest.partition_point(|other| other.length >= length);
        let (from, preempted) = (wait.from, wait.preempted);
        self.longest.insert(at, Wait { from, length, cpu: CpuId(cpu), preempted, instead: instead() });
        self.longest.truncate(LONGEST);
    }

    /// The same with moments counted from the beginning of the recording.
    pub(crate) fn finished(self, begin: u64) -> Waits {
        let since = |wait: Wait| Wait { from: wait.from.saturating_sub(begin), ..wait };
        Waits { lengths: self.lengths, longest: self.longest.into_iter().map(since).collect() }
    }
}
