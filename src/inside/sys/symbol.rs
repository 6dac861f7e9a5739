//! Finding the real functions behind the optional hooks.
//!
//! redhook's `real!` ends the process when a symbol does not exist. `seccomp_load` does not exist where
//! libseccomp is not linked, and `thrd_create` not in a glibc before 2.28. The look-up here answers `None`
//! for them.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function, of the pointer type `F`, that the libraries behind ours may or may not define.
pub struct Optional<F> {
    name: &'static CStr,
    /// Null until it was found. Two threads that look at the same time find the same address.
    found: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

impl<F: Copy> Optional<F> {
    /// The function of this name, not looked for yet.
    ///
    /// # Safety
    /// `F` is the type of a pointer to the function of this name, as its man page declares it.
    pub const unsafe fn new(name: &'static CStr) -> Self {
        assert!(size_of::<F>() == size_of::<*mut c_void>(), "F is a pointer");
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()), function: PhantomData }
    }

    /// The next definition after ours; `None` if there is none. Until it is found it is looked for each time,
    /// since a library that defines it may be loaded later.
    pub fn get(&self) -> Option<F> {
        let mut address = self.found.load(Ordering::Acquire);
        if address.is_null() {
            // SAFETY: the name is a C string, and RTLD_NEXT is meant for a caller inside a loaded library.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.found.store(address, Ordering::Release);
        }
        // SAFETY: the address of a function of this type, as the maker upholds; of a pointer's size.
        (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
    }
}
