//! How long a recording goes on: for its time, until the user wants no more.

use crate::sys::kernel::Kernel;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time of a recording.
pub(crate) struct Progress<'a> {
    began: Duration,
    time: Duration,
    /// The user wants no more.
    interruption: Arc<AtomicBool>,
    /// Hears how long it has gone on, and how many threads there were so far.
    tell: &'a mut dyn FnMut(Duration, usize),
}

impl<'a> Progress<'a> {
    /// The time begins now.
    pub(crate) fn new(
        kernel: &dyn Kernel,
        time: Duration,
        interruption: Arc<AtomicBool>,
        tell: &'a mut dyn FnMut(Duration, usize),
    ) -> Self {
        Self { began: kernel.now(), time, interruption, tell }
    }

    /// How much is left of it.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        self.time.saturating_sub(now.saturating_sub(self.began))
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.left(now).is_zero() || self.interruption.load(Ordering::Relaxed)
    }

    /// Says how far it is.
    pub(crate) fn tell(&mut self, now: Duration, threads: usize) {
        (self.tell)(now.saturating_sub(self.began), threads);
    }
}
