//! Which of two threads places a new thread: its creator or the new thread itself.
//!
//! A new thread that must leave its creator's CPUs can move itself only while it runs, which takes the kernel's
//! migration thread and two more context switches. Its creator is still running, and can move it for a fraction of that.
//! But a `pthread_t` may be used only while its thread is known to be alive, and the variable that the caller gave us
//! for it may hold another thread's by then. So the two agree through one word: whoever comes first does
//! the work, and the thread does not go on before the creator has finished. The real `pthread_create` writes the
//! handle into the creator's frame; whoever comes first copies it to where the caller wants it, so that it is there
//! before the thread's own routine runs, as without the library.
//!
//! The word carries a generation: when the creator reads it, the thread may have ended, and its slot may have been given
//! to another thread.

use crate::sys::wait;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Neither the thread nor its creator has come.
const OPEN: u32 = 1;
/// The thread came first and is writing its handle.
const CHILD: u32 = 2;
/// The creator came first and is placing the thread.
const CREATOR: u32 = 3;
/// The creator is placing the thread, and the thread waits for it.
const AWAITED: u32 = 4;
/// The work is done. 0, the state of a slot that has had no handover, means the same.
const DONE: u32 = 5;
/// The bits of the word that hold one of these.
const STATE: u32 = 7;
/// The bits above them count the generations.
const GENERATION: u32 = 8;

/// How long the thread waits for its creator. It takes the creator one system call; the limit is for a creator that was
/// cancelled in the middle of it, and never comes back to use the handle.
const PATIENCE: Duration = Duration::from_secs(5);
/// The wait is made of pieces of this length. A process that is stopped for longer than [`PATIENCE`] (SIGSTOP, a frozen
/// cgroup) uses up one of them, and its creator has the others to finish before the thread goes on.
const PIECE: Duration = Duration::from_millis(50);
/// How often the creator yields its CPU to the thread before it sleeps, which helps where the thread has a lower
/// real-time priority.
const YIELDS: usize = 100;

/// The word, in the thread's slot. A test puts another kind of word here, and tries every order of the two threads' steps.
pub(crate) struct Handover<W = AtomicU32>(W);

/// What the two threads do with the word. The first three are an atomic word's own.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn compare_exchange(&self, old: u32, new: u32, success: Ordering, failure: Ordering) -> Result<u32, u32>;
    /// Waits until the word is no longer `value`, but no longer than `limit`, in pieces.
    fn wait_while(&self, value: u32, limit: Duration);
    /// Wakes a thread that waits for the word.
    fn wake(&self);
    /// Lets the other thread run on this CPU.
    fn yield_cpu(&self);
    /// Sleeps for so many microseconds.
    fn sleep_us(&self, us: i64);
}

/// Which of the threads that were created in one slot, one after another, a creator means.
#[derive(Clone, Copy)]
pub(crate) struct Generation(u32);

/// Whether the program's filters let the calling thread, and so those that it creates, wait for each other.
pub(crate) fn is_permitted() -> bool {
    wait::may_wait()
}

impl Handover {
    /// Of a slot that has had no handover.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }
}

impl<W: Word> Handover<W> {
    /// The creator opens the handover, before the thread exists.
    pub(crate) fn open(&self) -> Generation {
        let generation = (self.0.load(Ordering::Relaxed) & !STATE).wrapping_add(GENERATION);
        self.0.store(generation | OPEN, Ordering::Release);
        Generation(generation)
    }

    /// To be called by the creator, once the thread exists. It does `work` if the creator is first, and returns when one
    /// of the two has written the handle.
    pub(crate) fn creator(&self, Generation(generation): Generation, work: impl FnOnce()) {
        let open = generation | OPEN;
        match self.0.compare_exchange(open, generation | CREATOR, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                work();
                // Only a word of this generation is changed: a thread that has waited too long may have ended, and its
                // slot may have been given to another.
                let (creator, awaited, done) =
                    (generation | CREATOR, generation | AWAITED, generation | DONE);
                let finish =
                    |from| self.0.compare_exchange(from, done, Ordering::Release, Ordering::Relaxed).is_ok();
                if !finish(creator) && finish(awaited) {
                    self.0.wake();
                }
            }
            // The thread is first. It writes the handle and sets the word, which is two instructions away unless it is
            // preempted between them: so this loop ends as soon as the thread has run again.
            Err(mut now) => {
                for turn in 0.. {
                    if now != generation | CHILD {
                        break;
                    }
                    if turn < YIELDS {
                        self.0.yield_cpu()
                    } else {
                        self.0.sleep_us(50)
                    }
                    now = self.0.load(Ordering::Acquire);
                }
            }
        }
    }

    /// To be called by the thread, before anything else. It does `work` if the thread is first, or else waits until the
    /// creator has done its own.
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
            self.0.wait_while(awaited, PATIENCE);
        }
    }

    /// To be called by the creator where the thread needs no handover, before the thread exists.
    pub(crate) fn close(&self) {
        let generation = self.0.load(Ordering::Relaxed) & !STATE;
        self.0.store(generation | DONE, Ordering::Release);
    }
}

impl Word for AtomicU32 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    #[inline(always)]
    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    #[inline(always)]
    fn compare_exchange(&self, old: u32, new: u32, success: Ordering, failure: Ordering) -> Result<u32, u32> {
        self.compare_exchange(old, new, success, failure)
    }

    fn wait_while(&self, value: u32, limit: Duration) {
        let pieces = limit.as_millis() / PIECE.as_millis();
        let _ = (0..pieces).find_map(|_| wait::wait_while(self, value, Instant::now() + PIECE));
    }

    #[inline(always)]
    fn wake(&self) {
        let _ = wait::futex_wake(self);
    }

    #[inline(always)]
    fn yield_cpu(&self) {
        wait::yield_cpu();
    }

    #[inline(always)]
    fn sleep_us(&self, us: i64) {
        wait::sleep_us(us);
    }
}

#[cfg(test)]
mod tests;
