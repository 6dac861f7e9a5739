//! Whether another library's `pthread_create` stands before ours, so that threads may be created unseen.

use std::sync::atomic::{AtomicBool, Ordering};

static STANDS_BEFORE: AtomicBool = AtomicBool::new(false);

/// Notes that another library's stands before ours.
pub(crate) fn note() {
    STANDS_BEFORE.store(true, Ordering::Relaxed);
}

/// Whether another library's stands before ours.
pub(crate) fn is_possible() -> bool {
    STANDS_BEFORE.load(Ordering::Relaxed)
}
