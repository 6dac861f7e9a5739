//! What is left to do until every vCPU has entered KVM_RUN for the first time.
//!
//! There are two such things. Each vCPU puts itself back on its set before its own first KVM_RUN, and the
//! first of them also rescans all threads, before the guest's first instruction. While that vCPU is in the
//! first KVM_RUN of all, where the kernel makes a thread in the process, the ioctls of other threads look for
//! that thread.
//!
//! Every VM exit to user space is an ioctl, so all of it is counted in one word, and an ioctl that has
//! nothing to do costs one load of that word. The accesses are relaxed, since no other memory is read because
//! of what the word says.

use crate::state::current::CurrentThread;
use std::sync::atomic::{AtomicU32, Ordering};

/// The one of this process.
pub(crate) static FIRST_RUN: FirstRun = FirstRun::new();

/// The unit of the upper half of [`FirstRun::due`].
const ONE_LOOK: u32 = 0x1_0000;
/// How often other threads look for the kernel's thread during the first KVM_RUN. Where there is one, the
/// first look after its creation finds it; where there is none (an older kernel, an Arm host), no look finds
/// anything.
const LOOKS: u32 = 16 * ONE_LOOK;

// The states of the rescan before the first KVM_RUN.
const NOT_BEGUN: u32 = 0;
const UNDER_WAY: u32 = 1;
const DONE: u32 = 2;

/// The vCPUs that have not run yet, the looks for the kernel's thread that are left, and the rescan.
pub(crate) struct FirstRun {
    /// In the lower half, the vCPUs that have not entered KVM_RUN; in the upper half, the looks that are left.
    due: AtomicU32,
    /// Whether all threads were rescanned.
    rescan: AtomicU32,
}

impl FirstRun {
    /// No vCPU yet, no look, and no rescan.
    pub(crate) const fn new() -> Self {
        Self { due: AtomicU32::new(0), rescan: AtomicU32::new(NOT_BEGUN) }
    }

    /// Whether a look for a kernel thread is due.
    #[inline(always)]
    pub(crate) fn kernel_thread_is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) >= ONE_LOOK
    }

    /// Whether such a look is due, or some vCPU has not entered KVM_RUN yet.
    #[inline(always)]
    pub(crate) fn something_is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) != 0
    }

    /// The calling thread, `current`, is a vCPU that has not entered KVM_RUN yet.
    pub(crate) fn vcpu_arrives(&self, current: &mut CurrentThread) {
        self.due.fetch_add(1, Ordering::Relaxed);
        current.before_first_run = true;
    }

    /// The calling thread, `current`, is about to enter KVM_RUN. True if it is a vCPU that does so for the
    /// first time.
    pub(crate) fn vcpu_enters(&self, current: &mut CurrentThread) -> bool {
        let first = current.before_first_run;
        if first {
            current.before_first_run = false;
            self.due.fetch_sub(1, Ordering::Relaxed);
        }
        first
    }

    /// The calling thread, `current`, ends. It may be a vCPU that never entered KVM_RUN.
    pub(crate) fn vcpu_ends(&self, current: &CurrentThread) {
        if current.before_first_run {
            self.due.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// True for the first caller alone: it is to rescan all threads, and then to call [`FirstRun::end_rescan`].
    pub(crate) fn begin_rescan(&self) -> bool {
        self.rescan.compare_exchange(NOT_BEGUN, UNDER_WAY, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// All threads were rescanned.
    pub(crate) fn end_rescan(&self) {
        self.rescan.store(DONE, Ordering::Release);
    }

    /// Whether some vCPU is rescanning. The guest's first instruction may be any vCPU's, so all of them wait
    /// for it.
    pub(crate) fn rescan_is_under_way(&self) -> bool {
        self.rescan.load(Ordering::Acquire) == UNDER_WAY
    }

    /// The first KVM_RUN of all begins: from now on other threads look for the kernel's thread.
    pub(crate) fn begin_looks(&self) {
        self.due.fetch_add(LOOKS, Ordering::Relaxed);
    }

    /// Takes one of the looks that are left; false if none is.
    pub(crate) fn take_look(&self) -> bool {
        let one_less = |due: u32| due.checked_sub(ONE_LOOK);
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// The first KVM_RUN of all has returned: no more looks are due.
    pub(crate) fn end_looks(&self) {
        self.due.fetch_and(ONE_LOOK - 1, Ordering::Relaxed);
    }
}
