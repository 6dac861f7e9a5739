//! `pthread_setname_np`, and `prctl(PR_SET_NAME)`: threads that are given another name.
//!
//! QEMU names its own threads with debug-threads=on (from QEMU 11 always), SPICE, Mesa and TCG plugins
//! theirs. A rule of `PIN_THREADS` that matches the new name places the thread from then on.

use crate::placing::rejudge;
use crate::state::shim;
use crate::sys::errno::keeping_errno;
use crate::sys::thread;

/// The calling thread has been given another name.
pub(super) fn self_was_renamed() {
    if let Some(shim) = shim::shim() {
        keeping_errno(|| rejudge::rejudge_self(shim));
    }
}

/// The thread with this `pthread_t` has been given another name, by the calling one.
pub fn was_renamed(handle: libc::pthread_t) {
    let Some(shim) = shim::shim() else { return };
    keeping_errno(|| {
        if handle == thread::pthread_self() {
            rejudge::rejudge_self(shim);
        } else {
            rejudge::rejudge_other(shim, handle);
        }
    });
}
