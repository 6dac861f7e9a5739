//! Which system calls the program's filters leave to the library, in the calling thread.
//!
//! A filter holds for the thread that has loaded it and for all that descend from it. With SECCOMP_FILTER_FLAG_TSYNC it
//! holds for every thread of the process. Filters are never taken away, and of several each must let a call pass: so
//! what is forbidden only grows.

use crate::filters::calls::Verdict;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Whether some thread has loaded a filter, or has tried to. Most processes have none, and this is all that they pay.
static ANY: AtomicBool = AtomicBool::new(false);
/// What is forbidden in all threads.
static EVERYWHERE: AtomicU64 = AtomicU64::new(0);
/// How many threads are loading a filter for all threads just now.
static LOADING: AtomicU32 = AtomicU32::new(0);

/// Whether some filter ends the process for one of the library's calls, in any thread.
static DEADLY: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What is forbidden in this thread.
    static HERE: Cell<u64> = const { Cell::new(0) };
}

/// How often a thread looks whether such a filter is known by now. Loading takes the kernel some microseconds.
const TURNS: u32 = 100_000;

/// Whether the calling thread may make all of these calls (a set of `calls::bit`).
#[inline(always)]
pub(crate) fn may(calls: u64) -> bool {
    !ANY.load(Ordering::Relaxed) || forbidden() & calls == 0
}

/// What the calling thread may not call.
#[cold]
#[inline(never)]
pub(crate) fn forbidden() -> u64 {
    // No system call here, not even one that lets others run.
    for _ in 0..TURNS {
        if LOADING.load(Ordering::Acquire) == 0 {
            return EVERYWHERE.load(Ordering::Acquire) | HERE.get();
        }
        std::hint::spin_loop();
    }
    u64::MAX
}

/// What a thread that the calling one creates may not call, apart from what is forbidden everywhere.
pub(crate) fn to_inherit() -> u64 {
    HERE.get()
}

/// To be called by a new thread before its first call, with its creator's [`to_inherit`].
pub(crate) fn inherit(forbidden: u64) {
    HERE.set(forbidden);
}

/// The calling thread has loaded a filter for itself.
pub(crate) fn loaded_here(verdict: Verdict) {
    HERE.set(HERE.get() | verdict.forbidden);
    DEADLY.fetch_or(verdict.deadly, Ordering::Relaxed);
    ANY.store(true, Ordering::Release);
}

/// Whether some filter ends the process for one of the library's calls, in any thread.
pub(crate) fn is_deadly() -> bool {
    DEADLY.load(Ordering::Relaxed)
}

/// To be called by the broker in its own process, of which each call that it makes is checked anyway.
pub(crate) fn forget_all() {
    HERE.set(0);
    EVERYWHERE.store(0, Ordering::Relaxed);
    LOADING.store(0, Ordering::Relaxed);
}

/// A filter is about to be loaded for all threads. Answers what is forbidden by it alone, for [`withdraw`].
pub(crate) fn announce_everywhere(verdict: Verdict) -> u64 {
    DEADLY.fetch_or(verdict.deadly, Ordering::Relaxed);
    let before = EVERYWHERE.fetch_or(verdict.forbidden, Ordering::AcqRel);
    ANY.store(true, Ordering::SeqCst);
    verdict.forbidden & !before
}

/// The filter that was announced was not loaded after all.
pub(crate) fn withdraw(forbidden: u64) {
    EVERYWHERE.fetch_and(!forbidden, Ordering::AcqRel);
}

/// Loads a filter for all threads by `load`, which answers what it leaves, where that is not known before. Meanwhile the other threads make no call: they
/// do not know yet which.
pub(crate) fn load_everywhere<R>(load: impl FnOnce() -> (R, Verdict)) -> R {
    LOADING.fetch_add(1, Ordering::AcqRel);
    ANY.store(true, Ordering::SeqCst);
    let (result, verdict) = load();
    DEADLY.fetch_or(verdict.deadly, Ordering::Relaxed);
    EVERYWHERE.fetch_or(verdict.forbidden, Ordering::AcqRel);
    LOADING.fetch_sub(1, Ordering::AcqRel);
    result
}

/// To be called in a forked child, which does not have the threads that may have been loading a filter in its parent.
pub(crate) fn forget_loading() {
    LOADING.store(0, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test alone, since what is forbidden everywhere is so for all tests of this process.
    #[test]
    fn what_a_thread_forbids_holds_for_it_and_for_those_that_inherit_it() {
        let in_a_thread = |work: fn()| std::thread::spawn(work).join().unwrap();
        assert!(may(u64::MAX));
        in_a_thread(|| {
            assert!(may(u64::MAX));
            loaded_here(Verdict { forbidden: 1 << 62, deadly: false });
            assert!(!may(1 << 62) && !may(1 << 62 | 1) && may(1));
            loaded_here(Verdict { forbidden: 1 << 61, deadly: false });
            assert!(!may(1 << 62) && !may(1 << 61) && may(1));
            let inherited = to_inherit();
            std::thread::spawn(move || {
                assert!(may(1 << 62), "not yet");
                inherit(inherited);
                assert!(!may(1 << 62) && !may(1 << 61) && may(1));
            })
            .join()
            .unwrap();
        });
        assert!(may(u64::MAX), "another thread may");

        assert!(!is_deadly());
        // One that is announced holds until it is withdrawn, and takes nothing with it.
        let first = announce_everywhere(Verdict { forbidden: 0b11 << 59, deadly: false });
        let second = announce_everywhere(Verdict { forbidden: 0b11 << 60, deadly: false });
        assert!(!may(1 << 59) && !may(1 << 60) && !may(1 << 61));
        withdraw(second);
        assert!(!may(1 << 59) && !may(1 << 60) && may(1 << 61));
        withdraw(first);
        assert!(may(u64::MAX));

        // One that fails forbids nothing; one that is loaded holds for all. No test uses the topmost bit.
        assert_eq!(load_everywhere(|| (-1, Verdict::NOTHING)), -1);
        assert!(may(u64::MAX));
        assert_eq!(load_everywhere(|| (0, Verdict { forbidden: 1 << 63, deadly: true })), 0);
        assert!(is_deadly() && !may(1 << 63) && may(1));
        in_a_thread(|| assert!(!may(1 << 63) && may(1)));
    }
}
