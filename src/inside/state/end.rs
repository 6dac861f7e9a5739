//! What is done when a thread ends. A destructor of thread-specific data does it, since a thread may leave by
//! `pthread_exit`.

use crate::state::first_run::FIRST_RUN;
use crate::state::{current, shim, slots};
use std::ffi::c_void;
use std::sync::atomic::Ordering;

/// The key whose destructor gives a slot back. Its value is the slot's number plus one.
static KEY: once_cell::sync::OnceCell<libc::pthread_key_t> = once_cell::sync::OnceCell::new();

/// Makes the key. Without one (there are PTHREAD_KEYS_MAX in a process) slots are not given back, and run out.
pub(crate) fn make_key() {
    let mut key = 0;
    // SAFETY: `key` is live, and `end_of_thread` has the signature that the key asks for.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(end_of_thread)) } == 0 {
        let _ = KEY.set(key);
    }
}

/// Has the calling thread give its slot back when it ends.
pub(crate) fn give_back_at_end(slot: u16) {
    if let Some(key) = KEY.get() {
        let value = std::ptr::without_provenance::<c_void>(usize::from(slot) + 1);
        // SAFETY: the key exists; the value is a number and never followed.
        unsafe { libc::pthread_setspecific(*key, value) };
    }
}

/// The destructor. It runs in the thread that ends.
unsafe extern "C" fn end_of_thread(value: *mut c_void) {
    let Ok(slot) = u16::try_from((value as usize).wrapping_sub(1)) else { return };
    FIRST_RUN.vcpu_ends(&current::thread());
    if let Some(entry) = shim::owned_page().and_then(|page| page.entries.get(usize::from(slot))) {
        entry.tid.store(0, Ordering::Release);
    }
    slots::release(slot);
}
