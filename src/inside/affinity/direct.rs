//! Setting a thread's affinity.
//!
//! The affinity is read first, and set only where it differs, since setting it costs five times as much as reading it.
//! Then it is read back, since the kernel cuts it to the cpuset without a word (sched_setaffinity(2)).

use crate::affinity::threads::Threads;
use crate::sys::errno::Errno;
use crate::sys::sched::{self, Mask};
use crate::sys::symbol::Optional;
use libc::{c_int, c_void, pthread_t, size_t};
use pinning::status_page::State;
use pinning::{CpuSet, MASK_WORDS, Tid, same_cpus};

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
            Outcome::Refused(Errno::FILTERED) => State::Filtered,
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

/// Puts a thread of a process on a set, by its id, if it is a thread of that process. Else the answer is ESRCH.
///
/// The kernel moves whatever thread has the id at that moment. If the thread has ended since it was looked at, and another
/// process has its id, a foreign thread was moved: so this looks again afterwards, and gives a foreign thread its
/// affinity back.
pub(crate) fn place_thread_of(threads: &impl Threads, tid: Tid, set: &CpuSet) -> Outcome {
    const NO_SUCH_THREAD: Outcome = Outcome::Refused(Errno(libc::ESRCH));
    let is_right = threads.affinity(tid).is_ok_and(|mask| same_cpus(mask.words(), set.words()));
    // This comes last before the affinity is set, so that as little time as possible lies between them.
    if !threads.has(tid) {
        return NO_SUCH_THREAD;
    }
    if is_right {
        return Outcome::Placed { moved: false };
    }
    if let Err(errno) = threads.set_affinity(tid, set.words()) {
        return Outcome::Refused(errno);
    }
    let now = threads.affinity(tid);
    if !threads.has(tid) {
        give_back(threads, tid, set);
        return NO_SUCH_THREAD;
    }
    match now {
        Ok(mask) if !same_cpus(mask.words(), set.words()) => Outcome::Cut(Some(mask)),
        // It was set, even if it cannot be read.
        _ => Outcome::Placed { moved: true },
    }
}

/// Gives a foreign thread the affinity that it had. It is so young (its id was another thread's just before it was moved)
/// that this is the affinity of the thread that created it. Where that is not known it may run everywhere.
fn give_back(threads: &impl Threads, tid: Tid, set: &CpuSet) {
    let moved = |mask: &Mask| is_within(mask.words(), set.words());
    // It has no affinity if nobody has the id, and another one if it got the id after the thread was placed.
    if !threads.affinity(tid).as_ref().is_ok_and(moved) {
        return;
    }
    let of_creator = threads.creator_of(tid).and_then(|creator| threads.affinity(creator).ok());
    let _ = match of_creator {
        Some(mask) => threads.set_affinity(tid, mask.words()),
        None => threads.set_affinity(tid, &[u64::MAX; MASK_WORDS]),
    };
}

