//! The real functions behind the optional hooks.
//!
//! redhook's `real!` ends the process when a symbol does not exist. `seccomp_load` does not exist where
//! libseccomp is not linked, `thrd_create` not on a glibc before 2.28: for these the look-up is here, and
//! "there is none" is an answer.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function that the libraries behind ours may or may not define.
pub(crate) struct Optional {
    name: &'static CStr,
    /// Null until it was found. Two threads that look at the same time find the same address.
    found: AtomicPtr<c_void>,
}

impl Optional {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The next definition after ours; `None` if there is none. Looked for again each time until it
    /// is found: a library with it may be loaded later.
    pub(crate) fn address(&self) -> Option<std::ptr::NonNull<c_void>> {
        let known = self.found.load(Ordering::Acquire);
        if !known.is_null() {
            return std::ptr::NonNull::new(known);
        }
        // SAFETY: the name is a C string, and RTLD_NEXT is meant for a caller inside a loaded library.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.found.store(address, Ordering::Release);
        std::ptr::NonNull::new(address)
    }
}
