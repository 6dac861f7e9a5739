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
}

/// Two looks at the same threads that come closer together than this are one.
const SAME_LOOK_NS: u64 = 5_000_000;

impl Looks {
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
        let due = self.looks.iter_mut().find(|look| look.is_some_and(|(when, _)| when <= now))?;
        due.take().map(|(_, scope)| scope)
    }

    /// Milliseconds until the next look; -1 if none is planned.
    pub(super) fn next_wait_ms(&self, now: u64) -> i64 {
        let Some(next) = self.looks.iter().flatten().map(|(when, _)| *when).min() else { return -1 };
        // Rounded up: who waits this long does not wake too early, only to wait again.
        (next.saturating_sub(now) / 1_000_000 + 1) as i64
    }
}
