//! What is to be done until every vCPU has entered KVM_RUN for the first time.
//!
//! Every VM exit to user space is an ioctl, so the question whether anything is left to be done is one load of one word.
//! Two things are. Each vCPU puts itself back on its set before its own first KVM_RUN, and the first of them rescans
//! all threads before the guest's first instruction. And while that vCPU is in the first KVM_RUN of all, where the kernel
//! makes a thread in the process, the ioctls of other threads look for it.

use crate::state::current::CurrentThread;
use std::sync::atomic::{AtomicU32, Ordering};

/// This process's.
pub(crate) static FIRST_RUN: FirstRun = FirstRun::new();

/// The unit of the upper half of [`FirstRun::due`].
const ONE_LOOK: u32 = 0x1_0000;
/// How often threads other than that vCPU look: with the kernel's thread there, the first time is enough;
/// without (an older kernel, an Arm host), no look finds anything.
const LOOKS: u32 = 16 * ONE_LOOK;

// The states of the rescan before the first KVM_RUN.
const NOT_BEGUN: u32 = 0;
const UNDER_WAY: u32 = 1;
const DONE: u32 = 2;

/// The vCPUs that have not run yet, the looks for the kernel's thread that are left, and the rescan.
pub(crate) struct FirstRun {
    /// In the lower half, the vCPUs that have not entered KVM_RUN; in the upper half, the looks that are left.
    due: AtomicU32,
    rescan: AtomicU32,
}

impl FirstRun {
    pub(crate) const fn new() -> Self {
        Self { due: AtomicU32::new(0), rescan: AtomicU32::new(NOT_BEGUN) }
    }

    /// Whether a look for a kernel thread is due.
    #[inline(always)]
    pub(crate) fn kernel_thread_is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) >= ONE_LOOK
    }

    /// Whether that is due, or some vCPU has not run yet.
    #[inline(always)]
    pub(crate) fn something_is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) != 0
    }

    /// The calling thread, `current`, is a vCPU that has yet to run.
    pub(crate) fn vcpu_arrives(&self, current: &mut CurrentThread) {
        self.due.fetch_add(1, Ordering::Relaxed);
        current.before_first_run = true;
    }

    /// The calling thread, `current`, is about to enter KVM_RUN. True the first time, for a vCPU that had arrived.
    pub(crate) fn vcpu_enters(&self, current: &mut CurrentThread) -> bool {
        let first = current.before_first_run;
        if first {
            current.before_first_run = false;
            self.due.fetch_sub(1, Ordering::Relaxed);
        }
        first
    }

    /// The calling thread, `current`, ends, perhaps without having run.
    pub(crate) fn vcpu_ends(&self, current: &CurrentThread) {
        if current.before_first_run {
            self.due.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// True for one caller, the first: it is to rescan all threads, and then to call [`FirstRun::end_rescan`].
    pub(crate) fn begin_rescan(&self) -> bool {
        self.rescan.compare_exchange(NOT_BEGUN, UNDER_WAY, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// All threads were rescanned.
    pub(crate) fn end_rescan(&self) {
        self.rescan.store(DONE, Ordering::Release);
    }

    /// Whether another vCPU is rescanning. The guest's first instruction may be any vCPU's, so they all wait for it.
    pub(crate) fn rescan_is_under_way(&self) -> bool {
        self.rescan.load(Ordering::Acquire) == UNDER_WAY
    }

    /// The first KVM_RUN of all begins: from now on the ioctls of other threads look for the kernel's thread.
    pub(crate) fn begin_looks(&self) {
        self.due.fetch_add(LOOKS, Ordering::Relaxed);
    }

    /// Takes one of the looks that are left; false if none is.
    pub(crate) fn take_look(&self) -> bool {
        let one_less = |due: u32| due.checked_sub(ONE_LOOK);
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// The first KVM_RUN of all has returned: no more looks.
    pub(crate) fn end_looks(&self) {
        self.due.fetch_and(ONE_LOOK - 1, Ordering::Relaxed);
    }
}
