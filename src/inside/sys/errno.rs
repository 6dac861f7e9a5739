//! errno, and the macro by which the other files here make system calls.
//!
//! System calls go through `syscall(2)`, never through libc's named wrappers. Some of those are our own hooks
//! (`sched_setaffinity`, `ioctl`), and some are cancellation points (`write`, `poll`), where a thread
//! that QEMU cancels would end within our code. None of the functions here allocates or takes a lock, so the
//! broker, which is a raw clone of a process with threads, may call all of them.

use libc::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Why a system call failed: the number that errno has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // strerror would take the locale's lock. These are the errors that pinning a thread or starting the broker can meet.
        match *self {
            Self(libc::EPERM) => f.write_str("not permitted (EPERM)"),
            Self(libc::EINVAL) => f.write_str("invalid argument (EINVAL)"),
            Self(libc::ESRCH) => f.write_str("no such thread (ESRCH)"),
            Self(libc::EAGAIN) => f.write_str("no process may be added (EAGAIN, see RLIMIT_NPROC)"),
            Self(libc::ENOSYS) => f.write_str("the kernel has no such call (ENOSYS)"),
            Self(libc::ETIMEDOUT) => f.write_str("it was not ready within a second (ETIMEDOUT)"),
            Self::FILTERED => f.write_str("the program's own system call filter does not allow it"),
            Self(other) => write!(f, "error {other}"),
        }
    }
}

impl Errno {
    /// The call was not made, since a filter of the program's does not let it pass (`filters`). The kernel's own errors
    /// are below 4096 (linux/err.h).
    pub(crate) const FILTERED: Self = Self(4096);
}

/// Does `work`, and leaves the calling thread's errno as it was. A hook must leave the errno of the real
/// function.
#[inline]
pub(crate) fn keeping_errno<R>(work: impl FnOnce() -> R) -> R {
    let errno = errno();
    let result = work();
    set_errno(errno);
    result
}

/// The calling thread's errno.
fn errno() -> c_int {
    // SAFETY: no preconditions.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: the address of the calling thread's own errno, valid while the thread lives.
    unsafe { *location }
}

/// Sets the calling thread's errno.
pub fn set_errno(value: c_int) {
    // SAFETY: no preconditions.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: the address of the calling thread's own errno, valid while the thread lives; no other thread
    // uses it.
    unsafe { *location = value }
}

/// The next definition of `syscall` after the library's own hook; null until the constructor has found it. A system call
/// of the library's must not go through that hook, which takes it for the program's.
pub static REAL_SYSCALL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The type of `syscall(2)`.
type Syscall = unsafe extern "C" fn(c_long, ...) -> c_long;

/// The real `syscall`. Before the constructor has run it is found by the hook, and passed on.
#[inline]
pub(crate) fn real_syscall() -> Syscall {
    let real = REAL_SYSCALL.load(Ordering::Relaxed);
    if real.is_null() {
        return libc::syscall;
    }
    // SAFETY: the hook in the crate `shim`, the only writer, puts the address of a `syscall` here.
    unsafe { std::mem::transmute::<*mut c_void, Syscall>(real) }
}

/// The result of `syscall(2)`, with its error.
pub(super) fn checked(result: c_long) -> Result<c_long, Errno> {
    if result < 0 { Err(Errno(errno())) } else { Ok(result) }
}

/// A system call whose arguments are numbers, or pointers valid for what the call does with them. It is not made where a
/// filter of the program's would not let it pass.
///
/// A macro so that each use names its arguments once, and passes them at the width of a register:
/// `syscall` is variadic, and an `int` would leave the upper half of its register undefined.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        if $crate::filters::permitted::may(const { $crate::filters::calls::bit($number) }) {
            let syscall = $crate::sys::errno::real_syscall();
            // SAFETY: each function that uses the macro upholds that it passes numbers, or pointers, made in the same
            // expression, to live memory of the length that the call is told.
            $crate::sys::errno::checked(unsafe { syscall($number $(, $argument as libc::c_long)*) })
        } else {
            Err($crate::sys::errno::Errno::FILTERED)
        }
    };
}

/// Whether the program's filters let all of these calls pass. For what takes several calls, and must not stop between them.
macro_rules! may_call {
    ($($number:expr),+ $(,)?) => {
        $crate::filters::permitted::may(const { $($crate::filters::calls::bit($number))|+ })
    };
}
