//! The only place that sets an affinity: directly, or through the broker where the sandbox forbids it.
//!
//! It asks first and sets only where the answer differs, since an unneeded set costs five times an ask,
//! and it reads back what was set: the kernel cuts a request to the cpuset without a word
//! (sched_setaffinity(2)).

use crate::broker;
use crate::report::{self, Cause, targets};
use crate::start::Shim;
use crate::state::page::Page;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::Path;
use crate::sys::sched::{self, Mask};
use crate::sys::symbol::Optional;
use libc::{c_int, c_void, pthread_t, size_t};
use pinning::status_page::State;
use pinning::{CpuList, CpuSet, RoleKind, SetId, Tid, same_cpus};
use std::fmt::Write;
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
    match sched::affinity(tid) {
        Ok(mask) if same_cpus(mask.words(), set.words()) => Outcome::Placed { moved: true },
        Ok(mask) if matches!(answer, broker::Answer::Cut | broker::Answer::Placed) => {
            Outcome::Cut(Some(mask))
        }
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
pub(crate) fn real_pthread_setaffinity() -> Option<PthreadSetaffinity> {
    // SAFETY: the type above is this function's.
    static REAL: Optional<PthreadSetaffinity> = unsafe { Optional::new(c"pthread_setaffinity_np") };
    REAL.get()
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
        Outcome::Placed { .. } => {
            log::info!(target: targets::AFFINITY, "thread {tid}{name} ({role}) runs on {set}")
        }
        Outcome::Cut(left) => {
            if let Some(page) = page {
                page.header.cut.fetch_add(1, Ordering::Relaxed);
            }
            if report::first_time(role, Cause::Cut) {
                let left = CpuList(left.as_ref().map(Mask::words).unwrap_or_default());
                let cpuset = Cpuset(tid);
                log::warn!(target: targets::AFFINITY,
                    "thread {tid}{name} ({role}) should run on {set}; its cpuset{cpuset} leaves it {left}"
                );
            }
        }
        Outcome::Refused(errno) => {
            refused(page);
            if report::first_time(role, Cause::Refused) {
                match sched::affinity(tid) {
                    // sched_setaffinity(2): none of these CPUs is in its cpuset.
                    Ok(left) if *errno == Errno(libc::EINVAL) => log::warn!(target: targets::AFFINITY,
                        "thread {tid}{name} ({role}) should run on {set}; its cpuset{} leaves it {}",
                        Cpuset(tid),
                        CpuList(left.words())
                    ),
                    _ => {
                        log::warn!(target: targets::AFFINITY, "thread {tid}{name} ({role}) could not be put on {set}: {errno}")
                    }
                }
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

/// The cgroup in which a thread of this process has its cpuset, in a sentence: nothing where that cannot be
/// read.
struct Cpuset(Tid);

impl std::fmt::Display for Cpuset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut path = Path::default();
        write!(path, "/proc/self/task/{}/cgroup", self.0)?;
        let mut room = [0u8; 2048];
        let Ok(file) = file::open(path.as_c_str(), libc::O_RDONLY) else { return Ok(()) };
        let text = file::read(file, &mut room);
        file::close(file);
        let name = cpuset_in(text.unwrap_or_default()).unwrap_or_default();
        if !name.is_empty() {
            f.write_str(" ")?;
        }
        for chunk in name.utf8_chunks() {
            for letter in chunk.valid().chars() {
                f.write_char(if letter.is_control() { '?' } else { letter })?;
            }
        }
        Ok(())
    }
}

/// cgroups(7), /proc/PID/cgroup: `3:cpuset:/PATH` of version 1, else `0::/PATH`.
fn cpuset_in(text: &[u8]) -> Option<&[u8]> {
    let mut unified = None;
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.split(|byte| *byte == b',').any(|name| name == b"cpuset") {
            return Some(path);
        }
        if number == b"0" && controllers.is_empty() {
            unified = Some(path);
        }
    }
    unified
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
