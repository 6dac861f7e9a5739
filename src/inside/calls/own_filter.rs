//! `prctl(PR_SET_SECCOMP)` and `syscall(SYS_seccomp)`: the program loads a filter for its own system calls. libseccomp,
//! Rust's seccompiler and what is written by hand all do it by one of these.
//!
//! Once the kernel has taken the filter it is read, and from then on the library makes no call that the filter would not
//! let pass. In strict mode, and in a mode that is not known here, it makes none at all.

use crate::filters::calls::Verdict;
use crate::filters::permitted;
use crate::start;
use crate::state::shim::{self, Shim};
use crate::state::{ownership, slots};
use crate::sys::errno::keeping_errno;
use crate::sys::thread;
use libc::{c_int, c_long, c_ulong, c_void};

/// linux/seccomp.h: these two ask, and load nothing.
const ASKING: [u32; 2] = [libc::SECCOMP_GET_ACTION_AVAIL, libc::SECCOMP_GET_NOTIF_SIZES];

/// What a call to load a filter asks for.
struct Load {
    /// The program, a `struct sock_fprog`. `None`: a mode in which nothing of the library's is left.
    program: Option<*const libc::sock_fprog>,
    /// Whether it holds for all threads.
    everywhere: bool,
    /// Whether any result but 0 is a failure: else it may be a descriptor.
    zero_alone_is_success: bool,
}

impl Load {
    /// Whether the kernel has not taken the filter, by what the call returned.
    fn failed(&self, result: c_long) -> bool {
        result < 0 || (self.zero_alone_is_success && result != 0)
    }
}

/// Makes prctl(PR_SET_SECCOMP) by `real`, which is called exactly once. Returns its result, with its errno.
///
/// # Safety
/// `mode` and `program` are what the caller of prctl passed, and `real` passes them on.
pub(super) unsafe fn around_prctl(
    mode: c_ulong,
    program: *const c_void,
    real: impl FnOnce() -> c_int,
) -> c_int {
    let is_filter = mode == c_ulong::from(libc::SECCOMP_MODE_FILTER);
    let load =
        Load { program: is_filter.then_some(program.cast()), everywhere: false, zero_alone_is_success: true };
    // SAFETY: as the caller upholds.
    unsafe { around(&load, || c_long::from(real())) as c_int }
}

/// Makes seccomp(2) by `real`, which is called exactly once. Returns its result, with its errno.
///
/// # Safety
/// The arguments are what the caller of seccomp passed, and `real` passes them on.
pub unsafe fn around_seccomp(
    operation: u32,
    flags: c_ulong,
    program: *const c_void,
    real: impl FnOnce() -> c_long,
) -> c_long {
    if ASKING.contains(&operation) {
        return real();
    }
    let everywhere = flags & libc::SECCOMP_FILTER_FLAG_TSYNC != 0;
    let load = Load {
        program: (operation == libc::SECCOMP_SET_MODE_FILTER).then_some(program.cast()),
        everywhere,
        // seccomp(2): with TSYNC a thread that could not take the filter is named by its id.
        zero_alone_is_success: everywhere && flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0,
    };
    // SAFETY: as the caller upholds.
    unsafe { around(&load, real) }
}

/// Loads a filter by `real`.
///
/// # Safety
/// `load` says what `real` passes to the kernel.
unsafe fn around<F: FnOnce() -> c_long>(load: &Load, real: F) -> c_long {
    // Without a program the kernel answers EFAULT: that is how a program asks whether there are filters.
    let asks = load.program.is_some_and(<*const _>::is_null);
    let Some(shim) = shim::shim().filter(|_| !asks && !keeping_errno(shares_memory_with_its_parent)) else {
        return real();
    };
    keeping_errno(|| prepare(shim, load));
    let load_it = |real: F| {
        let result = real();
        let verdict = match load.program {
            _ if load.failed(result) => Verdict::NOTHING,
            None => Verdict::EVERYTHING,
            // SAFETY: as the caller upholds, this is the program that the kernel has just taken.
            Some(program) => unsafe { verdict_of(program) },
        };
        (result, verdict)
    };
    if load.everywhere {
        // SAFETY: as the caller upholds.
        return match keeping_errno(|| unsafe { verdict_beforehand(load) }) {
            Some(verdict) => {
                let added = permitted::announce_everywhere(verdict);
                let result = real();
                if load.failed(result) {
                    permitted::withdraw(added);
                }
                result
            }
            None => permitted::load_everywhere(|| load_it(real)),
        };
    }
    let (result, verdict) = load_it(real);
    permitted::loaded_here(verdict);
    result
}

/// What must be done before.
fn prepare(shim: &'static Shim, load: &Load) {
    // After the filter this process could make no status page.
    start::take_over_in_a_child(shim);
    if load.everywhere {
        slots::wait_until_all_are_placed();
    }
}

/// What a filter leaves to the library.
///
/// # Safety
/// The kernel has taken `program`, so that it and its steps can be read.
unsafe fn verdict_of(program: *const libc::sock_fprog) -> Verdict {
    // The kernel does not mind how they are aligned. Nobody does that.
    if !program.is_aligned() {
        return Verdict::EVERYTHING;
    }
    // SAFETY: as the caller upholds.
    let program = unsafe { &*program };
    if !program.filter.is_aligned() {
        return Verdict::EVERYTHING;
    }
    // SAFETY: as the caller upholds; the kernel takes no program without steps.
    let steps = unsafe { std::slice::from_raw_parts(program.filter, usize::from(program.len)) };
    Verdict::of(steps)
}

/// What a filter is going to leave, which is not loaded yet: so that no other thread makes a call in the moment that it is.
/// `None` where the program cannot be read: the kernel is going to refuse it, or an earlier filter forbids to look.
///
/// # Safety
/// If the program can be read, it is one, and nobody changes it meanwhile.
unsafe fn verdict_beforehand(load: &Load) -> Option<Verdict> {
    let program = load.program?;
    if !program.is_aligned() || !is_readable(program.addr(), size_of::<libc::sock_fprog>()) {
        return None;
    }
    // SAFETY: it was just found readable.
    let steps = unsafe { &*program };
    let bytes = usize::from(steps.len) * size_of::<libc::sock_filter>();
    if steps.len == 0 || !is_readable(steps.filter.addr(), bytes) {
        return None;
    }
    // SAFETY: header and steps were just found readable.
    Some(unsafe { verdict_of(program) })
}

/// Whether this memory of the process's can be read.
fn is_readable(address: usize, bytes: usize) -> bool {
    let mut room = [0u8; 512];
    let pid = thread::getpid();
    (0..bytes).step_by(room.len()).all(|at| {
        let wanted = (bytes - at).min(room.len());
        let piece = room.get_mut(..wanted).unwrap_or_default();
        thread::read_own_memory(pid, address.wrapping_add(at), piece).is_ok_and(|read| read.len() == wanted)
    })
}

/// Whether the calling process is a child by vfork(2), which is going to execute another program: what is written here is
/// its parent's memory, and the filter is the child's alone.
fn shares_memory_with_its_parent() -> bool {
    let pid = thread::getpid();
    pid != 0 && ownership::is_ours() && !ownership::is_owner(pid)
}
