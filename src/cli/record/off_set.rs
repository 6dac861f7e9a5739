//! Which spans of a thread are off its set.
//!
//! A thread is created on its creator's CPUs, and the library puts it on its own before its first instruction. From outside,
//! its first run may be seen elsewhere. So what a new thread runs elsewhere before it is first seen on its set counts as its
//! birth, as long as it is short. What comes later counts, however short it is.

use crate::record::recording::Span;
use pinning::CpuSet;

/// A thread places itself in microseconds; what runs longer elsewhere, in nanoseconds, is no birth.
const BIRTH: u64 = 1_000_000;

/// The spans with what is off the set marked, and how long the thread ran there. `on`: where it belongs, if that is known.
pub(crate) fn judge(mut spans: Vec<Span>, on: Option<&CpuSet>, was_born: bool) -> (Vec<Span>, u64) {
    let Some(on) = on else { return (spans, 0) };
    let first_on = spans.iter().position(|span| on.contains(span.cpu));
    let before = spans.get(..first_on.unwrap_or(0)).unwrap_or_default();
    let is_birth = was_born && before.iter().map(|span| span.ran).sum::<u64>() < BIRTH;
    let birth = if is_birth { before.len() } else { 0 };
    let mut off = 0;
    for span in spans.iter_mut().skip(birth).filter(|span| !on.contains(span.cpu)) {
        span.off = true;
        off += span.ran;
    }
    (spans, off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::spans::run;
    use crate::sys::fake::cpus;

    /// Which of these runs, each on a CPU for so many microseconds, are off the set 1, and for how long in all.
    fn off(runs: &[(u32, u64)], was_born: bool) -> (Vec<bool>, u64) {
        let spans =
            (0..).zip(runs).map(|(at, &(cpu, us))| run(at * 10_000_000, at * 10_000_000 + us * 1000, cpu));
        let (spans, off) = judge(spans.collect(), Some(&cpus("1")), was_born);
        (spans.iter().map(|span| span.off).collect(), off / 1000)
    }

    #[test]
    fn every_moment_elsewhere_is_off_the_set() {
        assert_eq!(off(&[(1, 5), (0, 1), (1, 7), (2, 3)], false), (vec![false, true, false, true], 4));
        assert_eq!(off(&[(0, 1), (1, 5)], false), (vec![true, false], 1));
    }

    #[test]
    fn what_a_new_thread_runs_before_it_is_on_its_set_is_its_birth() {
        assert_eq!(off(&[(0, 900), (1, 5), (0, 1)], true), (vec![false, false, true], 1));
        assert_eq!(off(&[(0, 400), (2, 400), (1, 5)], true), (vec![false, false, false], 0));
        // That long it takes nobody.
        assert_eq!(off(&[(0, 400), (2, 600), (1, 5)], true), (vec![true, true, false], 1000));
        // It never comes there.
        assert_eq!(off(&[(0, 1)], true), (vec![true], 1));
    }

    #[test]
    fn where_nothing_says_where_it_belongs_nothing_is_off() {
        let spans = vec![run(0, 5, 7)];
        assert_eq!(judge(spans.clone(), None, false), (spans, 0));
    }
}
