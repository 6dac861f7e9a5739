//! `prctl`: the options that load a filter, or say something of the calling thread.
//!
//! Programs and libraries call it for many purposes, some of them often, so any other option costs a compare
//! and a jump.

use crate::calls::{own_filter, rename};
use libc::{c_char, c_int, c_ulong, c_void};

/// Whether there is something to do before or after a prctl with this option. Asked at every prctl of every
/// thread.
#[inline(always)]
pub fn prctl_is_of_interest(option: c_int) -> bool {
    matches!(option, libc::PR_SET_NAME | libc::PR_SET_SECCOMP)
}

/// Makes a prctl by `real`, which is called exactly once, and does what is to be done before and after it.
/// Returns what `real` returned, with its errno. `second` and `third` are the arguments after the option.
///
/// # Safety
/// These are what the caller of prctl passed, and `real` passes them on.
pub unsafe fn around_prctl(
    option: c_int,
    second: c_ulong,
    third: c_ulong,
    real: impl FnOnce() -> c_int,
) -> c_int {
    if option == libc::PR_SET_SECCOMP {
        // SAFETY: as the caller upholds.
        return unsafe { own_filter::around_prctl(second, third as *const c_void, real) };
    }
    let result = real();
    if option == libc::PR_SET_NAME && result == 0 {
        // SAFETY: prctl(2): `second` is the address of the name, which the kernel has just read.
        unsafe { rename::self_was_renamed(second as *const c_char) };
    }
    result
}
