//! Which of a VM's vhost workers is which: worker N is the Nth that appeared.

use crate::sys::threads::Thread;
use crate::vm::identify::{Identified, OwnedRole};
use pinning::{KernelThread, Policy, Tid};
use std::collections::HashMap;

/// The numbers of the workers, by the id that QEMU's process sees itself. Empty where it does not matter which is which.
pub(crate) struct VhostWorkers(HashMap<Tid, u32>);

impl VhostWorkers {
    /// The workers among a VM's threads, for a policy. QEMU's library has counted those that it lists. Where it lists none,
    /// they are counted as they were started: of those that have ended nothing is known.
    pub(crate) fn new(threads: &[Thread], identified: &[Identified], policy: Option<&Policy>) -> Self {
        if !policy.is_some_and(Policy::tells_vhost_workers_apart) {
            return Self(HashMap::new());
        }
        let is_one =
            |role: &OwnedRole| matches!(role, OwnedRole::Vhost | OwnedRole::Kernel(KernelThread::Vhost));
        let mut workers: Vec<(&Thread, Option<u32>)> = threads
            .iter()
            .zip(identified)
            .filter(|(_, identified)| is_one(&identified.role))
            .map(|(thread, identified)| (thread, identified.listed.as_ref().and_then(|listed| listed.index)))
            .collect();
        workers.sort_by_key(|(thread, _)| (thread.started, thread.tid));
        let were_counted = workers.iter().any(|(_, number)| number.is_some());
        let numbered = (0u32..).zip(workers).filter_map(|(counted, (thread, number))| {
            let number = if were_counted { number } else { Some(counted) };
            Some((thread.inner, number?))
        });
        Self(numbered.collect())
    }

    /// A worker's number; `None` for any other thread, and for a worker that has none.
    pub(crate) fn number_of(&self, tid: Tid) -> Option<u32> {
        self.0.get(&tid).copied()
    }
}
