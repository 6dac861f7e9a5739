//! Which vCPUs have yet to enter KVM_RUN for the first time, and what is to be done until then.

use crate::state::current::{self, Me};
use pinning::RoleKind;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is left to be done at ioctls, in one word, since it is asked at every one: in the lower half, the vCPUs
/// that have not entered KVM_RUN yet; in the upper half, while a vCPU is in the very first KVM_RUN, where the kernel
/// makes a thread, how many looks for it are left.
pub(crate) static DUE: AtomicU32 = AtomicU32::new(0);
pub(crate) const ONE_LOOK: u32 = 0x1_0000;
/// How often threads other than that vCPU look: with the kernel's thread there, the first time is enough;
/// without (an older kernel, an Arm host), no look finds anything.
pub(crate) const LOOKS: u32 = 16 * ONE_LOOK;

/// Whether a look for a kernel thread is due.
#[inline(always)]
pub(crate) fn kernel_thread_is_due() -> bool {
    DUE.load(Ordering::Relaxed) >= ONE_LOOK
}

/// Whether that is due, or some vCPU has not run yet.
#[inline(always)]
pub(crate) fn something_is_due() -> bool {
    DUE.load(Ordering::Relaxed) != 0
}

/// A thread with this role has come.
pub(crate) fn vcpu_arrives(role: RoleKind) {
    if role == RoleKind::Vcpu {
        DUE.fetch_add(1, Ordering::Relaxed);
        current::update(|me| me.before_first_run = true);
    }
}

/// The calling thread ends.
pub(crate) fn vcpu_ends(me: &Me) {
    if me.before_first_run {
        DUE.fetch_sub(1, Ordering::Relaxed);
    }
}
