//! The functions that the library takes the place of; all of them, a few lines each.
//!
//! Each makes the real call exactly once and returns its result with its errno (but for
//! `library_requests`' one exception). Nothing here may panic: redhook would then make the real call, a
//! second time if the first was made already.
//!
//! Required ones (`pthread_create`, `ioctl`) are found by redhook, early. Optional ones are found by
//! `symbol::Optional`, since redhook ends the process when there is no such symbol.

#![allow(missing_docs, reason = "what they do is said by the man pages of the functions they stand for")]
#![allow(static_mut_refs, reason = "redhook's macro guards its static with a Once")]

use crate::library_requests::{self, Request};
use crate::process;
use crate::symbol::Optional;
use crate::{kernel, kvm, sandbox, thread_start, uring};
use libc::{c_int, c_uint, c_ulong, c_void, pthread_attr_t, pthread_t, size_t};

/// Finds what `redhook` would else look for at a hook's first call, when another thread may be forking.
pub(crate) fn resolve() {
    let _ = redhook::real!(ioctl);
    let _ = real_pthread_create();
}

type PthreadCreate =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, *const c_void, *mut c_void) -> c_int;

fn real_pthread_create() -> PthreadCreate {
    redhook::real!(pthread_create)
}

unsafe fn real_ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: as the caller of the hook upholds for ioctl(2) itself.
    unsafe { redhook::real!(ioctl)(fd, request, argument) }
}

redhook::hook! {
    unsafe fn pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        routine: *const c_void,
        argument: *mut c_void
    ) -> c_int => on_pthread_create {
        let real = real_pthread_create();
        let Some(shim) = process::shim_or_start() else {
            // SAFETY: the caller's own call, unchanged.
            return unsafe { real(thread, attributes, routine, argument) };
        };
        let trampoline = thread_start::posix_trampoline as *const c_void;
        // SAFETY: the caller's own call, but for the routine, which the trampoline calls in its place.
        let create = |passed| unsafe { real(thread, attributes, trampoline, passed) };
        // SAFETY: what the caller passed, and a trampoline of pthread_create's type.
        unsafe { thread_start::create(shim, routine, argument, create, 0) }
    }
}

/// threads.h, C11: thrd_success and thrd_error as glibc numbers them.
const THRD_SUCCESS: c_int = 0;
const THRD_ERROR: c_int = 2;

static THRD_CREATE: Optional = Optional::new(c"thrd_create");
type ThrdCreate = unsafe extern "C" fn(*mut pthread_t, *const c_void, *mut c_void) -> c_int;

redhook::hook! {
    unsafe fn thrd_create(thread: *mut pthread_t, routine: *const c_void, argument: *mut c_void) -> c_int => on_thrd_create {
        let Some(real) = THRD_CREATE.address() else { return THRD_ERROR };
        // SAFETY: the address of thrd_create, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, ThrdCreate>(real.as_ptr()) };
        let Some(shim) = process::shim_or_start() else {
            // SAFETY: the caller's own call, unchanged.
            return unsafe { real(thread, routine, argument) };
        };
        let trampoline = thread_start::c11_trampoline as *const c_void;
        // SAFETY: the caller's own call, but for the routine, which the trampoline calls in its place.
        let create = |passed| unsafe { real(thread, trampoline, passed) };
        // SAFETY: what the caller passed, and a trampoline of thrd_create's type.
        unsafe { thread_start::create(shim, routine, argument, create, THRD_SUCCESS) }
    }
}

redhook::hook! {
    unsafe fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int => on_ioctl {
        // Some callers sign-extend the request; the kernel looks at its low 32 bits.
        match request as u32 {
            // SAFETY: the caller's own call, unchanged.
            kvm::KVM_RUN if !kvm::some_vcpu_has_not_run() => unsafe { real_ioctl(fd, request, argument) },
            // SAFETY: as for the hook.
            kvm::KVM_RUN | kvm::KVM_CREATE_VCPU | kvm::VHOST_SET_OWNER => unsafe {
                of_interest(fd, request, argument)
            },
            _ => {
                if kvm::kernel_thread_is_due() {
                    kvm::meanwhile();
                }
                // SAFETY: the caller's own call, unchanged.
                unsafe { real_ioctl(fd, request, argument) }
            }
        }
    }
}

/// The requests that matter, with what is done before and after each.
#[cold]
unsafe fn of_interest(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let number = request as u32;
    let before = kernel::errno();
    let first = number == kvm::KVM_RUN && kvm::before_run();
    kernel::set_errno(before);
    // SAFETY: the caller's own call, unchanged.
    let result = unsafe { real_ioctl(fd, request, argument) };
    let after = kernel::errno();
    match number {
        kvm::KVM_RUN if first => kvm::after_first_run(),
        kvm::KVM_CREATE_VCPU if result >= 0 => kvm::vcpu_created(),
        kvm::VHOST_SET_OWNER if result >= 0 => kvm::look_for_kernel_threads(),
        _ => {}
    }
    kernel::set_errno(after);
    result
}

static SECCOMP_LOAD: Optional = Optional::new(c"seccomp_load");

