//! Where workers belong: without `PIN_WORKERS`, a worker follows its home, which is the thread that it works
//! for (an IOThread or the main loop).

use crate::sys::threads::Thread;
use crate::vm::identify::{Identified, OwnedRole, Sources};
use pinning::{Policy, SetId, Tid};

/// The threads that workers may work for.
pub(crate) struct Homes {
    iothreads: Vec<IoThread>,
}

/// An IOThread.
struct IoThread {
    /// Its id here.
    outer: Tid,
    /// Its id as QEMU's process sees it itself.
    tid: Tid,
    /// Its place in the order of creation.
    order: u32,
    /// Its set in the page's own policy.
    set_on_page: Option<SetId>,
    /// Its set in the policy that decides; `None` without one.
    set: Option<SetId>,
}

/// The set of a worker's home.
pub(crate) struct Home {
    pub(crate) set: SetId,
    /// Nothing says which home it is: the main loop is assumed.
    pub(crate) is_assumed: bool,
}

impl Homes {
    /// The IOThreads among a VM's threads.
    pub(crate) fn new(threads: &[Thread], identified: &[Identified], sources: &Sources<'_>) -> Self {
        let mut iothreads: Vec<(&Thread, &Identified)> = threads
            .iter()
            .zip(identified)
            .filter(|(_, identified)| matches!(identified.role, OwnedRole::IoThread(_)))
            .collect();
        iothreads.sort_by_key(|(thread, _)| (thread.started, thread.tid));
        let iothreads = (0u32..).zip(iothreads).map(|(counted, (thread, identified))| {
            let listed = identified.listed.as_ref();
            let order = listed.and_then(|listed| listed.index).unwrap_or(counted);
            IoThread {
                outer: thread.tid,
                tid: thread.inner,
                order,
                set_on_page: listed.map(|listed| listed.set),
                set: sources.policy().map(|policy| {
                    let rule = identified.rule(policy);
                    let role = identified.role.as_role();
                    rule.unwrap_or_else(|| policy.cpus_for(role, order, policy.emulator()))
                }),
            }
        });
        Self { iothreads: iothreads.collect() }
    }

    /// An IOThread's place in the order of creation; `None` for any other thread. `tid` is the id that QEMU's
    /// process sees itself.
    pub(crate) fn order_of(&self, tid: Tid) -> Option<u32> {
        self.iothreads.iter().find(|iothread| iothread.tid == tid).map(|iothread| iothread.order)
    }

    /// The set of the thread that an io_uring worker works for: `submitter`, which is its id in the PID namespace that the
    /// host has booted with, however deep QEMU's own is (io_uring/io-wq.c). `None` if ids here are others.
    pub(crate) fn set_of_submitter(
        &self,
        submitter: u32,
        policy: &Policy,
        sources: &Sources<'_>,
    ) -> Option<SetId> {
        if sources.names_have_other_ids {
            return None;
        }
        let is_it = |iothread: &&IoThread| u32::try_from(iothread.outer.0) == Ok(submitter);
        let iothread = self.iothreads.iter().find(is_it);
        Some(iothread.and_then(|iothread| iothread.set).unwrap_or(policy.emulator()))
    }

    /// The home of one of QEMU's own workers.
    pub(crate) fn home_of(&self, worker: &Identified, policy: &Policy, sources: &Sources<'_>) -> Home {
        let emulator = policy.emulator();
        let (Some(page), Some(listed)) = (sources.page, &worker.listed) else {
            // Where every IOThread has the emulator's set, it does not matter which home it is.
            let is_assumed = self.iothreads.iter().any(|iothread| iothread.set != Some(emulator));
            return Home { set: emulator, is_assumed };
        };
        // The page names a home by its set in the page's own policy: every home with that set is possible.
        let iothreads = self.iothreads.iter().filter(|iothread| iothread.set_on_page == Some(listed.home));
        let main_loop = (page.policy.emulator() == listed.home).then_some(emulator);
        let mut possible: Vec<SetId> =
            iothreads.filter_map(|iothread| iothread.set).chain(main_loop).collect();
        possible.sort();
        possible.dedup();
        match possible.as_slice() {
            [home] => Home { set: *home, is_assumed: false },
            _ => Home { set: emulator, is_assumed: true },
        }
    }
}
