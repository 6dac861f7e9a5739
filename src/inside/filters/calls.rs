//! The system calls that the library makes, and what is known of their arguments.

use crate::filters::program::{Call, every_answer_is, lets_pass, waits};
use libc::{c_int, c_long, sock_filter};

/// Every call of the library. `call!` refuses to compile with one that is not in here.
const CALLS: [c_long; 51] = [
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_clock_gettime,
    libc::SYS_clone,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup3,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getdents64,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_io_uring_register,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_openat,
    libc::SYS_pidfd_open,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_process_vm_readv,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_recvmsg,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_yield,
    libc::SYS_seccomp,
    libc::SYS_sendto,
    libc::SYS_set_mempolicy,
    libc::SYS_setgroups,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setsockopt,
    libc::SYS_socketpair,
    libc::SYS_tgkill,
    libc::SYS_wait4,
    libc::SYS_write,
];

const _: () = assert!(CALLS.len() <= u64::BITS as usize);

const fn is(value: c_int) -> Option<u64> {
    Some(value as u64)
}

/// Arguments that the library always passes. A filter may look at them: many programs may name themselves and nothing more
/// of prctl(2). A call that is here more than once is made with either.
const KNOWN: &[(c_long, &[Option<u64>])] = &[
    (libc::SYS_futex, &[None, is(libc::FUTEX_WAIT)]),
    (libc::SYS_futex, &[None, is(libc::FUTEX_WAKE), is(1)]),
    (libc::SYS_prctl, &[is(libc::PR_SET_NAME), None, is(0), is(0), is(0)]),
    (libc::SYS_openat, &[None, None, is(libc::O_CLOEXEC | libc::O_RDONLY), is(0)]),
    (libc::SYS_openat, &[None, None, is(libc::O_CLOEXEC | libc::O_RDONLY | libc::O_DIRECTORY), is(0)]),
    (libc::SYS_fcntl, &[None, is(libc::F_DUPFD_CLOEXEC)]),
    (libc::SYS_fcntl, &[None, is(libc::F_ADD_SEALS)]),
    (libc::SYS_fcntl, &[None, is(libc::F_SETFD), is(libc::FD_CLOEXEC)]),
    (libc::SYS_tgkill, &[None, None, is(0)]),
    (libc::SYS_write, &[is(libc::STDERR_FILENO)]),
    (libc::SYS_getpid, &[]),
    (libc::SYS_gettid, &[]),
];

/// The bit of a call in a set of them. Evaluated by the compiler.
pub(crate) const fn bit(number: c_long) -> u64 {
    let mut at = 0;
    while at < CALLS.len() {
        #[allow(clippy::indexing_slicing, reason = "`at` is below the length, and const code has no `get`")]
        if CALLS[at] == number {
            return 1 << at;
        }
        at += 1;
    }
    #[allow(clippy::panic, reason = "the compiler evaluates it, and stops here")]
    {
        panic!("a system call that is not in the list of the library's")
    }
}

/// What a filter leaves of the library's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Those that it does not let pass, whatever their arguments will be.
    pub(crate) forbidden: u64,
    /// Whether it ends the process, or sends it a signal, for one of them: else a supervisor is asked.
    pub(crate) deadly: bool,
}

impl Verdict {
    /// No filter was loaded.
    pub(crate) const NOTHING: Self = Self { forbidden: 0, deadly: false };
    /// Nothing is left.
    pub(crate) const EVERYTHING: Self = Self { forbidden: u64::MAX, deadly: true };

