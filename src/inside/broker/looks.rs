//! When the broker looks at QEMU's threads: the looks that it has planned, and how long after an event they come.
//!
//! Times are nanoseconds of the monotonic clock. The caller says what time it is.

use crate::affinity::scan::Scope;

/// How long after the creation of a thread that libvirt moves: when libvirt has moved it, and when libvirt was slow.
pub(super) const WATCH_NS: [u64; 4] = [100_000_000, 500_000_000, 2_000_000_000, 5_000_000_000];
/// A thread older than this is left alone by these looks: who moves it then is an administrator.
pub(super) const YOUNG_NS: u64 = 5_500_000_000;
/// How long after the beginning of the first KVM_RUN, in which the kernel makes a thread.
pub(super) const KERNEL_THREAD_NS: [u64; 4] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// The looks that are planned.
#[derive(Default)]
pub(super) struct Looks {
    /// When, and at which threads.
    looks: [Option<(u64, Scope)>; 32],
    /// The looks that come again and again, which no other takes the place of.
    watch: Option<Repeated>,
}

/// Looks at every placed thread, at even intervals.
struct Repeated {
    every_ns: u64,
    next: u64,
}

/// Two looks at the same threads that come closer together than this are one.
const SAME_LOOK_NS: u64 = 5_000_000;

impl Looks {
    /// No look yet; if `watch` is a number, one at every placed thread each so many seconds.
    pub(super) fn new(now: u64, watch: Option<u32>) -> Self {
        let every_ns = watch.map(|seconds| u64::from(seconds) * 1_000_000_000);
        let watch = every_ns.map(|every_ns| Repeated { every_ns, next: now.saturating_add(every_ns) });
        Self { watch, ..Self::default() }
    }

    /// Plans looks at the threads in `scope`, so many nanoseconds after `now`.
    pub(super) fn add(&mut self, now: u64, after: &[u64], scope: Scope) {
        for at in after.iter().map(|ns| now.saturating_add(*ns)) {
            let same = |look: &Option<(u64, Scope)>| {
                look.is_some_and(|(when, what)| what == scope && when >= at && when - at < SAME_LOOK_NS)
            };
            if self.looks.iter().any(same) {
                continue;
            }
            // If there is no room, this look takes the place of the latest one.
            let free = self.looks.iter().position(Option::is_none);
            let place = free.unwrap_or_else(|| {
                let latest = self.looks.iter().enumerate().max_by_key(|(_, look)| look.map(|(when, _)| when));
                latest.map_or(0, |(place, _)| place)
            });
            if let Some(look) = self.looks.get_mut(place) {
                *look = Some((at, scope));
            }
        }
    }

