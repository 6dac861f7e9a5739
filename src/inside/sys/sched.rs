//! Affinities (sched_setaffinity(2)), scheduling classes (sched_setattr(2)), the mask of io_uring's workers, and core
//! scheduling.

use crate::sys::errno::Errno;
use libc::c_int;
use pinning::{Class, MASK_WORDS, SchedAttributes, Tid};
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

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheduling {
    /// Its class. The slice is the one that the kernel gives it, whoever has chosen that.
    pub(crate) class: Class,
    /// Whether what it creates has no real-time class and no nice value below 0 (sched(7), "The reset-on-fork flag").
    pub(crate) reset_on_fork: bool,
}

/// How a thread is scheduled; `Tid(0)` is the calling one. `None`: by a class that is not known here.
pub(crate) fn scheduling(tid: Tid) -> Result<Option<Scheduling>, Errno> {
    let mut attributes = SchedAttributes::default();
    call!(libc::SYS_sched_getattr, tid.0, &raw mut attributes, SchedAttributes::SIZE, 0)?;
    let reset_on_fork = attributes.resets_on_fork();
    Ok(attributes.class().map(|class| Scheduling { class, reset_on_fork }))
}

/// Has a thread scheduled so. A slice of 0 is the kernel's choice.
pub(crate) fn set_scheduling(tid: Tid, scheduling: Scheduling) -> Result<(), Errno> {
    let attributes = SchedAttributes::new(scheduling.class, scheduling.reset_on_fork);
    call!(libc::SYS_sched_setattr, tid.0, &raw const attributes, 0).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Scheduling, scheduling, set_scheduling};
    use pinning::{Class, ClassKind, Tid};

    #[test]
    fn what_is_set_is_read_back_and_a_child_begins_as_the_kernel_resets_it() {
        let batch = Class { kind: ClassKind::Batch, value: Some(5), slice_us: 0 };
        let of_child = std::thread::spawn(move || {
            set_scheduling(Tid(0), Scheduling { class: batch, reset_on_fork: true }).unwrap();
            let now = scheduling(Tid(0)).unwrap().unwrap();
            assert!(batch.is_met_by(now.class) && now.reset_on_fork, "{now:?}");
            std::thread::spawn(|| scheduling(Tid(0)).unwrap().unwrap()).join().unwrap()
        });
        let of_child = of_child.join().unwrap();
        // Nothing is reset but a real-time class and a nice value below 0.
        assert!(batch.is_met_by(of_child.class) && !of_child.reset_on_fork, "{of_child:?}");
    }

    #[test]
    fn a_thread_that_does_not_exist_is_an_error() {
        assert!(scheduling(Tid(i32::MAX)).is_err());
        let usual = Scheduling { class: Class::USUAL, reset_on_fork: false };
        assert!(set_scheduling(Tid(i32::MAX), usual).is_err());
    }
}
