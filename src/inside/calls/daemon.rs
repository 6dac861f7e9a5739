//! `daemon` and `setsid`: a forked child is becoming a process of its own.
//!
//! One that creates threads becomes the owner of a status page by that. A daemon may have no thread but its main one, and is
//! to be found by readers all the same.

use crate::start;
use crate::state::shim;
use crate::sys::errno::keeping_errno;
use libc::c_int;

/// To be called with what `daemon` or `setsid` returned: negative where it failed. Returns that, with its errno.
pub fn after(result: c_int) -> c_int {
    if let (0.., Some(shim)) = (result, shim::shim()) {
        keeping_errno(|| start::take_over_in_a_child(shim));
    }
    result
}