    /// That of this filter.
    pub(crate) fn of(program: &[sock_filter]) -> Self {
        let every = |number: c_long, good: fn(u32) -> bool| {
            let passes =
                |arguments: &[_]| every_answer_is(good, program, &Call::new(number, arguments), |_| {});
            let mut known = KNOWN.iter().filter(|(of, _)| *of == number).peekable();
            match known.peek() {
                None => passes(&[]),
                Some(_) => known.all(|(_, arguments)| passes(arguments)),
            }
        };
        let mut verdict = Self::NOTHING;
        for (at, number) in CALLS.iter().enumerate() {
            if !every(*number, lets_pass) {
                verdict.forbidden |= 1 << at;
                verdict.deadly |= !every(*number, |answer| lets_pass(answer) || waits(answer));
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{
        SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SYS_futex, SYS_gettid, SYS_prctl,
    };

    const LOAD: u16 = 0x20;
    const JEQ: u16 = 0x15;
    const RET: u16 = 0x06;

    fn step(code: u16, k: u32) -> sock_filter {
        sock_filter { code, jt: 0, jf: 0, k }
    }

    /// A filter that answers `listed` for these calls and `else_` for all others.
    fn list(calls: &[c_long], listed: u32, else_: u32) -> Vec<sock_filter> {
        let mut program = vec![step(LOAD, 0)];
        for call in calls {
            program.push(sock_filter { code: JEQ, jt: 0, jf: 1, k: *call as u32 });
            program.push(step(RET, listed));
        }
        program.push(step(RET, else_));
        program
    }

    fn forbidden_by(program: &[sock_filter]) -> u64 {
        let verdict = Verdict::of(program);
        assert_eq!(verdict.deadly, verdict.forbidden != 0, "none of these asks a supervisor");
        verdict.forbidden
    }

    #[test]
    fn a_call_of_which_a_supervisor_is_asked_is_forbidden_and_not_deadly() {
        for answer in [libc::SECCOMP_RET_USER_NOTIF, libc::SECCOMP_RET_TRACE] {
            let verdict = Verdict::of(&list(&[SYS_gettid], answer, SECCOMP_RET_ALLOW));
            assert_eq!(verdict, Verdict { forbidden: bit(SYS_gettid), deadly: false });
        }
    }

    #[test]
    fn no_call_is_there_twice_and_each_has_its_bit() {
        for (at, number) in CALLS.iter().enumerate() {
            assert_eq!(bit(*number), 1 << at);
        }
        assert!(KNOWN.iter().all(|(number, _)| CALLS.contains(number)));
    }

    #[test]
    fn what_a_list_of_the_allowed_leaves_out_is_forbidden() {
        let forbidden =
            forbidden_by(&list(&[SYS_gettid, SYS_futex], SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS));
        let all = (1 << CALLS.len()) - 1;
        assert_eq!(forbidden, all & !bit(SYS_gettid) & !bit(SYS_futex));
    }

    #[test]
    fn a_list_of_the_denied_forbids_what_it_would_kill_for_alone() {
        assert_eq!(forbidden_by(&list(&[SYS_gettid], SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ALLOW)), 0);
        let kills = list(&[SYS_gettid], SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW);
        assert_eq!(forbidden_by(&kills), bit(SYS_gettid));
    }

    #[test]
    fn a_call_that_is_made_in_several_ways_must_be_allowed_in_each() {
        let argument = |number: c_long, at: u32, value: c_int| {
            vec![
                step(LOAD, 0),
                sock_filter { code: JEQ, jt: 0, jf: 3, k: number as u32 },
                step(LOAD, 16 + 8 * at + if cfg!(target_endian = "big") { 4 } else { 0 }),
                sock_filter { code: JEQ, jt: 0, jf: 1, k: value as u32 },
                step(RET, SECCOMP_RET_ALLOW),
                step(RET, SECCOMP_RET_KILL_PROCESS),
            ]
        };
        let forbids = |program: &[sock_filter], number| forbidden_by(program) & bit(number) != 0;
        assert!(!forbids(&argument(SYS_prctl, 0, libc::PR_SET_NAME), SYS_prctl));
        assert!(forbids(&argument(SYS_prctl, 0, libc::PR_SET_DUMPABLE), SYS_prctl));
        assert!(forbids(&argument(SYS_futex, 1, libc::FUTEX_WAIT), SYS_futex), "not to wake");
        assert!(
            forbids(&argument(libc::SYS_sched_setaffinity, 0, 0), libc::SYS_sched_setaffinity),
            "a thread id"
        );
    }

    #[test]
    fn descriptors_are_moved_sealed_and_closed_at_exec_so_all_of_it_must_be_allowed() {
        let allowing = |requests: &[c_int]| {
            let mut program = vec![
                step(LOAD, 0),
                sock_filter { code: JEQ, jt: 1, jf: 0, k: libc::SYS_fcntl as u32 },
                step(RET, SECCOMP_RET_ALLOW),
                step(LOAD, 24 + if cfg!(target_endian = "big") { 4 } else { 0 }),
            ];
            for request in requests {
                program.push(sock_filter { code: JEQ, jt: 0, jf: 1, k: *request as u32 });
                program.push(step(RET, SECCOMP_RET_ALLOW));
            }
            program.push(step(RET, SECCOMP_RET_KILL_PROCESS));
            program
        };
        let all = [libc::F_DUPFD_CLOEXEC, libc::F_ADD_SEALS, libc::F_SETFD];
        assert_eq!(forbidden_by(&allowing(&all)), 0);
        for but_one in [[all[0], all[1]], [all[0], all[2]], [all[1], all[2]]] {
            assert_eq!(forbidden_by(&allowing(&but_one)), bit(libc::SYS_fcntl), "{but_one:?}");
        }
    }

    #[test]
    fn a_program_that_is_none_forbids_everything() {
        assert_eq!(forbidden_by(&[]).count_ones() as usize, CALLS.len());
    }
}