/// Whether the CPUs of a mask all are in a set.
pub(crate) fn is_within(mask: &[u64], set: &[u64]) -> bool {
    mask.iter().enumerate().all(|(i, word)| word & !set.get(i).unwrap_or(&0) == 0)
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

/// Whether the program's filters let the calling thread place new threads so.
pub(crate) fn may_place_new_threads() -> bool {
    // Some versions of glibc ask for an affinity first, to learn how long the kernel's masks are.
    sched::may_ask_and_set()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, is_within, place_thread_of};
    use crate::affinity::threads::Threads;
    use crate::sys::errno::Errno;
    use crate::sys::sched::Mask;
    use pinning::{CpuSet, Tid};
    use std::cell::{Cell, RefCell};
    use std::fmt;

    const OURS: Tid = Tid(10);
    const SET: u64 = 0b0010;
    /// Where the thread stands before it is placed.
    const BEFORE: u64 = 0b0001;
    /// Where the foreign one stands, and its creator.
    const FOREIGN: u64 = 0b0100;
    const CREATOR: Tid = Tid(77);

    /// Who has the id that is asked about.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Holder {
        Ours,
        Foreign,
        Nobody,
    }

    /// A process with one thread, whose id is given away before the system call of this number.
    struct Fake {
        given_away_at: usize,
        to: Holder,
        /// Whether the creator of the foreign thread is known.
        creator_is_known: bool,
        calls: Cell<usize>,
        ours: Cell<u64>,
        foreign: Cell<u64>,
        /// What was set of whom.
        set: RefCell<Vec<(Holder, u64)>>,
        /// What the cpuset leaves.
        cpuset: u64,
        refusal: Option<i32>,
    }

    impl Fake {
        fn new(given_away_at: usize, to: Holder) -> Self {
            Self {
                given_away_at,
                to,
                creator_is_known: true,
                calls: Cell::new(0),
                ours: Cell::new(BEFORE),
                foreign: Cell::new(FOREIGN),
                set: RefCell::default(),
                cpuset: u64::MAX,
                refusal: None,
            }
        }

        fn holder(&self) -> Holder {
            let call = self.calls.replace(self.calls.get() + 1);
            if call >= self.given_away_at { self.to } else { Holder::Ours }
        }

        fn place(&self) -> Outcome {
            place_thread_of(self, OURS, &CpuSet::from_words(&[SET]))
        }
    }

    impl Threads for Fake {
        fn pid(&self) -> i32 {
            OURS.0
        }

        fn is_alive(&self) -> bool {
            true
        }

        fn checked<T>(&self, _: libc::c_long, answer: Result<T, Errno>) -> Result<T, Errno> {
            answer
        }

        fn open(&self, _: fmt::Arguments<'_>, _: i32) -> Result<i32, Errno> {
            Err(Errno(libc::ENOENT))
        }

        fn has(&self, _: Tid) -> bool {
            self.holder() == Holder::Ours
        }

        fn affinity(&self, tid: Tid) -> Result<Mask, Errno> {
            if tid == CREATOR {
                return Ok(Mask::of(&[FOREIGN]));
            }
            match self.holder() {
                Holder::Ours => Ok(Mask::of(&[self.ours.get()])),
                Holder::Foreign => Ok(Mask::of(&[self.foreign.get()])),
                Holder::Nobody => Err(Errno(libc::ESRCH)),
            }
        }

        fn set_affinity(&self, _: Tid, words: &[u64]) -> Result<(), Errno> {
            if let Some(errno) = self.refusal {
                return Err(Errno(errno));
            }
            let holder = self.holder();
            match holder {
                Holder::Ours => self.ours.set(words[0] & self.cpuset),
                Holder::Foreign => self.foreign.set(words[0]),
                Holder::Nobody => return Err(Errno(libc::ESRCH)),
            }
            self.set.borrow_mut().push((holder, words[0]));
            Ok(())
        }

        fn creator_of(&self, _: Tid) -> Option<Tid> {
            self.creator_is_known.then_some(CREATOR)
        }
    }

    #[test]
    fn a_thread_is_put_on_its_set() {
        let fake = Fake::new(usize::MAX, Holder::Nobody);
        assert!(matches!(fake.place(), Outcome::Placed { moved: true }));
        assert_eq!(*fake.set.borrow(), [(Holder::Ours, SET)]);
        assert!(matches!(fake.place(), Outcome::Placed { moved: false }));
        assert_eq!(fake.set.borrow().len(), 1, "one that is there is not put there again");
    }

    #[test]
    fn what_the_kernel_cuts_or_refuses_is_said() {
        let mut fake = Fake::new(usize::MAX, Holder::Nobody);
        fake.cpuset = 0b1000;
        assert!(matches!(fake.place(), Outcome::Cut(Some(_))));
        fake.refusal = Some(libc::EINVAL);
        assert!(matches!(fake.place(), Outcome::Refused(Errno(libc::EINVAL))));
    }

    #[test]
    fn whenever_a_thread_ends_nothing_else_is_moved() {
        for at in 0..8 {
            let fake = Fake::new(at, Holder::Nobody);
            let outcome = fake.place();
            let placed = matches!(outcome, Outcome::Placed { moved: true });
            assert!(placed || matches!(outcome, Outcome::Refused(Errno(libc::ESRCH))), "{at}");
            assert!(fake.set.borrow().iter().all(|(who, _)| *who == Holder::Ours), "{at}");
        }
    }

    #[test]
    fn whenever_the_id_is_given_to_a_foreign_thread_that_one_stays_or_is_put_back_where_it_was() {
        let mut moved = 0;
        for at in 0..12 {
            let fake = Fake::new(at, Holder::Foreign);
            fake.place();
            assert_eq!(fake.foreign.get(), FOREIGN, "given away before call {at}: {:?}", fake.set);
            moved += usize::from(fake.set.borrow().contains(&(Holder::Foreign, SET)));
        }
        assert_eq!(moved, 1, "at one moment alone it was moved at all");
    }

    #[test]
    fn a_foreign_thread_that_was_not_moved_keeps_an_affinity_that_is_not_its_creators() {
        const OWN: u64 = 0b1000;
        for at in 0..12 {
            let fake = Fake::new(at, Holder::Foreign);
            fake.foreign.set(OWN);
            fake.place();
            let moved = fake.set.borrow().contains(&(Holder::Foreign, SET));
            assert_eq!(fake.foreign.get(), if moved { FOREIGN } else { OWN }, "given away before call {at}");
        }
    }

    #[test]
    fn a_foreign_thread_whose_creator_is_not_known_may_run_everywhere() {
        let mut fake = Fake::new(2, Holder::Foreign);
        fake.creator_is_known = false;
        assert!(matches!(fake.place(), Outcome::Refused(Errno(libc::ESRCH))));
        assert_eq!(fake.foreign.get(), u64::MAX);
    }

    #[test]
    fn a_mask_is_within_a_set_whose_words_hold_it() {
        assert!(is_within(&[0b01], &[0b11]) && is_within(&[0b11, 0], &[0b11]) && is_within(&[], &[]));
        assert!(!is_within(&[0b100], &[0b11]) && !is_within(&[0, 1], &[0b11]));
    }
}
