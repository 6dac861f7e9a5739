//! What is left to do until every vCPU has entered KVM_RUN for the first time.
//!
//! There are two such things. Each vCPU puts itself back on its set before its own first KVM_RUN, and the
//! first of them also rescans all threads, before the guest's first instruction. While that vCPU is in the
//! first KVM_RUN of all, where the kernel makes a thread in the process, the ioctls of other threads look for
//! that thread.
//!
//! Every VM exit to user space is an ioctl, so all of it is counted in one word, and an ioctl that has
//! nothing to do costs one load of that word. The accesses are relaxed, since no other memory is read because
//! of what the word says.

use crate::state::current::CurrentThread;
use std::sync::atomic::{AtomicU32, Ordering};

/// The one of this process.
pub(crate) static FIRST_RUN: FirstRun = FirstRun::new();

/// The unit of the upper half of [`FirstRun::due`].
const ONE_LOOK: u32 = 0x1_0000;
/// How often other threads look for the kernel's thread during the first KVM_RUN. Where there is one, the
/// first look after its creation finds it; where there is none (an older kernel, an Arm host), no look finds
/// anything.
const LOOKS: u32 = 16 * ONE_LOOK;

// The states of the rescan before the first KVM_RUN.
const NOT_BEGUN: u32 = 0;
const UNDER_WAY: u32 = 1;
const DONE: u32 = 2;

/// The vCPUs that have not run yet, the looks for the kernel's thread that are left, and the rescan.
pub(crate) struct FirstRun {
    /// In the lower half, the vCPUs that have not entered KVM_RUN; in the upper half, the looks that are left.
    due: AtomicU32,
    /// Whether all threads were rescanned.
    rescan: AtomicU32,
}

impl FirstRun {
    /// No vCPU yet, no look, and no rescan.
    pub(crate) const fn new() -> Self {
        Self { due: AtomicU32::new(0), rescan: AtomicU32::new(NOT_BEGUN) }
    }

