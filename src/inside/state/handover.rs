//! Who places a identity: its creator, if it comes first, since it can move a thread that does not run yet.
//!
//! A thread that has to leave its creator's CPUs can move itself only while it runs, which takes the kernel's
//! migration thread and two more switches. Its creator is still running, and moves it for a fraction of that. But a
//! `pthread_t` may be used only while its thread is known to be alive, and the variable that the caller gave us
//! for it may be another thread's by then. So the two agree through one word: whoever comes first does
//! the work, and the thread does not go on before the creator has finished. The real `pthread_create` writes the
//! handle into the creator's frame; whoever comes first copies it where the caller wants it, so that it is there
//! before the thread's own routine runs, as glibc has it.
//!
//! The word carries a generation, since the thread may have ended, and its slot have been given to another,
//! when the creator gets there.

use crate::sys::wait;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The thread has yet to come, and so has its creator.
const OPEN: u32 = 1;
/// The thread came first and is writing its handle.
const CHILD: u32 = 2;
/// The creator came first and is placing the thread.
const CREATOR: u32 = 3;
/// The same, and the thread waits for it.
const AWAITED: u32 = 4;
/// It is done. (Also the state of a slot whose births need no handover: 0.)
const DONE: u32 = 5;
const STATE: u32 = 7;
const GENERATION: u32 = 8;

/// A wait of the thread's is one system call of its creator's long; this is for a creator that was cancelled
/// in the middle, and never comes back to use the handle.
const PATIENCE: Duration = Duration::from_secs(5);
/// A creator first lets the thread run, then (should the thread have a lower real-time priority) sleeps.
const YIELDS: usize = 100;

/// The word, in a thread's slot.
pub(crate) struct Handover(AtomicU32);

/// Which creation in the slot a creator means.
#[derive(Clone, Copy)]
pub(crate) struct Generation(u32);

impl Handover {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The creator opens it, before the thread exists.
    pub(crate) fn open(&self) -> Generation {
        let generation = (self.0.load(Ordering::Relaxed) & !STATE).wrapping_add(GENERATION);
        self.0.store(generation | OPEN, Ordering::Release);
        Generation(generation)
    }

    /// The creator, once the thread exists: does `work` if it is first, and returns when the handle has been
    /// written by one of the two.
    pub(crate) fn creator(&self, Generation(generation): Generation, work: impl FnOnce()) {
        let open = generation | OPEN;
        match self.0.compare_exchange(open, generation | CREATOR, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                work();
                // The word is still this creation's: the thread waits, or has yet to come.
                if self.0.swap(generation | DONE, Ordering::Release) == generation | AWAITED {
                    wait::futex_wake(&self.0);
                }
            }
            // Two instructions of the thread's, unless it was preempted between them.
            Err(mut now) => {
                for turn in 0.. {
                    if now != generation | CHILD {
                        break;
                    }
                    if turn < YIELDS {
                        wait::yield_cpu()
                    } else {
                        wait::sleep_us(50)
                    }
                    now = self.0.load(Ordering::Acquire);
                }
            }
        }
    }

    /// The thread, before anything else: does `work` if it is first, or waits until its creator has done its.
    pub(crate) fn child(&self, work: impl FnOnce()) {
        let now = self.0.load(Ordering::Acquire);
        let generation = now & !STATE;
        if now & STATE == 0 || now & STATE == DONE {
            return;
        }
        let open = generation | OPEN;
        if self.0.compare_exchange(open, generation | CHILD, Ordering::Acquire, Ordering::Acquire).is_ok() {
            work();
            self.0.store(generation | DONE, Ordering::Release);
            return;
        }
        let (creator, awaited) = (generation | CREATOR, generation | AWAITED);
        if self.0.compare_exchange(creator, awaited, Ordering::Acquire, Ordering::Acquire).is_ok() {
            wait::wait_while(&self.0, awaited, Instant::now() + PATIENCE);
        }
    }

    /// The creator's handover was not needed, or the thread was not created.
    pub(crate) fn close(&self) {
        let generation = self.0.load(Ordering::Relaxed) & !STATE;
        self.0.store(generation | DONE, Ordering::Release);
    }
}
