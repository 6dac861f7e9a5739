//! When the broker looks at the threads of QEMU: the looks that are to come, and after what time.
//!
//! Times are nanoseconds of the monotonic clock. The caller says what time it is.

use crate::affinity::scan::Scope;

/// Nanoseconds after which a watched identity is looked at again: when libvirt has placed it, and when
/// libvirt was slow.
pub(super) const WATCH_NS: [u64; 4] = [100_000_000, 500_000_000, 2_000_000_000, 5_000_000_000];
/// A thread older than this is an administrator's business.
pub(super) const YOUNG_NS: u64 = 5_500_000_000;
/// The same for a thread of the kernel's in the first KVM_RUN.
pub(super) const KERNEL_THREAD_NS: [u64; 4] = [1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Looks that are to come.
#[derive(Default)]
pub(super) struct Looks {
    looks: [Option<(u64, Scope)>; 32],
}

/// Looks of one kind that fall closer together than this are one.
const SAME_LOOK_NS: u64 = 5_000_000;

impl Looks {
    /// Plans a look of this kind at each of these times after `now`.
    pub(super) fn add(&mut self, now: u64, after: &[u64], scope: Scope) {
        for at in after.iter().map(|ns| now.saturating_add(*ns)) {
            let same = |look: &Option<(u64, Scope)>| {
                look.is_some_and(|(when, what)| what == scope && when >= at && when - at < SAME_LOOK_NS)
            };
            if self.looks.iter().any(same) {
                continue;
            }
            // Full: the last look planned is put off, since a later one sees all that an earlier one would.
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

    /// Takes out a look whose time has come.
    pub(super) fn take(&mut self, now: u64) -> Option<Scope> {
        let due = self.looks.iter_mut().find(|look| look.is_some_and(|(when, _)| when <= now))?;
        due.take().map(|(_, scope)| scope)
    }

    /// Milliseconds until the next one; -1: none is planned.
    pub(super) fn next_wait_ms(&self, now: u64) -> i64 {
        let Some(next) = self.looks.iter().flatten().map(|(when, _)| *when).min() else { return -1 };
        // Rounded up, so that it does not wake before its time and turn in a circle.
        (next.saturating_sub(now) / 1_000_000 + 1) as i64
    }
}
