//! `pthread_setname_np`, and `prctl(PR_SET_NAME)`: threads that are given another name.
//!
//! QEMU names its own threads with debug-threads=on (from QEMU 11 always), SPICE, Mesa and TCG plugins
//! theirs. A rule of `PIN_THREADS` that matches the new name places the thread from then on.

use crate::placing::rejudge;
use crate::state::shim;
use crate::sys::errno::keeping_errno;
use crate::sys::thread;
use libc::c_char;
use pinning::COMM_BYTES;

/// The calling thread has been given another name.
///
/// # Safety
/// The kernel has just read it at `name`, and the program leaves it there until this returns.
pub(super) unsafe fn self_was_renamed(name: *const c_char) {
    let Some(shim) = shim::shim() else { return };
    // SAFETY: as the caller upholds.
    let name = unsafe { kept(name) };
    keeping_errno(|| rejudge::rejudge_self(shim, name));
}

/// The thread with this `pthread_t` has been given another name, by the calling one.
///
/// # Safety
/// `name` is the text that `pthread_setname_np` has just taken, and the program leaves it there until this returns.
pub unsafe fn was_renamed(handle: libc::pthread_t, name: *const c_char) {
    if handle == thread::pthread_self() {
        // SAFETY: as the caller upholds; glibc has passed it on to the kernel.
        unsafe { self_was_renamed(name) };
    } else if let Some(shim) = shim::shim() {
        keeping_errno(|| rejudge::rejudge_other(shim, handle));
    }
}

/// As much of a name as the kernel keeps. The kernel is not asked for it: a filter may let a thread name itself and not
/// let it ask.
///
/// # Safety
/// At `name` is a text that the kernel has read, which ends with a NUL or has more bytes than it keeps. It stays there while
/// the answer is used.
unsafe fn kept<'a>(name: *const c_char) -> &'a [u8] {
    // SAFETY: as the caller upholds; strnlen reads no further than the kernel did.
    let bytes = unsafe { libc::strnlen(name, COMM_BYTES) };
    // SAFETY: these bytes were just read.
    unsafe { std::slice::from_raw_parts(name.cast(), bytes) }
}
