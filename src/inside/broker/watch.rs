//! What the broker looks at all placed threads for, again and again, and which of them it then puts back.

use crate::affinity::direct;
use crate::affinity::scan::View;
use crate::affinity::threads::Threads;
use crate::state::entries;
use crate::sys::sched::Mask;
use pinning::status_page::State;
use pinning::{CpuSet, Manager, Policy, Tid};
use std::sync::atomic::Ordering;

/// What the broker looks at all placed threads for, again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// It does not.
    No,
    /// To hold each on its set (`PIN_WATCH`): so many seconds apart.
    ForThreads(u32),
    /// Under a manager: to put back those whose CPUs were offline.
    ForOnlineCpus,
}

/// Seconds between two looks which CPUs are online.
const ONLINE_SECONDS: u32 = 5;

impl Watch {
    pub(super) fn of(policy: &Policy) -> Self {
        match (policy.watch(), policy.manager()) {
            (Some(seconds), _) => Self::ForThreads(seconds),
            (None, Some(Manager::Libvirt)) => Self::ForOnlineCpus,
            (None, None) => Self::No,
        }
    }

    pub(super) fn seconds(self) -> Option<u32> {
        match self {
            Self::No => None,
            Self::ForThreads(seconds) => Some(seconds),
            Self::ForOnlineCpus => Some(ONLINE_SECONDS),
        }
    }
}

/// Whether nobody means a thread to be where it is: it could not be placed, or it has its set and more, as the kernel
/// gives it to one that has lost all its CPUs. Who moves a thread away names other CPUs.
pub(super) fn is_not_meant<T: Threads>(view: &View<'_, T>, tid: Tid, set: &CpuSet) -> bool {
    let has_failed = entries::entry_of(view.page, tid).is_some_and(|entry| {
        let state = entry.state.load(Ordering::Acquire);
        state == State::Cut as u8 || state == State::Refused as u8
    });
    let has_more = |mask: Mask| direct::is_within(set.words(), mask.words());
    has_failed || view.threads.affinity(tid).is_ok_and(has_more)
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use crate::testing::policy;

    #[test]
    fn the_users_wish_goes_before_what_a_manager_needs() {
        let of = |more: &[(&str, &str)]| Watch::of(&policy(&[&[("PIN_CPUS", "0")], more].concat())).seconds();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("PIN_MANAGER", "libvirt")]), Some(super::ONLINE_SECONDS));
        assert_eq!(of(&[("PIN_WATCH", "60")]), Some(60));
        assert_eq!(of(&[("PIN_WATCH", "60"), ("PIN_MANAGER", "libvirt")]), Some(60));
    }
}
