//! The functions that the library exports, in place of libc's and other libraries'. What they do is in
//! `inside::calls`.
//!
//! Each makes the real call exactly once and returns its result with its errno. (The only exception is an
//! affinity of which nothing is allowed, see `inside::calls::setaffinity`.) Nothing here may panic: redhook
//! would then make the real call, and so make it twice if it was made already.
//!
//! redhook finds the required real functions (`pthread_create`, `ioctl`), early. [`Optional`] finds the
//! others, since redhook ends the process when a function does not exist.

#![allow(missing_docs, reason = "the man pages of the functions say what they do")]
#![allow(static_mut_refs, reason = "redhook's macro guards its static with a Once")]

use inside::calls::create::{self, Asked};
use inside::calls::daemon::after as after_daemon;
use inside::calls::ioctl::{around_ioctl, ioctl_is_of_interest};
use inside::calls::own_filter::around_seccomp;
use inside::calls::prctl::{around_prctl, prctl_is_of_interest};
use inside::calls::{io_uring, rename, sandbox, setaffinity};
use inside::{Optional, REAL_SYSCALL, set_errno};
use libc::{c_char, c_int, c_long, c_uint, c_ulong, c_void, pthread_attr_t, pthread_t, size_t};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Finds the required functions now, since later another thread could be in the middle of that when QEMU
/// forks. To be called only where the library acts: with a glibc before 2.34 another program need not have a
/// `pthread_create`.
pub(crate) fn resolve() {
    let _ = redhook::real!(pthread_create);
    REAL_IOCTL.store(redhook::real!(ioctl) as *mut c_void, Ordering::Release);
}

/// Finds the functions that any program may call at any time, a program in which the library does nothing too: the look-up
/// takes a lock of ld.so, which must not happen in a signal's handler, or in a forked child of a program with threads.
pub(crate) fn resolve_early() {
    if let Some(real) = SYSCALL.get() {
        REAL_SYSCALL.store(real as *mut c_void, Ordering::Release);
    }
    let _ = (PRCTL.get(), DAEMON.get(), SETSID.get());
}

redhook::hook! {
    unsafe fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        routine: *const c_void,
        argument: *mut c_void
    ) -> c_int => on_pthread_create {
        let real = redhook::real!(pthread_create);
        let Some(shim) = inside::shim_or_start() else {
            // SAFETY: the caller's own call, unchanged.
            return unsafe { real(thread, attributes, routine, argument) };
        };
        let trampoline = create::posix_trampoline as *const c_void;
        // SAFETY: the caller's own call, but for the routine, which the trampoline calls in its place.
        let create = |handle, passed| unsafe { real(handle, attributes, trampoline, passed) };
        let asked = Asked { routine, argument, handle_to: thread, attributes };
        // SAFETY: what the caller passed, and a trampoline of pthread_create's type.
        unsafe { create::create(shim, &asked, create, 0) }
    }
}

/// thrd_success and thrd_error of C11's threads.h, with glibc's numbers.
const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;

// SAFETY: the type below is this function's.
static THRD_CREATE: Optional<ThrdCreate> = unsafe { Optional::new(c"thrd_create") };
type ThrdCreate = unsafe extern "C" fn(*mut pthread_t, *const c_void, *mut c_void) -> c_int;

redhook::hook! {
    unsafe fn thrd_create(thread: *mut pthread_t, routine: *const c_void, argument: *mut c_void) -> c_int => on_thrd_create {
        let Some(real) = THRD_CREATE.get() else { return THRD_ERROR };
        let Some(shim) = inside::shim_or_start() else {
            // SAFETY: the caller's own call, unchanged.
            return unsafe { real(thread, routine, argument) };
        };
        let trampoline = create::c11_trampoline as *const c_void;
        // SAFETY: the caller's own call, but for the routine, which the trampoline calls in its place.
        let create = |handle, passed| unsafe { real(handle, trampoline, passed) };
        let asked = Asked { routine, argument, handle_to: thread, attributes: std::ptr::null() };
        // SAFETY: what the caller passed, and a trampoline of thrd_create's type.
        unsafe { create::create(shim, &asked, create, THRD_SUCCESS) }
    }
}

/// The real ioctl once it was found. redhook's own look-up would cost a dozen instructions more at every exit
/// of a guest.
static REAL_IOCTL: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
type Ioctl = unsafe extern "C" fn(c_int, c_ulong, *mut c_void) -> c_int;

redhook::hook! {
    unsafe fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int => on_ioctl {
        let real = REAL_IOCTL.load(Ordering::Relaxed);
        if ioctl_is_of_interest(request) || real.is_null() {
            // SAFETY: the caller's own call, unchanged.
            return unsafe { of_interest(fd, request, argument) };
        }
        // SAFETY: `resolve` and `of_interest`, the only writers, put the address of ioctl here. ioctl is variadic; its third
        // argument is passed in the same register whether it is a pointer or a number (x86-64 and AArch64 ELF ABIs).
        let real = unsafe { std::mem::transmute::<*mut c_void, Ioctl>(real) };
        // SAFETY: the caller's own call, unchanged.
        unsafe { real(fd, request, argument) }
    }
}

