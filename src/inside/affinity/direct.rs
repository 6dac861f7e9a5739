//! Setting a thread's affinity.
//!
//! The affinity is read first, and set only where it differs, since setting it costs five times as much as reading it.
//! Then it is read back, since the kernel cuts it to the cpuset without a word (sched_setaffinity(2)).

use crate::sys::errno::Errno;
use crate::sys::sched::{self, Mask};
use crate::sys::symbol::Optional;
use libc::{c_int, c_void, pthread_t, size_t};
use pinning::status_page::State;
use pinning::{CpuSet, Tid, same_cpus};

/// What became of a placement.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, and a box would allocate")]
pub(crate) enum Outcome {
    /// The thread may run on its set and nowhere else.
    Placed {
        /// Whether its affinity was another before.
        moved: bool,
    },
    /// The cpuset left only a part of the set: this one, where it could be read.
    Cut(Option<Mask>),
    /// The kernel refused.
    Refused(Errno),
    /// Only the broker could have done it, and it did not answer.
    Unanswered,
}

impl Outcome {
    /// The state to write on the status page.
    pub(crate) fn state(&self) -> State {
        match self {
            Outcome::Placed { .. } => State::Placed,
            Outcome::Cut(_) => State::Cut,
            Outcome::Refused(_) | Outcome::Unanswered => State::Refused,
        }
    }
}

/// Puts a thread on a set with the rights of the calling process. In QEMU's sandbox the kernel refuses that with EPERM.
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
        // It was set, though it cannot be read.
        Err(_) => Outcome::Placed { moved: true },
    }
}

/// The type of `pthread_setaffinity_np`.
pub(crate) type PthreadSetaffinity = unsafe extern "C" fn(pthread_t, size_t, *const c_void) -> c_int;

/// The real `pthread_setaffinity_np`, if there is one.
pub fn real_pthread_setaffinity() -> Option<PthreadSetaffinity> {
    // SAFETY: the type above is this function's.
    static REAL: Optional<PthreadSetaffinity> = unsafe { Optional::new(c"pthread_setaffinity_np") };
    REAL.get()
}

/// Puts a new thread on a set, by its handle, before it runs its own routine. To be called by its creator in a
/// handover, which upholds that the thread is alive: it waits until the creator is done.
pub(crate) fn place_new_thread(handle: pthread_t, set: &CpuSet) {
    if let Some(real) = real_pthread_setaffinity() {
        let words = set.words();
        // SAFETY: the handover upholds that the thread is alive, and the mask is of that size.
        unsafe { real(handle, size_of_val(words), words.as_ptr().cast()) };
    }
}