redhook::hook! {
    unsafe fn seccomp_load(context: *const c_void) -> c_int => on_seccomp_load {
        // seccomp_load(3) answers with a negated errno.
        let Some(real) = SECCOMP_LOAD.address() else { return -libc::ENOSYS };
        if let Some(shim) = process::shim() {
            let errno = kernel::errno();
            sandbox::closes(shim);
            kernel::set_errno(errno);
        }
        // SAFETY: the address of seccomp_load, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_void) -> c_int>(real.as_ptr()) };
        // SAFETY: the caller's own call, unchanged.
        unsafe { real(context) }
    }
}

static PTHREAD_SETAFFINITY_NP: Optional = Optional::new(c"pthread_setaffinity_np");
type PthreadSetaffinity = unsafe extern "C" fn(pthread_t, size_t, *const c_void) -> c_int;

redhook::hook! {
    unsafe fn pthread_setaffinity_np(thread: pthread_t, bytes: size_t, mask: *const c_void) -> c_int => on_pthread_setaffinity_np {
        let Some(real) = PTHREAD_SETAFFINITY_NP.address() else { return libc::ENOSYS };
        // SAFETY: the address of pthread_setaffinity_np, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, PthreadSetaffinity>(real.as_ptr()) };
        let errno = kernel::errno();
        let request = process::shim().map_or(Request::AsItIs, |shim| library_requests::by_handle(shim, thread, bytes, mask));
        kernel::set_errno(errno);
        match request {
            // SAFETY: the caller's own call, unchanged.
            Request::AsItIs => unsafe { real(thread, bytes, mask) },
            // SAFETY: the same with a mask of ours, alive until it returns.
            Request::CutTo(words, bytes) => unsafe { real(thread, bytes, words.as_ptr().cast()) },
            Request::Nothing => 0,
        }
    }
}

static SCHED_SETAFFINITY: Optional = Optional::new(c"sched_setaffinity");
type SchedSetaffinity = unsafe extern "C" fn(libc::pid_t, size_t, *const c_void) -> c_int;

redhook::hook! {
    unsafe fn sched_setaffinity(tid: libc::pid_t, bytes: size_t, mask: *const c_void) -> c_int => on_sched_setaffinity {
        let Some(real) = SCHED_SETAFFINITY.address() else {
            kernel::set_errno(libc::ENOSYS);
            return -1;
        };
        // SAFETY: the address of sched_setaffinity, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, SchedSetaffinity>(real.as_ptr()) };
        let errno = kernel::errno();
        let request = process::shim().map_or(Request::AsItIs, |shim| library_requests::by_tid(shim, tid, bytes, mask));
        kernel::set_errno(errno);
        match request {
            // SAFETY: the caller's own call, unchanged.
            Request::AsItIs => unsafe { real(tid, bytes, mask) },
            // SAFETY: the same with a mask of ours, alive until it returns.
            Request::CutTo(words, bytes) => unsafe { real(tid, bytes, words.as_ptr().cast()) },
            Request::Nothing => 0,
        }
    }
}

static IO_URING_SUBMIT: Optional = Optional::new(c"io_uring_submit");
static IO_URING_SUBMIT_AND_WAIT: Optional = Optional::new(c"io_uring_submit_and_wait");
static IO_URING_SUBMIT_AND_WAIT_TIMEOUT: Optional = Optional::new(c"io_uring_submit_and_wait_timeout");

/// What follows a submission; the result passes through.
unsafe fn after_submission(ring: *const c_void, result: c_int) -> c_int {
    if result > 0 && process::shim().is_some() {
        let errno = kernel::errno();
        // SAFETY: as for the hooks below: liburing has just used this ring.
        unsafe { uring::submitted(ring) };
        kernel::set_errno(errno);
    }
    result
}

redhook::hook! {
    unsafe fn io_uring_submit(ring: *mut c_void) -> c_int => on_io_uring_submit {
        let Some(real) = IO_URING_SUBMIT.address() else { return -libc::ENOSYS };
        // SAFETY: the address of io_uring_submit, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> c_int>(real.as_ptr()) };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(ring) };
        // SAFETY: liburing has just used this ring.
        unsafe { after_submission(ring, result) }
    }
}

redhook::hook! {
    unsafe fn io_uring_submit_and_wait(ring: *mut c_void, wait_for: c_uint) -> c_int => on_io_uring_submit_and_wait {
        let Some(real) = IO_URING_SUBMIT_AND_WAIT.address() else { return -libc::ENOSYS };
        // SAFETY: the address of io_uring_submit_and_wait, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, c_uint) -> c_int>(real.as_ptr()) };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(ring, wait_for) };
        // SAFETY: liburing has just used this ring.
        unsafe { after_submission(ring, result) }
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
        let Some(real) = IO_URING_SUBMIT_AND_WAIT_TIMEOUT.address() else { return -libc::ENOSYS };
        // SAFETY: the address of io_uring_submit_and_wait_timeout, which has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, SubmitAndWaitTimeout>(real.as_ptr()) };
        // SAFETY: the caller's own call, unchanged.
        let result = unsafe { real(ring, completions, wait_for, limit, signals) };
        // SAFETY: liburing has just used this ring.
        unsafe { after_submission(ring, result) }
    }
}