/// An ioctl with something to do before or after it. It is not inlined, and `extern "C"`, from which nothing
/// unwinds. So the hook need not keep its arguments for a second real call by redhook.
#[cold]
#[inline(never)]
unsafe extern "C" fn of_interest(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    around_ioctl(request, || {
        let real = redhook::real!(ioctl);
        REAL_IOCTL.store(real as *mut c_void, Ordering::Release);
        // SAFETY: the caller's own call, unchanged.
        unsafe { real(fd, request, argument) }
    })
}

// SAFETY: the type below is this function's.
static PTHREAD_SETNAME: Optional<PthreadSetname> = unsafe { Optional::new(c"pthread_setname_np") };
type PthreadSetname = unsafe extern "C" fn(pthread_t, *const c_char) -> c_int;

redhook::hook! {
    unsafe fn pthread_setname_np(thread: pthread_t, name: *const c_char) -> c_int => on_pthread_setname_np {
        let Some(real) = PTHREAD_SETNAME.get() else { return libc::ENOSYS };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(thread, name) };
        if result == 0 {
            // SAFETY: the caller's own arguments, which the real function has just taken.
            unsafe { rename::was_renamed(thread, name) };
        }
        result
    }
}

// SAFETY: the type below is this function's.
static PRCTL: Optional<Prctl> = unsafe { Optional::new(c"prctl") };
type Prctl = unsafe extern "C" fn(c_int, c_ulong, c_ulong, c_ulong, c_ulong) -> c_int;

redhook::hook! {
    unsafe fn prctl(option: c_int, second: c_ulong, third: c_ulong, fourth: c_ulong, fifth: c_ulong) -> c_int => on_prctl {
        let Some(real) = PRCTL.get() else {
            set_errno(libc::ENOSYS);
            return -1;
        };
        // SAFETY: the caller's own call, unchanged. prctl is variadic, and glibc passes on four longs whichever the option
        // takes; those that the caller left out are whatever their registers held, here as there.
        let call = || unsafe { real(option, second, third, fourth, fifth) };
        if !prctl_is_of_interest(option) {
            return call();
        }
        // SAFETY: the caller's own arguments.
        unsafe { around_prctl(option, second, third, call) }
    }
}

/// `syscall(2)`, through which QEMU makes its futex calls, and libseccomp loads filters. Not by redhook's macro, which would keep
/// the seven arguments for a second real call: for all system calls but one this is a compare and a jump.
///
/// # Safety
/// As `syscall` itself. It is variadic, and glibc passes on six arguments whichever the call takes; those that the caller left
/// out are whatever their registers, and the stack above the return address, held, here as there.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    let real = REAL_SYSCALL.load(Ordering::Relaxed);
    // The kernel looks at the number's low 32 bits.
    if number as i32 == libc::SYS_seccomp as i32 || real.is_null() {
        // SAFETY: the caller's own arguments.
        return unsafe { syscall_of_interest(number, first, second, third, fourth, fifth, sixth) };
    }
    // SAFETY: `resolve_early`, the only writer, puts the address of a `syscall` here.
    let real = unsafe { std::mem::transmute::<*mut c_void, SixArguments>(real) };
    // SAFETY: the caller's own call, unchanged.
    unsafe { real(number, first, second, third, fourth, fifth, sixth) }
}

/// `syscall` as it is called here: in C's ABIs of x86-64 and AArch64 Linux the arguments of a variadic function are passed where
/// those of any other are.
type SixArguments = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

// SAFETY: the type above is this function's.
static SYSCALL: Optional<SixArguments> = unsafe { Optional::new(c"syscall") };

/// A system call that loads a filter, and one that is made before the constructor has run.
///
/// # Safety
/// As for [`syscall`].
#[cold]
#[inline(never)]
unsafe extern "C" fn syscall_of_interest(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    let Some(real) = SYSCALL.get() else {
        set_errno(libc::ENOSYS);
        return -1;
    };
    // SAFETY: the caller's own call, unchanged.
    let call = || unsafe { real(number, first, second, third, fourth, fifth, sixth) };
    if number as i32 != libc::SYS_seccomp as i32 {
        return call();
    }
    // SAFETY: the caller's own arguments. The kernel takes the first for an unsigned int.
    unsafe { around_seccomp(first as c_uint, second as c_ulong, third as *const c_void, call) }
}

// SAFETY: the type below is this function's.
static DAEMON: Optional<Daemon> = unsafe { Optional::new(c"daemon") };
type Daemon = unsafe extern "C" fn(c_int, c_int) -> c_int;

redhook::hook! {
    unsafe fn daemon(keep_folder: c_int, keep_output: c_int) -> c_int => on_daemon {
        let Some(real) = DAEMON.get() else {
            set_errno(libc::ENOSYS);
            return -1;
        };
        // SAFETY: the caller's own call, unchanged.
        after_daemon(unsafe { real(keep_folder, keep_output) })
    }
}