    /// Whether a look for a kernel thread is due.
    #[inline(always)]
    pub(crate) fn kernel_thread_is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) >= ONE_LOOK
    }

    /// Whether such a look is due, or some vCPU has not entered KVM_RUN yet.
    #[inline(always)]
    pub(crate) fn something_is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) != 0
    }

    /// The calling thread, `current`, is a vCPU that has not entered KVM_RUN yet.
    pub(crate) fn vcpu_arrives(&self, current: &mut CurrentThread) {
        self.due.fetch_add(1, Ordering::Relaxed);
        current.before_first_run = true;
    }

    /// The calling thread, `current`, is about to enter KVM_RUN. True if it is a vCPU that does so for the
    /// first time.
    pub(crate) fn vcpu_enters(&self, current: &mut CurrentThread) -> bool {
        let first = current.before_first_run;
        if first {
            current.before_first_run = false;
            self.due.fetch_sub(1, Ordering::Relaxed);
        }
        first
    }

    /// The calling thread, `current`, ends. It may be a vCPU that never entered KVM_RUN.
    pub(crate) fn vcpu_ends(&self, current: &CurrentThread) {
        if current.before_first_run {
            self.due.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// True for the first caller alone: it is to rescan all threads, and then to call [`FirstRun::end_rescan`].
    pub(crate) fn begin_rescan(&self) -> bool {
        self.rescan.compare_exchange(NOT_BEGUN, UNDER_WAY, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// All threads were rescanned.
    pub(crate) fn end_rescan(&self) {
        self.rescan.store(DONE, Ordering::Release);
    }

    /// Whether some vCPU is rescanning. The guest's first instruction may be any vCPU's, so all of them wait
    /// for it.
    pub(crate) fn rescan_is_under_way(&self) -> bool {
        self.rescan.load(Ordering::Acquire) == UNDER_WAY
    }

    /// The first KVM_RUN of all begins: from now on other threads look for the kernel's thread.
    pub(crate) fn begin_looks(&self) {
        self.due.fetch_add(LOOKS, Ordering::Relaxed);
    }

    /// Takes one of the looks that are left; false if none is.
    pub(crate) fn take_look(&self) -> bool {
        let one_less = |due: u32| due.checked_sub(ONE_LOOK);
        self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// The first KVM_RUN of all has returned: no more looks are due.
    pub(crate) fn end_looks(&self) {
        self.due.fetch_and(ONE_LOOK - 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{DONE, FirstRun, NOT_BEGUN, ONE_LOOK, UNDER_WAY};
    use crate::state::current::{self, CurrentThread};
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// What a thread does, one step after another.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Step {
        Arrive,
        /// With what its caller does of it before it makes the real ioctl: the first vCPU of all goes on to [`Step::Rescan`].
        Enter,
        BeginRescan,
        EndRescan,
        BeginLooks,
        /// KVM_RUN returns.
        EndLooks,
        End,
        /// An ioctl of a thread that is no vCPU.
        Look,
    }

    use Step::{Arrive, BeginLooks, BeginRescan, End, EndLooks, EndRescan, Enter, Look};

    /// A vCPU that enters KVM_RUN twice; what only the first of all has to do is left out by the others.
    const RUNS: &[Step] = &[Arrive, Enter, BeginRescan, EndRescan, BeginLooks, EndLooks, Enter, End];
    const NEVER_RUNS: &[Step] = &[Arrive, End];
    const LOOKS: &[Step] = &[Look; 4];

    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    struct Thread {
        /// How many steps it has made.
        at: usize,
        before_first_run: bool,
        /// Whether it is the first vCPU of all to enter KVM_RUN.
        first: bool,
    }

    #[derive(Clone, PartialEq, Eq, Hash)]
    struct State {
        due: u32,
        rescan: u32,
        threads: Vec<Thread>,
    }

    /// Makes the next step of one thread, by the functions under test; answers the state after it.
    fn make(state: &State, programs: &[&[Step]], number: usize) -> Option<State> {
        let mut next = state.clone();
        let thread = &mut next.threads[number];
        let step = *programs[number].get(thread.at)?;
        thread.at += 1;
        let first_run = FirstRun { due: AtomicU32::new(state.due), rescan: AtomicU32::new(state.rescan) };
        let mut current = CurrentThread { before_first_run: thread.before_first_run, ..current::thread() };
        match step {
            Arrive => first_run.vcpu_arrives(&mut current),
            Enter => {
                let entered = first_run.vcpu_enters(&mut current);
                assert_eq!(entered, thread.before_first_run, "only the first time");
                if !entered {
                    first_run.take_look();
                }
            }
            BeginRescan => {
                thread.first = first_run.begin_rescan();
                assert_eq!(thread.first, state.rescan == NOT_BEGUN);
            }
            EndRescan if thread.first => {
                assert!(first_run.rescan_is_under_way());
                first_run.end_rescan();
            }
            BeginLooks if thread.first => first_run.begin_looks(),
            EndLooks if thread.first => {
                first_run.end_looks();
                assert!(!first_run.kernel_thread_is_due());
            }
            EndRescan | BeginLooks | EndLooks => {}
            End => {
                first_run.vcpu_ends(&current);
                current.before_first_run = false;
            }
            Look => {
                let due = first_run.kernel_thread_is_due();
                assert_eq!(first_run.take_look(), due);
            }
        }
        thread.before_first_run = current.before_first_run;
        next.due = first_run.due.into_inner();
        next.rescan = first_run.rescan.into_inner();
        Some(next)
    }

    /// Looks at every state that these threads can reach; answers how many there are.
    fn explore(programs: &[&[Step]]) -> usize {
        let thread = Thread { at: 0, before_first_run: false, first: false };
        let first = State { due: 0, rescan: NOT_BEGUN, threads: vec![thread; programs.len()] };
        let mut seen = HashSet::from([first.clone()]);
        let mut left = vec![first];
        while let Some(state) = left.pop() {
            let nexts: Vec<_> =
                (0..programs.len()).filter_map(|number| make(&state, programs, number)).collect();
            check(&state, programs, nexts.is_empty());
            left.extend(nexts.into_iter().filter(|next| seen.insert(next.clone())));
        }
        seen.len()
    }

    fn check(state: &State, programs: &[&[Step]], all_have_ended: bool) {
        let before = state.threads.iter().filter(|thread| thread.before_first_run).count();
        assert_eq!((state.due % ONE_LOOK) as usize, before, "vCPUs that have not entered KVM_RUN");
        let firsts = state.threads.iter().zip(programs).filter(|(thread, _)| thread.first);
        let inside = firsts.clone().filter(|(thread, program)| {
            program[..thread.at].contains(&BeginLooks) && !program[..thread.at].contains(&EndLooks)
        });
        let looks = state.due / ONE_LOOK;
        assert!(looks <= if inside.count() == 1 { 16 } else { 0 }, "{looks} looks outside the first KVM_RUN");
        assert!(firsts.count() <= 1, "one vCPU alone rescans");
        if all_have_ended {
            assert_eq!(state.due, 0, "nothing is due once all have ended");
            assert_ne!(state.rescan, UNDER_WAY);
            let ran = programs.contains(&RUNS);
            assert_eq!(state.rescan == DONE, ran, "rescanned where a vCPU has run");
        }
    }

    #[test]
    fn nothing_stays_due_whatever_the_order_of_the_threads_steps() {
        for programs in [
            &[RUNS, RUNS, LOOKS][..],
            &[RUNS, NEVER_RUNS, LOOKS],
            &[NEVER_RUNS, NEVER_RUNS, LOOKS],
            &[RUNS, RUNS, RUNS, LOOKS],
            &[RUNS, RUNS, NEVER_RUNS, LOOKS],
        ] {
            let states = explore(programs);
            assert!(states >= 45, "{states} states of {programs:?}");
        }
    }

    #[test]
    fn sixteen_looks_are_due_in_the_first_run_and_none_after_it() {
        let first_run = FirstRun::new();
        assert!(!first_run.take_look());
        first_run.begin_looks();
        for _ in 0..16 {
            assert!(first_run.something_is_due() && first_run.kernel_thread_is_due());
            assert!(first_run.take_look());
        }
        assert!(!first_run.take_look() && !first_run.something_is_due());
        first_run.end_looks();
        assert_eq!(first_run.due.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_end_of_the_looks_leaves_the_vcpus_that_have_not_run() {
        let first_run = FirstRun::new();
        let mut current = current::thread();
        first_run.vcpu_arrives(&mut current);
        first_run.begin_looks();
        first_run.end_looks();
        assert!(first_run.something_is_due() && !first_run.kernel_thread_is_due());
        assert!(first_run.vcpu_enters(&mut current));
        assert!(!first_run.something_is_due());
        first_run.vcpu_ends(&current);
        assert!(!first_run.something_is_due());
    }
}
