//! The only place that sets an affinity: directly, or through the broker where the sandbox forbids it.
//!
//! It asks first and sets only where the answer differs, since an unneeded set costs five times an ask,
//! and it reads back what was set: the kernel cuts a request to the cpuset without a word
//! (sched_setaffinity(2)).

use crate::sys::errno::Errno;
use crate::sys::sched::{self, Mask};
use crate::sys::symbol::Optional;
use libc::{c_int, c_void, pthread_t, size_t};
use pinning::status_page::State;
use pinning::{CpuSet, Tid, same_cpus};

/// What became of a pin.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, and a box would allocate")]
pub(crate) enum Outcome {
    /// The thread may run on its set and nowhere else.
    Placed {
        /// It was elsewhere before.
        moved: bool,
    },
    /// The cpuset left only a part of the set; which one, where it could be read.
    Cut(Option<Mask>),
    /// The kernel said no.
    Refused(Errno),
    /// Only the broker could have done it, and it did not answer.
    Unanswered,
}

impl Outcome {
    /// The word for it on the status page.
    pub(crate) fn state(&self) -> State {
        match self {
            Outcome::Placed { .. } => State::Placed,
            Outcome::Cut(_) => State::Cut,
            Outcome::Refused(_) | Outcome::Unanswered => State::Refused,
        }
    }
}

/// The same with the caller's own rights alone: the broker's way, and the first try of everyone else.
pub(crate) fn place_directly(tid: Tid, set: &CpuSet) -> Outcome {
    if sched::affinity(tid).is_ok_and(|mask| same_cpus(mask.words(), set.words())) {
        return Outcome::Placed { moved: false };
    }
    if let Err(errno) = sched::set_affinity(tid, set.words()) {
        return Outcome::Refused(errno);
    }
    match sched::affinity(tid) {
        Ok(mask) if same_cpus(mask.words(), set.words()) => Outcome::Placed { moved: true },
        Ok(mask) => Outcome::Cut(Some(mask)),
        // What cannot be read was set all the same.
        Err(_) => Outcome::Placed { moved: true },
    }
}

/// The real `pthread_setaffinity_np`.
pub(crate) type PthreadSetaffinity = unsafe extern "C" fn(pthread_t, size_t, *const c_void) -> c_int;

/// Its address, if there is one.
pub fn real_pthread_setaffinity() -> Option<PthreadSetaffinity> {
    // SAFETY: the type above is this function's.
    static REAL: Optional<PthreadSetaffinity> = unsafe { Optional::new(c"pthread_setaffinity_np") };
    REAL.get()
}

/// Moves a thread that does not run its own routine yet, by its handle.
///
/// The caller upholds that the thread is alive: it waits for its creator (`handover`).
pub(crate) fn place_new_thread(handle: pthread_t, set: &CpuSet) {
    if let Some(real) = real_pthread_setaffinity() {
        let words = set.words();
        // SAFETY: the thread is alive, as the caller upholds, and the mask is of that size.
        unsafe { real(handle, size_of_val(words), words.as_ptr().cast()) };
    }
}
