//! What holds for the whole process and is done once, as the library is loaded: the memory policy and core scheduling.
//!
//! Every later thread has both from the thread that creates it, and so have those that the kernel makes in the process.

use crate::report::targets;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::{numa, sched, thread};
use pinning::MemoryPolicy;
use pinning::status_page::AtStart;
use std::sync::atomic::Ordering;

/// Gives the calling thread, if it is the main thread, the memory policy of `PIN_MEMORY`.
pub(crate) fn take_memory_policy(shim: &Shim) {
    let Some(policy) = shim.policy.memory().filter(|_| thread::gettid().0 == thread::getpid()) else {
        return;
    };
    let result = numa::set_memory_policy(policy);
    match result {
        Ok(()) => log::info!(target: targets::MEMORY, "memory is taken by the policy {policy}"),
        Err(errno) => log::warn!(target: targets::MEMORY,
            "PIN_MEMORY={policy} is not in force: {}", WhyNot { policy, errno }
        ),
    }
    if let Some(page) = shim.page {
        page.header.memory.store(outcome(result).number(), Ordering::Relaxed);
    }
}

/// Gives the process core scheduling of its own if `PIN_CORE` says so.
pub(crate) fn take_core_cookie(shim: &Shim) {
    if !shim.policy.core_scheduling() {
        return;
    }
    let result = sched::create_core_cookie();
    match result {
        Ok(()) => log::info!(target: targets::CORE, "the VM has its cores for itself while it runs on them"),
        // No core has siblings that could be shared, or nobody could keep them apart: no fault of the user's.
        Err(Errno(libc::ENODEV)) => {
            log::info!(target: targets::CORE, "PIN_CORE=vm is not in force: the CPUs have no SMT (ENODEV)");
        }
        Err(Errno(libc::EINVAL)) => log::info!(target: targets::CORE,
            "PIN_CORE=vm is not in force: the kernel has no core scheduling (EINVAL, see CONFIG_SCHED_CORE)"
        ),
        Err(errno) => log::warn!(target: targets::CORE, "PIN_CORE=vm is not in force: {errno}"),
    }
    if let Some(page) = shim.page {
        page.header.core.store(outcome(result).number(), Ordering::Relaxed);
    }
}

fn outcome(result: Result<(), Errno>) -> AtStart {
    match result {
        Ok(()) => AtStart::Done,
        Err(Errno(errno)) => AtStart::Refused(errno),
    }
}

/// Why a memory policy was refused, in words.
struct WhyNot {
    policy: MemoryPolicy,
    errno: Errno,
}

impl std::fmt::Display for WhyNot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.errno, self.policy) {
            // set_mempolicy(2): none of the nodes is in the cpuset, or the kernel does not know the mode.
            (Errno(libc::EINVAL), MemoryPolicy::Preferred(nodes)) if nodes.len() > 1 => f.write_str(
                "none of the nodes is in the cpuset, or the kernel is older than Linux 5.15, which takes one node (EINVAL)",
            ),
            (Errno(libc::EINVAL), _) => f.write_str("none of the nodes is in the cpuset (EINVAL)"),
            (errno, _) => errno.fmt(f),
        }
    }
}
