//! Affinities, asked of the kernel and set: the only file that calls sched_setaffinity(2).
//!
//! glibc's own functions stop at 1024 CPUs, so the system calls are made directly.

use pinning::{CpuSet, Tid};
use std::io;

/// Words of a mask that reaches as far as any kernel does (NR_CPUS is 8192 at most).
pub(crate) const MASK_WORDS: usize = 128;

/// The affinity of a thread; `Tid(0)` is the calling one.
pub(crate) fn get(tid: Tid) -> io::Result<CpuSet> {
    let mut words = [0u64; MASK_WORDS];
    // SAFETY: the pointer and length are those of a live array, which the kernel fills.
    let bytes =
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid.0, size_of_val(&words), words.as_mut_ptr()) };
    if bytes < 0 { Err(io::Error::last_os_error()) } else { Ok(CpuSet::from_words(&words)) }
}

/// Asks for an affinity. The kernel cuts it to the cpuset without a word: read it back.
pub(crate) fn set(tid: Tid, words: &[u64]) -> io::Result<()> {
    // SAFETY: the pointer and length are those of a live slice, which the kernel only reads.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid.0, size_of_val(words), words.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a thread is one of the process's: signal 0 is asked about, never sent. True too where only
/// the permission to send it is missing.
pub(crate) fn is_thread_of(pid: i32, tid: Tid) -> bool {
    // SAFETY: takes no pointer; signal 0 has no effect.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid.0, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_another_process_is_none_of_ours() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(is_thread_of(own, Tid(own)));
        assert!(!is_thread_of(own, Tid(1)));
    }
}
