//! `prctl`: the options that tell something of the calling thread.
//!
//! Programs and libraries call it for many purposes, some of them often, so any other option costs a compare
//! and a jump.

use crate::calls::rename;
use libc::{c_int, c_ulong};

/// Whether there is something to do before or after a prctl with this option. Asked at every prctl of every
/// thread.
#[inline(always)]
pub fn prctl_is_of_interest(option: c_int) -> bool {
    matches!(option, libc::PR_SET_NAME)
}

/// Makes a prctl by `real`, which is called exactly once, and does what is to be done before and after it.
/// Returns what `real` returned, with its errno. `arguments` are those after the option.
pub fn around_prctl(option: c_int, _arguments: [c_ulong; 4], real: impl FnOnce() -> c_int) -> c_int {
    let result = real();
    if option == libc::PR_SET_NAME && result == 0 {
        rename::self_was_renamed();
    }
    result
}
