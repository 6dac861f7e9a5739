//! Who the recorded threads are: what looks at the VM have shown of each.

use crate::record::recording::nanoseconds;
use crate::record::timeline::LaneId;
use crate::vm::expected::VmThread;
use pinning::{CpuSet, Policy};
use std::collections::HashMap;

/// What is known of the threads, by lane.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    known: HashMap<LaneId, Identity>,
    /// The policy as it was seen last; `None`: the VM is not pinned.
    pub(crate) policy: Option<Policy>,
}

/// A thread that was seen.
#[derive(Debug)]
pub(crate) struct Identity {
    /// As it was seen last.
    pub(crate) thread: VmThread,
    /// All CPUs that it belonged on at any time: one that is renamed may belong elsewhere from then on.
    pub(crate) allowed: Option<CpuSet>,
    /// For how long it had run and had waited when it was seen first.
    at_first: (u64, u64),
}

impl Identities {
    /// A look has read this policy.
    pub(crate) fn read(&mut self, policy: Option<Policy>) {
        self.policy = policy.or(self.policy.take());
    }

    /// A look has seen a thread.
    pub(crate) fn seen(&mut self, lane: LaneId, thread: VmThread) {
        match self.known.get_mut(&lane) {
            Some(identity) => {
                identity.allowed = match (identity.allowed.take(), &thread.expected) {
                    (Some(before), Some(now)) => Some(before.union(now)),
                    (before, now) => before.or(now.clone()),
                };
                identity.thread = thread;
            }
            None => {
                let at_first = sums(&thread).unwrap_or_default();
                let identity = Identity { allowed: thread.expected.clone(), thread, at_first };
                self.known.insert(lane, identity);
            }
        }
    }

    /// What is known of a lane's thread; `None`: no look has seen it.
    pub(crate) fn of(&self, lane: LaneId) -> Option<&Identity> {
        self.known.get(&lane)
    }

    /// How long a thread that was there at the beginning has run since, up to the last look, by the kernel's count.
    pub(crate) fn ran(&self, lane: LaneId) -> Option<u64> {
        self.known.get(&lane).and_then(|identity| Some(identity.sums(false)?.0))
    }
}

impl Identity {
    /// How long it has run and has waited up to the last look, by the kernel's count: since the first one, or if it was born
    /// in between, in all.
    pub(crate) fn sums(&self, was_born: bool) -> Option<(u64, u64)> {
        let (ran, waited) = sums(&self.thread)?;
        let before = if was_born { (0, 0) } else { self.at_first };
        Some((ran.saturating_sub(before.0), waited.saturating_sub(before.1)))
    }
}

fn sums(thread: &VmThread) -> Option<(u64, u64)> {
    let stat = thread.thread.schedstat?;
    Some((nanoseconds(stat.ran), nanoseconds(stat.waited)))
}
