//! Whose workers belong where: a worker follows the thread that it works for.

use crate::sys::threads::Thread;
use crate::vm::identify::{Sources, Told, Who, policy};
use pinning::{Policy, SetId, Tid};
use std::collections::HashMap;

/// Whose workers belong where.
pub(crate) struct Homes {
    /// IOThreads in the order of their creation, by thread id.
    pub(crate) order: HashMap<Tid, u32>,
    /// Of each IOThread: its set by the page's policy and by the one that counts.
    iothreads: Vec<(Tid, Option<SetId>, SetId)>,
}

impl Homes {
    pub(crate) fn new(threads: &[Thread], told: &[Told], sources: &Sources<'_>) -> Self {
        let mut iothreads: Vec<(&Thread, &Told)> =
            threads.iter().zip(told).filter(|(_, told)| matches!(told.who, Who::IoThread(_))).collect();
        iothreads.sort_by_key(|(thread, _)| (thread.started, thread.tid));
        let order_of = |(order, (thread, told)): (u32, &(&Thread, &Told))| {
            let listed = told.listed.as_ref().and_then(|listed| listed.index);
            (thread.inner, listed.unwrap_or(order))
        };
        let order: HashMap<Tid, u32> = (0u32..).zip(&iothreads).map(order_of).collect();
        let Some(policy) = policy(sources) else { return Self { order, iothreads: Vec::new() } };
        let sets = iothreads.iter().map(|(thread, told)| {
            let order = order.get(&thread.inner).copied().unwrap_or(0);
            let rule = policy.rule_for(&told.name);
            let set = rule.unwrap_or_else(|| policy.cpus_for(told.who.role(), order, policy.emulator()));
            (thread.inner, told.listed.as_ref().map(|listed| listed.set), set)
        });
        Self { iothreads: sets.collect(), order }
    }

    /// The set of a worker's home, and whether it is only assumed.
    pub(crate) fn of_worker(&self, told: &Told, policy: &Policy, sources: &Sources<'_>) -> (SetId, bool) {
        if let Who::IoUringWorker(submitter) = told.who {
            let iothread = self.iothreads.iter().find(|(tid, ..)| *tid == submitter);
            return (iothread.map_or(policy.emulator(), |(_, _, set)| *set), false);
        }
        let (Some(page), Some(listed)) = (sources.page, &told.listed) else {
            // Every pool whose home has the emulator's set is served alike.
            return (policy.emulator(), self.iothreads.iter().any(|(_, _, set)| *set != policy.emulator()));
        };
        // The page names a home by its set in the page's own policy.
        let mut homes: Vec<SetId> = self
            .iothreads
            .iter()
            .filter(|(_, in_page, _)| *in_page == Some(listed.home))
            .map(|(_, _, set)| *set)
            .chain((page.policy.emulator() == listed.home).then_some(policy.emulator()))
            .collect();
        homes.sort();
        homes.dedup();
        match homes.as_slice() {
            [home] => (*home, false),
            _ => (policy.emulator(), true),
        }
    }
}

/// Whether `PIN_WORKERS` is unset, so that it matters whose worker a worker is.
pub(crate) fn workers_follow_home(policy: &Policy) -> bool {
    let nobodys = SetId(u16::MAX);
    policy.workers_of(nobodys) == nobodys
}