    /// Takes a look whose time has come off the plan; answers which threads to look at.
    pub(super) fn take(&mut self, now: u64) -> Option<Scope> {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.next <= now) {
            // From now on, so that a broker that was stopped for long does not make up for the looks that it missed.
            watch.next = now.saturating_add(watch.every_ns);
            return Some(Scope::Placed);
        }
        let due = self.looks.iter_mut().find(|look| look.is_some_and(|(when, _)| when <= now))?;
        due.take().map(|(_, scope)| scope)
    }

    /// Milliseconds until the next look; -1 if none is planned.
    pub(super) fn next_wait_ms(&self, now: u64) -> i64 {
        let planned = self.looks.iter().flatten().map(|(when, _)| *when);
        let Some(next) = planned.chain(self.watch.as_ref().map(|watch| watch.next)).min() else { return -1 };
        // Rounded up: who waits this long does not wake too early, only to wait again.
        (next.saturating_sub(now) / 1_000_000 + 1) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::{KERNEL_THREAD_NS, Looks, SAME_LOOK_NS, WATCH_NS, YOUNG_NS};
    use crate::affinity::scan::Scope;
    use proptest::prelude::*;

    const YOUNG: Scope = Scope::YoungerThan(YOUNG_NS);
    const MS: u64 = 1_000_000;

    /// The times of the looks at these threads, in order.
    fn times(looks: &Looks, scope: Scope) -> Vec<u64> {
        let of_scope = looks.looks.iter().flatten().filter(|(_, what)| *what == scope);
        let mut times: Vec<_> = of_scope.map(|(when, _)| *when).collect();
        times.sort_unstable();
        times
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Scope::KernelThreads), Just(YOUNG)]
    }

    #[test]
    fn each_look_is_taken_once_when_its_time_has_come() {
        let mut looks = Looks::default();
        assert_eq!(looks.next_wait_ms(0), -1);
        looks.add(1000 * MS, &WATCH_NS, YOUNG);
        let mut now = 1000 * MS;
        for after in WATCH_NS {
            let due = 1000 * MS + after;
            assert!(looks.take(due - 1).is_none(), "before {after}");
            assert_eq!(looks.next_wait_ms(now), ((due - now) / MS + 1) as i64);
            now = due;
            assert!(looks.take(now) == Some(YOUNG), "at {after}");
            assert!(looks.take(now).is_none(), "twice at {after}");
        }
        assert_eq!(looks.next_wait_ms(now), -1);
    }

    #[test]
    fn a_look_soon_before_another_at_the_same_threads_is_that_one() {
        for (earlier_by, one) in [(0, true), (1, true), (SAME_LOOK_NS - 1, true), (SAME_LOOK_NS, false)] {
            let mut looks = Looks::default();
            looks.add(100 * MS, &[0], YOUNG);
            looks.add(100 * MS - earlier_by, &[0], YOUNG);
            assert_eq!(times(&looks, YOUNG).len(), if one { 1 } else { 2 }, "{earlier_by}");
            assert_eq!(times(&looks, YOUNG).last(), Some(&(100 * MS)));
        }
    }

    #[test]
    fn a_look_after_another_or_at_other_threads_is_one_of_its_own() {
        let mut looks = Looks::default();
        looks.add(100 * MS, &[0], YOUNG);
        // The look at 100 ms would not see what happens after it.
        looks.add(100 * MS, &[1], YOUNG);
        looks.add(100 * MS, &[0], Scope::KernelThreads);
        assert_eq!(times(&looks, YOUNG), [100 * MS, 100 * MS + 1]);
        assert_eq!(times(&looks, Scope::KernelThreads), [100 * MS]);
    }

    #[test]
    fn a_full_table_keeps_the_last_look_that_was_asked_for() {
        let mut looks = Looks::default();
        let mut now = 0;
        for _ in 0..1000 {
            now += 10 * MS;
            looks.add(now, &WATCH_NS, YOUNG);
            // It sees every thread that this one and all the earlier ones would have seen.
            assert_eq!(times(&looks, YOUNG).last(), Some(&(now + 5_000 * MS)));
            while looks.take(now).is_some() {}
        }
        assert!(times(&looks, YOUNG).len() <= 32);
    }

    #[test]
    fn a_full_table_keeps_its_earliest_looks() {
        let mut looks = Looks::default();
        let all: Vec<_> = (1..=40).map(|i| i * 10 * MS).collect();
        looks.add(0, &all, YOUNG);
        let mut expected = all[..31].to_vec();
        expected.push(400 * MS);
        assert_eq!(times(&looks, YOUNG), expected);
    }

    #[test]
    fn the_wait_ends_after_the_time_of_the_next_look_and_at_most_a_millisecond_later() {
        for left in [0, 1, MS - 1, MS, MS + 1, 1500 * MS, 1500 * MS + 1] {
            let mut looks = Looks::default();
            looks.add(7, &[left], YOUNG);
            let wait = looks.next_wait_ms(7) as u64 * MS;
            assert!(wait > left && wait - left <= MS, "{left}: {wait}");
        }
        let mut looks = Looks::default();
        looks.add(7, &[0], YOUNG);
        for now in [8, 2 * MS, u64::MAX] {
            assert_eq!(looks.next_wait_ms(now), 1, "a look whose time is past");
        }
    }

    #[test]
    fn a_watch_comes_again_and_again_and_is_never_crowded_out() {
        const SECOND: u64 = 1000 * MS;
        let mut looks = Looks::new(SECOND, Some(2));
        assert!(looks.take(3 * SECOND - 1).is_none());
        assert_eq!(looks.next_wait_ms(2 * SECOND), 1001);
        let all: Vec<_> = (1..=40).map(|i| i * SECOND).collect();
        looks.add(100 * SECOND, &all, YOUNG);
        assert!(looks.take(3 * SECOND) == Some(Scope::Placed));
        assert!(looks.take(3 * SECOND).is_none(), "twice");
        // After a long stop there is one look, and the next comes when its time has passed.
        assert!(looks.take(90 * SECOND) == Some(Scope::Placed));
        assert!(looks.take(92 * SECOND - 1).is_none());
        assert!(looks.take(92 * SECOND) == Some(Scope::Placed));
        assert_eq!(times(&looks, YOUNG).len(), 32);
        assert!(Looks::new(0, None).take(u64::MAX).is_none());
    }

    #[test]
    fn a_time_beyond_the_clock_s_end_is_its_end() {
        let mut looks = Looks::default();
        looks.add(u64::MAX - 1, &KERNEL_THREAD_NS, Scope::KernelThreads);
        assert_eq!(times(&looks, Scope::KernelThreads), [u64::MAX]);
        assert!(looks.next_wait_ms(0) > 0);
        assert!(looks.take(u64::MAX - 1).is_none());
        assert!(looks.take(u64::MAX) == Some(Scope::KernelThreads));
    }

    proptest! {
        /// As long as there is room, whoever asked for a look at some time gets one then, or less than 5 ms later.
        #[test]
        fn every_look_that_was_asked_for_is_made(
            asked in prop::collection::vec((0..1_000 * MS, 0..1_000 * MS, scopes()), 0..32),
        ) {
            let mut looks = Looks::default();
            for (now, after, scope) in &asked {
                looks.add(*now, &[*after], *scope);
            }
            for (now, after, scope) in asked {
                let at = now + after;
                let made = times(&looks, scope).into_iter().any(|when| when >= at && when - at < SAME_LOOK_NS);
                prop_assert!(made);
            }
        }

        #[test]
        fn it_never_panics_nor_waits_in_a_circle(
            asked in prop::collection::vec((any::<u64>(), any::<[u64; 4]>(), scopes()), 0..50),
            now in any::<u64>(),
        ) {
            let mut looks = Looks::default();
            for (now, after, scope) in asked {
                looks.add(now, &after, scope);
            }
            while looks.take(now).is_some() {}
            let wait = looks.next_wait_ms(now);
            prop_assert!(wait == -1 || wait > 0);
            while looks.take(u64::MAX).is_some() {}
            prop_assert_eq!(looks.next_wait_ms(u64::MAX), -1);
        }
    }
}
