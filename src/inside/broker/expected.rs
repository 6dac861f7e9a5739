//! Which errors of system calls the broker expects, and goes on after. At any other it ends.
//!
//! QEMU's user can have the broker's system calls fail: by taking its limits away (prlimit(2)), or by a system call filter
//! around QEMU and all that it starts. A broker that took a failure that it does not know for "nothing happened" would
//! wait for ever, or try for ever.

use crate::sys::errno::Errno;
use crate::sys::process;
use libc::{c_int, c_long};

/// A thread, or its process, has ended; or /proc hides it (proc(5), hidepid).
const OF_PROC: &[c_int] = &[libc::ENOENT, libc::ESRCH, libc::EACCES, libc::EPERM];

/// The system calls of the serving broker that may fail, and with which errors. Those of its start are in `isolate`.
const EXPECTED: &[(c_long, &[c_int])] = &[
    // It was stopped, and goes on.
    (libc::SYS_ppoll, &[libc::EINTR]),
    // Nothing has come after all.
    (libc::SYS_recvmsg, &[libc::EAGAIN, libc::EINTR]),
    // It is no thread of QEMU's (ESRCH), no number of a thread (EINVAL), or a thread of another user (EPERM).
    (libc::SYS_tgkill, &[libc::ESRCH, libc::EINVAL, libc::EPERM]),
    (libc::SYS_sched_getaffinity, &[libc::ESRCH]),
    // It has ended (ESRCH); its cpuset leaves it no CPU of the set (EINVAL); the kernel made it as root, before QEMU and the
    // broker became another user (EPERM); SELinux or AppArmor forbids it (EACCES).
    (libc::SYS_sched_setaffinity, &[libc::ESRCH, libc::EINVAL, libc::EPERM, libc::EACCES]),
    (libc::SYS_openat, OF_PROC),
    (libc::SYS_readlinkat, OF_PROC),
    // It has ended since its file was opened.
    (libc::SYS_read, &[libc::ESRCH]),
    (libc::SYS_getdents64, &[libc::ESRCH, libc::ENOENT]),
    // It has ended (ESRCH), or it is a thread and no process (EINVAL; ENOENT from Linux 6.13 on); the kernel has no such
    // call (ENOSYS): then the process's start time is used.
    (libc::SYS_pidfd_open, &[libc::ESRCH, libc::EINVAL, libc::ENOENT, libc::ENOSYS]),
];

/// Whether the broker goes on after this error of this system call. Of a call that is not in the table no error is expected.
fn is_expected(call: c_long, Errno(errno): Errno) -> bool {
    EXPECTED.iter().any(|(of, errnos)| *of == call && errnos.contains(&errno))
}

/// Passes on what a system call, named by its number, answered. Ends the broker if that is an error that is not expected.
pub(super) fn checked<T>(call: c_long, answer: Result<T, Errno>) -> Result<T, Errno> {
    match answer {
        Err(errno) if !is_expected(call, errno) => process::exit(1),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::{EXPECTED, is_expected};
    use crate::sys::errno::Errno;

    #[test]
    fn nothing_is_expected_that_would_come_again_at_once() {
        // What a limit of 0 or a filter gives for the calls that the broker waits with.
        for errno in [libc::EINVAL, libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EBADF, libc::ENOMEM, 0] {
            for call in [libc::SYS_ppoll, libc::SYS_recvmsg, libc::SYS_futex, libc::SYS_clock_gettime] {
                assert!(!is_expected(call, Errno(errno)), "{call} {errno}");
            }
        }
    }

    #[test]
    fn a_missing_descriptor_or_memory_is_expected_of_no_call() {
        for (call, _) in EXPECTED {
            for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EBADF, libc::EFAULT] {
                assert!(!is_expected(*call, Errno(errno)), "{call} {errno}");
            }
        }
    }

    #[test]
    fn a_thread_that_has_ended_is_expected() {
        for call in
            [libc::SYS_tgkill, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity, libc::SYS_openat]
        {
            assert!(is_expected(call, Errno(libc::ESRCH)), "{call}");
        }
    }

    #[test]
    fn a_change_of_user_that_fails_is_not_expected() {
        for call in [libc::SYS_setgroups, libc::SYS_setresgid, libc::SYS_setresuid, libc::SYS_prctl] {
            for errno in 1..134 {
                assert!(!is_expected(call, Errno(errno)), "{call} {errno}");
            }
        }
    }
}
