//! Finding the real functions behind the optional hooks.
//!
//! redhook's `real!` ends the process when a symbol does not exist. `seccomp_load` does not exist where
//! libseccomp is not linked, and `thrd_create` not in a glibc before 2.28. The look-up here answers `None`
//! for them.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
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

/// The file of the library or program whose definition of a function is the first in the process, and so the one that the
/// process calls; `None` if that is this library's.
pub(crate) fn first_definition_elsewhere(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the name is a C string.
    let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    let (first, ours) = (object_of(first)?, object_of(OWN.as_ptr().cast())?);
    if first.dli_fbase == ours.dli_fbase || first.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr(3): the path of a loaded object, which stays loaded, as it defines what the process calls.
    Some(unsafe { CStr::from_ptr(first.dli_fname) }.to_bytes().to_vec())
}

/// Some object of this library's own: its address tells which file that is.
static OWN: [u8; 1] = [0];

/// Which loaded file an address is of.
fn object_of(address: *const c_void) -> Option<libc::Dl_info> {
    let mut info = MaybeUninit::uninit();
    // SAFETY: dladdr takes any address, and fills in all of `info` if it answers other than 0.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) } != 0;
    // SAFETY: as above.
    found.then(|| unsafe { info.assume_init() })
}
