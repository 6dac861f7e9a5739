//! `seccomp_load`: what must be done before QEMU loads its filter. After that this process can set no
//! affinity itself.

use crate::broker;
use crate::state::ownership;
use crate::state::shim::{self, Shim};
use crate::state::slots::UNPLACED;
use crate::sys::errno::keeping_errno;
use crate::sys::wait;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often to look whether all threads are placed, and the microseconds between two looks. A thread that is
/// not placed by then asks the broker.
const STEPS: usize = 1000;
const STEP_US: i64 = 100;

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
    for _ in 0..STEPS {
        if UNPLACED.load(Ordering::Acquire) == 0 {
            break;
        }
        wait::sleep_us(STEP_US);
    }
    FILTER_LOADED.store(true, Ordering::Relaxed);
    if let Some(page) = shim.page {
        page.header.sandboxed.store(1, Ordering::Relaxed);
    }
}