// SAFETY: the type below is this function's.
static SETSID: Optional<Setsid> = unsafe { Optional::new(c"setsid") };
type Setsid = unsafe extern "C" fn() -> libc::pid_t;

redhook::hook! {
    unsafe fn setsid() -> libc::pid_t => on_setsid {
        let Some(real) = SETSID.get() else {
            set_errno(libc::ENOSYS);
            return -1;
        };
        // SAFETY: the caller's own call, unchanged.
        after_daemon(unsafe { real() })
    }
}

// SAFETY: the type below is this function's.
static SECCOMP_LOAD: Optional<SeccompLoad> = unsafe { Optional::new(c"seccomp_load") };
type SeccompLoad = unsafe extern "C" fn(*const c_void) -> c_int;

redhook::hook! {
    unsafe fn seccomp_load(context: *const c_void) -> c_int => on_seccomp_load {
        // seccomp_load(3) answers with a negated errno.
        let Some(real) = SECCOMP_LOAD.get() else { return -libc::ENOSYS };
        sandbox::before_seccomp_load();
        // SAFETY: the caller's own call, unchanged.
        unsafe { real(context) }
    }
}

redhook::hook! {
    unsafe fn pthread_setaffinity_np(thread: pthread_t, bytes: size_t, mask: *const c_void) -> c_int => on_pthread_setaffinity_np {
        let Some(real) = inside::real_pthread_setaffinity() else { return libc::ENOSYS };
        setaffinity::by_handle(thread, bytes, mask, |bytes, mask| {
            // SAFETY: the caller's own call, or the same with a mask of these bytes that lives until it returns.
            unsafe { real(thread, bytes, mask) }
        })
    }
}

// SAFETY: the type below is this function's.
static SCHED_SETAFFINITY: Optional<SchedSetaffinity> = unsafe { Optional::new(c"sched_setaffinity") };
type SchedSetaffinity = unsafe extern "C" fn(libc::pid_t, size_t, *const c_void) -> c_int;

redhook::hook! {
    unsafe fn sched_setaffinity(tid: libc::pid_t, bytes: size_t, mask: *const c_void) -> c_int => on_sched_setaffinity {
        let Some(real) = SCHED_SETAFFINITY.get() else {
            set_errno(libc::ENOSYS);
            return -1;
        };
        setaffinity::by_tid(tid, bytes, mask, |bytes, mask| {
            // SAFETY: the caller's own call, or the same with a mask of these bytes that lives until it returns.
            unsafe { real(tid, bytes, mask) }
        })
    }
}

// SAFETY: the type below is this function's.
static IO_URING_SUBMIT: Optional<Submit> = unsafe { Optional::new(c"io_uring_submit") };
type Submit = unsafe extern "C" fn(*mut c_void) -> c_int;
// SAFETY: the type below is this function's.
static IO_URING_SUBMIT_AND_WAIT: Optional<SubmitAndWait> =
    unsafe { Optional::new(c"io_uring_submit_and_wait") };
type SubmitAndWait = unsafe extern "C" fn(*mut c_void, c_uint) -> c_int;
// SAFETY: the type below is this function's.
static IO_URING_SUBMIT_AND_WAIT_TIMEOUT: Optional<SubmitAndWaitTimeout> =
    unsafe { Optional::new(c"io_uring_submit_and_wait_timeout") };

redhook::hook! {
    unsafe fn io_uring_submit(ring: *mut c_void) -> c_int => on_io_uring_submit {
        let Some(real) = IO_URING_SUBMIT.get() else { return -libc::ENOSYS };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(ring) };
        // SAFETY: liburing has just used this ring.
        unsafe { io_uring::after_submission(ring, result) }
    }
}

redhook::hook! {
    unsafe fn io_uring_submit_and_wait(ring: *mut c_void, wait_for: c_uint) -> c_int => on_io_uring_submit_and_wait {
        let Some(real) = IO_URING_SUBMIT_AND_WAIT.get() else { return -libc::ENOSYS };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(ring, wait_for) };
        // SAFETY: liburing has just used this ring.
        unsafe { io_uring::after_submission(ring, result) }
    }
}

type SubmitAndWaitTimeout =
    unsafe extern "C" fn(*mut c_void, *mut c_void, c_uint, *mut c_void, *mut c_void) -> c_int;

redhook::hook! {
    unsafe fn io_uring_submit_and_wait_timeout(
        ring: *mut c_void,
        completions: *mut c_void,
        wait_for: c_uint,
        limit: *mut c_void,
        signals: *mut c_void
    ) -> c_int => on_io_uring_submit_and_wait_timeout {
        let Some(real) = IO_URING_SUBMIT_AND_WAIT_TIMEOUT.get() else { return -libc::ENOSYS };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(ring, completions, wait_for, limit, signals) };
        // SAFETY: liburing has just used this ring.
        unsafe { io_uring::after_submission(ring, result) }
    }
}
