//! `seccomp_load`: what must be done before QEMU loads its filter. After that this process can set no
//! affinity itself.

use crate::broker;
use crate::state::ownership;
use crate::state::shim::{self, Shim};
use crate::state::slots;
use crate::sys::errno::keeping_errno;
use std::sync::atomic::{AtomicBool, Ordering};

static FILTER_LOADED: AtomicBool = AtomicBool::new(false);

/// Whether QEMU has loaded its filter, or is about to.
pub(crate) fn filter_is_loaded() -> bool {
    FILTER_LOADED.load(Ordering::Relaxed)
}

/// To be called when QEMU is about to load its filter: starts the broker, and waits for threads that are
/// still placing themselves.
pub fn before_seccomp_load() {
    let Some(shim) = shim::shim().filter(|_| ownership::is_ours()) else { return };
    keeping_errno(|| prepare(shim));
}

fn prepare(shim: &'static Shim) {
    broker::start(shim);
    // A thread that is not placed by then asks the broker.
    slots::wait_until_all_are_placed();
    FILTER_LOADED.store(true, Ordering::Relaxed);
    if let Some(page) = shim.page {
        page.header.sandboxed.store(1, Ordering::Relaxed);
    }
}
