//! The calling thread and process, and what can be asked about other threads.

use crate::sys::errno::Errno;
use pinning::Tid;

/// The calling thread's id.
pub(crate) fn gettid() -> Tid {
    Tid(call!(libc::SYS_gettid).unwrap_or(0) as i32)
}

/// The calling thread's handle.
pub(crate) fn pthread_self() -> libc::pthread_t {
    // SAFETY: no preconditions.
    unsafe { libc::pthread_self() }
}

/// The calling process's id.
pub(crate) fn getpid() -> i32 {
    call!(libc::SYS_getpid).unwrap_or(0) as i32
}

/// Whether `tid` is a thread of the process `pid` (tgkill(2); signal 0 is not sent, it only checks).
pub(crate) fn is_thread_of(pid: i32, tid: Tid) -> bool {
    call!(libc::SYS_tgkill, pid, tid.0, 0).is_ok()
}

/// Names the calling thread. The kernel keeps 15 bytes.
pub(crate) fn set_comm(name: &[u8]) {
    let mut comm = [0u8; 16];
    for (to, from) in comm.iter_mut().take(15).zip(name) {
        *to = *from;
    }
    let _ = call!(libc::SYS_prctl, libc::PR_SET_NAME, comm.as_ptr(), 0, 0, 0);
}

/// Copies memory of this process, `pid`, from an address that may not be readable, up to what is.
pub(crate) fn read_own_memory(pid: i32, address: usize, into: &mut [u8]) -> Result<&[u8], Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: into.len() };
    // process_vm_readv(2): EFAULT in place of a fault, and QEMU's sandbox allows it.
    let got = call!(libc::SYS_process_vm_readv, pid, &raw const local, 1, &raw const remote, 1, 0)?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// Blocks every signal for the calling thread, and answers which were blocked before.
pub(crate) fn block_all_signals() -> u64 {
    let (all, mut before) = (u64::MAX, 0u64);
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const all, &raw mut before, 8);
    before
}

/// Puts back what [`block_all_signals`] returned.
pub(crate) fn restore_signals(before: u64) {
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const before, 0, 8);
}
