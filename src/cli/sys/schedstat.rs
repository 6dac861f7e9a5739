//! How long a thread ran and how long it waited for a CPU, in the kernel's `/proc/PID/task/TID/schedstat`.
//!
//! Three numbers (Documentation/scheduler/sched-stats.rst): the nanoseconds that it ran, the nanoseconds that it was ready to
//! run and did not, and how often it got a CPU. A wait is counted when it ends (kernel/sched/stats.h, sched_info_arrive):
//! one that is still going on is in none of them. Everyone may read it.

use std::time::Duration;

/// The three numbers at one moment, counted since the thread was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Schedstat {
    /// For how long it has run.
    pub(crate) ran: Duration,
    /// For how long it was ready to run and did not.
    pub(crate) waited: Duration,
    /// How often it got a CPU.
    pub(crate) runs: u64,
}

impl Schedstat {
    /// Reads the file's text. A kernel without CONFIG_SCHED_INFO has no such file, or one with three zeros: `None` for a thread
    /// that has run.
    pub(crate) fn parse(text: &str, has_run: bool) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (ran, waited) = (Duration::from_nanos(next()?), Duration::from_nanos(next()?));
        let stat = Self { ran, waited, runs: next()? };
        (!has_run || stat != Self::default()).then_some(stat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_numbers_are_read() {
        let stat = Schedstat::parse("244848 109741 3\n", true).unwrap();
        assert_eq!((stat.ran, stat.waited, stat.runs), (ns(244_848), ns(109_741), 3));
    }

    #[test]
    fn a_kernel_that_does_not_tell_is_not_taken_for_one_without_waits() {
        assert_eq!(Schedstat::parse("0 0 0\n", true), None);
        assert_eq!(Schedstat::parse("0 0 0\n", false), Some(Schedstat::default()));
        for text in ["", "1 2", "1 x 3", "-1 2 3"] {
            assert_eq!(Schedstat::parse(text, false), None, "{text}");
        }
    }

    fn ns(nanoseconds: u64) -> Duration {
        Duration::from_nanos(nanoseconds)
    }
}
