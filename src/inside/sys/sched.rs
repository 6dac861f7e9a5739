//! Affinities (sched_setaffinity(2)), the mask of io_uring's workers, and core scheduling.

use crate::sys::errno::Errno;
use libc::c_int;
use pinning::{MASK_WORDS, Tid};
use std::mem::MaybeUninit;

/// A thread's affinity as the kernel gave it, on the stack.
pub(crate) struct Mask {
    words: [MaybeUninit<u64>; MASK_WORDS],
    filled: usize,
}

impl Mask {
    /// The mask with these words, for tests.
    #[cfg(test)]
    pub(crate) fn of(words: &[u64]) -> Self {
        let mut mask = Self { words: [MaybeUninit::uninit(); MASK_WORDS], filled: 0 };
        for (to, from) in mask.words.iter_mut().zip(words) {
            to.write(*from);
            mask.filled += 1;
        }
        mask
    }

    /// The mask's words.
    pub(crate) fn words(&self) -> &[u64] {
        let filled = self.words.get(..self.filled).unwrap_or_default();
        // SAFETY: who makes this type has the first `filled` words written: `affinity` by the kernel.
        unsafe { std::slice::from_raw_parts(filled.as_ptr().cast(), filled.len()) }
    }
}

/// Whether the program's filters let the calling thread ask for affinities and set them.
pub(crate) fn may_ask_and_set() -> bool {
    may_call!(libc::SYS_sched_setaffinity, libc::SYS_sched_getaffinity)
}

/// The affinity of a thread. `Tid(0)` is the calling one.
pub(crate) fn affinity(tid: Tid) -> Result<Mask, Errno> {
    let mut mask = Mask { words: [MaybeUninit::uninit(); MASK_WORDS], filled: 0 };
    let bytes = call!(libc::SYS_sched_getaffinity, tid.0, size_of_val(&mask.words), mask.words.as_mut_ptr())?;
    // sched_getaffinity(2), "C library/kernel differences": the number of bytes written is returned.
    mask.filled = usize::try_from(bytes).unwrap_or(0) / 8;
    Ok(mask)
}

/// Asks for an affinity. The kernel cuts it to the cpuset without a word, so read it back.
pub(crate) fn set_affinity(tid: Tid, words: &[u64]) -> Result<(), Errno> {
    call!(libc::SYS_sched_setaffinity, tid.0, size_of_val(words), words.as_ptr()).map(drop)
}

/// Has the kernel keep the calling thread's io_uring workers on these CPUs (io_uring_register(2)).
pub(crate) fn set_io_uring_workers(ring: c_int, words: &[u64]) -> Result<(), Errno> {
    /// linux/io_uring.h.
    const IORING_REGISTER_IOWQ_AFF: c_int = 17;
    let bytes = size_of_val(words);
    call!(libc::SYS_io_uring_register, ring, IORING_REGISTER_IOWQ_AFF, words.as_ptr(), bytes).map(drop)
}

/// Gives all threads of the calling process a core scheduling cookie that nobody else has, and threads that they create have
/// it from them (the kernel's Documentation/admin-guide/hw-vuln/core-scheduling.rst). ENODEV: the CPUs have no SMT. EINVAL:
/// the kernel knows no core scheduling.
pub(crate) fn create_core_cookie() -> Result<(), Errno> {
    const WHOLE_PROCESS: c_int = libc::PR_SCHED_CORE_SCOPE_THREAD_GROUP;
    call!(libc::SYS_prctl, libc::PR_SCHED_CORE, libc::PR_SCHED_CORE_CREATE, 0, WHOLE_PROCESS, 0).map(drop)
}
