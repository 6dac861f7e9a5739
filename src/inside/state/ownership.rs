//! Whether this process owns the status page and the slots. Asked whenever a thread is created or ends, so it
//! must cost no system call.
//!
//! A forked child shares the status page with its parent and must not write to it. The answer is a word in a
//! page of memory that the kernel zeroes in every forked child (madvise(2), MADV_WIPEONFORK, from Linux 4.14 on).

use crate::sys::{memory, thread};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// Where the word is: 1 in the owner, 0 in a forked child. Null where the kernel has no MADV_WIPEONFORK.
static MARK: AtomicPtr<AtomicI32> = AtomicPtr::new(std::ptr::null_mut());

/// The owner's pid, which is asked about where there is no such word.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Whether the calling process owns the status page and the slots.
pub(crate) fn is_ours() -> bool {
    let mark = MARK.load(Ordering::Acquire);
    if mark.is_null() {
        return OWNER.load(Ordering::Relaxed) == thread::getpid();
    }
    // SAFETY: `claim`, the only writer, put the address of an aligned word here whose memory is never unmapped.
    let mark = unsafe { &*mark };
    mark.load(Ordering::Relaxed) != 0
}

/// Whether the process with this id is the owner.
pub(crate) fn is_owner(pid: i32) -> bool {
    OWNER.load(Ordering::Relaxed) == pid
}

/// The same, for a caller that may be in a child of vfork(2), which shares this memory: that child is not the owner. Costs a
/// system call.
pub(crate) fn is_this_process() -> bool {
    is_ours() && OWNER.load(Ordering::Relaxed) == thread::getpid()
}

/// Whether this process took over from another one: it is a forked child of the process that was started.
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);

/// Whether the owner is a forked child that has taken over.
pub(crate) fn was_taken_over() -> bool {
    TAKEN_OVER.load(Ordering::Relaxed)
}

/// Makes the calling process, with this id, the owner. True if there was none before.
pub(crate) fn claim(pid: i32) -> bool {
    if MARK.load(Ordering::Acquire).is_null() {
        MARK.store(word_zeroed_in_children(), Ordering::Release);
    }
    let mark = MARK.load(Ordering::Acquire);
    if !mark.is_null() {
        // SAFETY: as in `is_ours`.
        unsafe { &*mark }.store(1, Ordering::Relaxed);
    }
    let before = OWNER.swap(pid, Ordering::AcqRel);
    if before != 0 && before != pid {
        TAKEN_OVER.store(true, Ordering::Relaxed);
    }
    before == 0
}

/// A new word that is 0, and is 0 again in every forked child; null where the kernel has no such memory.
fn word_zeroed_in_children() -> *mut AtomicI32 {
    memory::zeroed_in_children(4096).map_or(std::ptr::null_mut(), |memory| memory.as_ptr().cast())
}

#[cfg(test)]
mod tests {
    use super::{MARK, OWNER, claim, is_ours};
    use crate::sys::thread;
    use crate::testing::in_a_child;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_forked_child_owns_nothing_until_it_claims_it() {
        assert!(!is_ours());
        let pid = thread::getpid();
        assert!(claim(pid), "there was no owner");
        assert!(!claim(pid), "there was one");
        assert!(is_ours());
        assert!(!MARK.load(Ordering::Relaxed).is_null(), "the kernel has MADV_WIPEONFORK");

        assert!(in_a_child(|| !is_ours()));
        // A child of a child, as `-daemonize` makes it.
        assert!(in_a_child(|| in_a_child(|| !is_ours() && !claim(thread::getpid()) && is_ours())));
        assert!(is_ours(), "what a child claims is its own copy");

        // Where the kernel has no such memory the owner is known by its pid.
        let by_pid = || {
            MARK.store(std::ptr::null_mut(), Ordering::Relaxed);
            let before = is_ours();
            OWNER.store(thread::getpid(), Ordering::Relaxed);
            !before && is_ours()
        };
        assert!(in_a_child(by_pid));
    }
}
