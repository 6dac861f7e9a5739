//! The only place that sets an affinity: directly, or through the broker where the sandbox forbids it.
//!
//! It asks first and sets only where the answer differs, since an unneeded set costs five times an ask,
//! and it reads back what was set: the kernel cuts a request to the cpuset without a word
//! (sched_setaffinity(2)).

use crate::broker;
use crate::kernel::{self, Errno, Mask};
use crate::page::Page;
use crate::process::Shim;
use crate::report::{self, Cause};
use crate::symbol::Optional;
use libc::{c_int, c_void, pthread_t, size_t};
use pinning::status_page::State;
use pinning::{CpuList, CpuSet, RoleKind, SetId, Tid, same_cpus};
use std::sync::atomic::Ordering;

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

/// Puts a thread of this process on a set of the policy.
pub(crate) fn place(shim: &Shim, tid: Tid, id: SetId) -> Outcome {
    let set = shim.policy.set(id);
    match place_directly(tid, set) {
        Outcome::Refused(Errno(libc::EPERM)) => {}
        outcome => return outcome,
    }
    let answer = broker::ask(shim, tid, id);
    // The truth is the kernel's own answer. QEMU before 6.1 forbids even to ask; then the broker's word counts.
    match kernel::affinity(tid) {
        Ok(mask) if same_cpus(mask.words(), set.words()) => Outcome::Placed { moved: true },
        Ok(mask) if matches!(answer, broker::Answer::Cut) => Outcome::Cut(Some(mask)),
        _ => match answer {
            broker::Answer::Placed => Outcome::Placed { moved: true },
            broker::Answer::Cut => Outcome::Cut(None),
            broker::Answer::Refused(errno) => Outcome::Refused(errno),
            broker::Answer::None => Outcome::Unanswered,
        },
    }
}

/// The same with the caller's own rights alone: the broker's way, and the first try of everyone else.
pub(crate) fn place_directly(tid: Tid, set: &CpuSet) -> Outcome {
    if kernel::affinity(tid).is_ok_and(|mask| same_cpus(mask.words(), set.words())) {
        return Outcome::Placed { moved: false };
    }
    if let Err(errno) = kernel::set_affinity(tid, set.words()) {
        return Outcome::Refused(errno);
    }
    match kernel::affinity(tid) {
        Ok(mask) if same_cpus(mask.words(), set.words()) => Outcome::Placed { moved: true },
        Ok(mask) => Outcome::Cut(Some(mask)),
        // What cannot be read was set all the same.
        Err(_) => Outcome::Placed { moved: true },
    }
}

/// The real `pthread_setaffinity_np`.
pub(crate) type PthreadSetaffinity = unsafe extern "C" fn(pthread_t, size_t, *const c_void) -> c_int;

/// Its address, if there is one.
pub(crate) fn real_pthread_setaffinity() -> Option<PthreadSetaffinity> {
    static REAL: Optional = Optional::new(c"pthread_setaffinity_np");
    let address = REAL.address()?;
    // SAFETY: the address of pthread_setaffinity_np, which has this type.
    Some(unsafe { std::mem::transmute::<*mut c_void, PthreadSetaffinity>(address.as_ptr()) })
}

/// Moves a thread that does not run its own routine yet, by its handle.
///
/// The caller upholds that the thread is alive: it waits for its creator (`handover`).
pub(crate) fn place_newborn(handle: pthread_t, set: &CpuSet) {
    if let Some(real) = real_pthread_setaffinity() {
        let words = set.words();
        // SAFETY: the thread is alive, as the caller upholds, and the mask is of that size.
        unsafe { real(handle, size_of_val(words), words.as_ptr().cast()) };
    }
}

/// Who a warning is about.
pub(crate) struct About<'a> {
    pub(crate) tid: Tid,
    pub(crate) role: RoleKind,
    pub(crate) name: &'a [u8],
    pub(crate) set: SetId,
}

/// Counts an outcome and says what went wrong: one warning for each role and cause.
pub(crate) fn account(shim: &Shim, page: Option<Page>, who: &About<'_>, outcome: &Outcome) {
    let set = shim.policy.set(who.set);
    let (tid, role, name) = (who.tid, who.role, Name(who.name));
    match outcome {
        Outcome::Placed { .. } => log::info!("thread {tid}{name} ({role}) runs on {set}"),
        Outcome::Cut(left) => {
            if let Some(page) = page {
                page.header.cut.fetch_add(1, Ordering::Relaxed);
            }
            if report::first_time(role, Cause::Cut) {
                let left = left.as_ref().map(Mask::words).unwrap_or_default();
                log::warn!(
                    "thread {tid}{name} ({role}) should run on {set}; its cpuset leaves it {}",
                    CpuList(left)
                );
            }
        }
        Outcome::Refused(errno) => {
            refused(page);
            if report::first_time(role, Cause::Refused) {
                log::warn!("thread {tid}{name} ({role}) could not be put on {set}: {errno}");
            }
        }
        // The broker said so itself, once.
        Outcome::Unanswered => refused(page),
    }
}

fn refused(page: Option<Page>) {
    if let Some(page) = page {
        page.header.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A thread's name in a sentence: nothing where there is none.
struct Name<'a>(&'a [u8]);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(" \"")?;
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        f.write_str("\"")
    }
}
