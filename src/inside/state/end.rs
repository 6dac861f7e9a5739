//! What is done when a thread ends. A thread may return from its own routine, leave it by `pthread_exit`, or be
//! cancelled.
//!
//! The trampoline registers a cleanup handler around the routine, as `pthread_cleanup_push` did before glibc made
//! that a macro with a setjmp in it (nptl/cleanup_compat.c): the handler is a record in the trampoline's frame,
//! and glibc runs it when the thread leaves that frame in whatever way. Thread-specific data would do
//! the same, but a process has PTHREAD_KEYS_MAX keys and no more, all of which belong to its program.
//!
//! The handler runs before the destructors of thread-specific data. A thread is not listed while they run.

use crate::state::first_run::FIRST_RUN;
use crate::state::{current, entries, shim, slots};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};

/// glibc's `struct _pthread_cleanup_buffer` (pthread.h), the same in every version.
#[repr(C)]
struct Buffer {
    routine: *const c_void,
    argument: *mut c_void,
    cancel_type: c_int,
    previous: *mut Buffer,
}

unsafe extern "C" {
    fn _pthread_cleanup_push(
        buffer: *mut Buffer,
        routine: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    fn _pthread_cleanup_pop(buffer: *mut Buffer, execute: c_int);
}

/// What the end of a thread needs in the trampoline's frame. It has no destructor: glibc unwinds through that frame.
pub(crate) struct AtEnd(UnsafeCell<Buffer>);

impl AtEnd {
    /// Not registered yet.
    pub(crate) const fn new() -> Self {
        let none = std::ptr::null_mut();
        Self(UnsafeCell::new(Buffer { routine: none, argument: none, cancel_type: 0, previous: none.cast() }))
    }

    /// Has the calling thread give its slot back when it ends.
    ///
    /// # Safety
    /// `self` stays where it is until [`AtEnd::now`] is called or the thread has left the frame that it is in.
    #[inline(always)]
    pub(crate) unsafe fn register(&self) {
        // SAFETY: the buffer lives until it is popped, by `now` or by glibc, as the caller upholds. The handler takes any
        // argument.
        unsafe { _pthread_cleanup_push(self.0.get(), end_of_thread, std::ptr::null_mut()) };
    }

    /// The thread's own routine has returned: gives the slot back now.
    ///
    /// # Safety
    /// [`AtEnd::register`] was called in this frame, and the routine has popped what it pushed, as POSIX demands.
    #[inline(always)]
    pub(crate) unsafe fn now(&self) {
        // SAFETY: as the caller upholds, this is the buffer that was pushed last.
        unsafe { _pthread_cleanup_pop(self.0.get(), 1) };
    }
}

thread_local! {
    /// What ends with a thread that was created past the library.
    static WITHOUT_TRAMPOLINE: GiveBack = const { GiveBack };
}

/// Gives the calling thread's slot back when it is dropped.
struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        // SAFETY: the handler takes any argument.
        unsafe { end_of_thread(std::ptr::null_mut()) };
    }
}

/// Has the calling thread, which was created past the library, give its slot back when it ends. It has no frame of ours, so
/// glibc does it with the thread's variables (__cxa_thread_atexit_impl), for which it allocates.
pub(crate) fn give_back_without_trampoline() {
    let _ = WITHOUT_TRAMPOLINE.try_with(|_| ());
}

/// The handler. It runs in the thread that ends.
unsafe extern "C" fn end_of_thread(_: *mut c_void) {
    // A thread that is cancelled in here comes again, and finds no slot any more.
    let current = current::update(|current| {
        let before = *current;
        (current.slot, current.before_first_run) = (None, false);
        before
    });
    FIRST_RUN.vcpu_ends(&current);
    let Some(slot) = current.slot else { return };
    if let Some(page) = shim::owned_page() {
        entries::clear(page, slot);
    }
    slots::release(slot);
}
