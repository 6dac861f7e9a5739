//! The calling thread and process, and what can be asked about other threads.

use crate::sys::errno::Errno;
use pinning::{COMM_BYTES, Tid};

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

/// Succeeds if `tid` is a thread of the process `pid` (tgkill(2); signal 0 is not sent, it only checks).
pub(crate) fn check_thread_of(pid: i32, tid: Tid) -> Result<(), Errno> {
    call!(libc::SYS_tgkill, pid, tid.0, 0).map(drop)
}

/// Whether `tid` is a thread of the process `pid`.
pub(crate) fn is_thread_of(pid: i32, tid: Tid) -> bool {
    check_thread_of(pid, tid).is_ok()
}

/// Names the calling thread. The kernel keeps 15 bytes.
pub(crate) fn set_comm(name: &[u8]) -> Result<(), Errno> {
    let mut comm = [0u8; COMM_BYTES + 1];
    for (to, from) in comm.iter_mut().take(COMM_BYTES).zip(name) {
        *to = *from;
    }
    call!(libc::SYS_prctl, libc::PR_SET_NAME, comm.as_ptr(), 0, 0, 0).map(drop)
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

#[cfg(test)]
mod tests {
    use super::{
        block_all_signals, getpid, gettid, is_thread_of, read_own_memory, restore_signals, set_comm,
    };
    use crate::sys::errno::Errno;
    use crate::testing::TwoPages;
    use pinning::Tid;

    #[test]
    fn memory_is_copied_and_an_address_that_is_not_readable_is_an_error() {
        let from = *b"0123456789";
        let mut room = [0u8; 4];
        assert_eq!(read_own_memory(getpid(), from.as_ptr().addr() + 2, &mut room), Ok(&b"2345"[..]));
        assert_eq!(read_own_memory(getpid(), from.as_ptr().addr(), &mut []), Ok(&b""[..]));
        for address in [0, 1, usize::MAX] {
            assert_eq!(read_own_memory(getpid(), address, &mut room), Err(Errno(libc::EFAULT)));
        }
    }

    #[test]
    fn memory_is_copied_up_to_what_is_readable() {
        let (mut pages, mut room) = (TwoPages::new(), [0u8; 8]);
        let at = TwoPages::page_bytes() - 3;
        pages.write(at, b"01234567");
        assert_eq!(read_own_memory(getpid(), pages.address() + at, &mut room), Ok(&b"01234567"[..]));
        pages.hide_second();
        assert_eq!(read_own_memory(getpid(), pages.address() + at, &mut room), Ok(&b"012"[..]));
    }

    #[test]
    fn a_thread_is_of_its_own_process_alone() {
        assert!(is_thread_of(getpid(), gettid()) && is_thread_of(getpid(), Tid(getpid())));
        assert!(
            !is_thread_of(1, gettid()) && !is_thread_of(getpid(), Tid(1)) && !is_thread_of(getpid(), Tid(-1))
        );
    }

    #[test]
    fn the_kernel_keeps_15_bytes_of_a_name() {
        for (name, comm) in
            [(&b"IO disk"[..], "IO disk"), (b"0123456789abcdefghi", "0123456789abcde"), (b"", "")]
        {
            let read = || {
                set_comm(name).unwrap();
                std::fs::read_to_string("/proc/thread-self/comm")
            };
            let kept = std::thread::scope(|scope| scope.spawn(read).join().unwrap()).unwrap();
            assert_eq!(kept, format!("{comm}\n"));
        }
    }

    #[test]
    fn signals_are_blocked_and_put_back_as_they_were() {
        let blocked = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line =
                status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned();
            u64::from_str_radix(&line, 16).unwrap()
        };
        let at_first = blocked();
        let before = block_all_signals();
        // signal(7): SIGKILL and SIGSTOP cannot be blocked.
        let never = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
        assert_eq!((before, blocked()), (at_first, !never));
        restore_signals(before);
        assert_eq!(blocked(), at_first);
    }
}
