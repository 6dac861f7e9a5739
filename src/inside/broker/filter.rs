//! The broker's own system call filter: it allows what the broker needs to serve QEMU, and nothing else.
//!
//! QEMU cannot write to the broker's memory (the broker is not dumpable), and it can only send messages of a fixed form. The
//! filter is there in case one of these has a hole: a broker that QEMU has taken over can execute, create, connect, map or
//! write nothing. What it could still do is to read files that its user may read, and to set affinities that its user may
//! set.

use crate::filters::program::ARCHITECTURE;
use crate::sys::errno::Errno;
use crate::sys::process;
use libc::{c_long, sock_filter};

/// Calls that are allowed with any arguments.
const FREE: &[c_long] = &[
    libc::SYS_recvmsg,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getaffinity,
    libc::SYS_getdents64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_close,
    libc::SYS_clock_gettime,
    // To know a daemon by more than its pid.
    libc::SYS_pidfd_open,
    // To become QEMU's user after `-run-with user=` (`-runas` before QEMU 9.1). The kernel does not allow the way back to root.
    libc::SYS_setgroups,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_exit_group,
];

// struct seccomp_data (linux/seccomp.h): nr, arch, instruction pointer, six arguments of 64 bits.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
/// Where the lower half of an argument is. Flags and signals are ints, so the upper half does not count.
const fn argument_at(n: u32) -> u32 {
    16 + 8 * n + if cfg!(target_endian = "big") { 4 } else { 0 }
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// A step of the program, with its operand.
const fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// A step that skips `yes` steps if the loaded word equals `k`, else `no` steps.
const fn branch(k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: JUMP_IF_EQUAL, jt: yes, jf: no, k }
}

const ALLOW: sock_filter = step(RETURN, libc::SECCOMP_RET_ALLOW);
const REFUSE: sock_filter = step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);

/// The steps before those for [`FREE`].
const FIXED: usize = 21;
/// All steps: two for each call of [`FREE`], and a refusal at the end.
const STEPS: usize = FIXED + 2 * FREE.len() + 1;

const PROGRAM: [sock_filter; STEPS] = program();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
const fn program() -> [sock_filter; STEPS] {
    let mut steps = [REFUSE; STEPS];
    steps[0] = step(LOAD, ARCHITECTURE_AT);
    steps[1] = branch(ARCHITECTURE, 1, 0);
    // steps[2] refuses.
    steps[3] = step(LOAD, NUMBER_AT);
    // Signal 0 asks whether a thread is one of QEMU's. No signal can be sent.
    steps[4] = branch(libc::SYS_tgkill as u32, 0, 3);
    steps[5] = step(LOAD, argument_at(2));
    steps[6] = branch(0, 0, 6); // to the refusal at 13
    steps[7] = ALLOW;
    // Files can be opened for reading only: O_ACCMODE, O_CREAT and O_TRUNC are all 0.
    steps[8] = branch(libc::SYS_openat as u32, 0, 5); // else on to 14
    steps[9] = step(LOAD, argument_at(2));
    steps[10] = step(AND, (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u32);
    steps[11] = branch(0, 0, 1); // to the refusal at 13
    steps[12] = ALLOW;
    // steps[13] refuses.
    // After a change of user the broker makes itself non-dumpable again. It needs nothing else of prctl.
    steps[14] = branch(libc::SYS_prctl as u32, 0, 6); // else on to 21
    steps[15] = step(LOAD, argument_at(0));
    steps[16] = branch(libc::PR_SET_DUMPABLE as u32, 0, 3); // to the refusal at 20
    steps[17] = step(LOAD, argument_at(1));
    steps[18] = branch(0, 0, 1); // to the refusal at 20
    steps[19] = ALLOW;
    // steps[20] refuses.
    let mut at = FIXED;
    let mut call = 0;
    while call < FREE.len() {
        steps[at] = branch(FREE[call] as u32, 0, 1);
        steps[at + 1] = ALLOW;
        at += 2;
        call += 1;
    }
    // The last step refuses whatever came this far.
    steps
}

/// Filters the system calls of the calling process, for good.
pub(super) fn install() -> Result<(), Errno> {
    process::filter_system_calls(&PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::{ARCHITECTURE, FREE, PROGRAM, argument_at};
    use crate::filters::program::{Call, every_answer_is};
    use libc::{c_long, sock_filter};
    use std::collections::BTreeSet;

    /// linux/bpf_common.h, linux/filter.h: the four instructions that the program is made of.
    const LD_W_ABS: u16 = 0x20;
    const JMP_JEQ_K: u16 = 0x15;
    const ALU_AND_K: u16 = 0x54;
    const RET_K: u16 = 0x06;

    /// linux/seccomp.h.
    const ALLOW: u32 = 0x7FFF_0000;
    const ERRNO: u32 = 0x0005_0000;
    const EPERM: u32 = 1;

    /// x86's numbers of the x32 ABI (asm/unistd.h, __X32_SYSCALL_BIT).
    const X32: u32 = 0x4000_0000;

    /// A call with these arguments, and others after them.
    fn call_of(number: c_long, arguments: &[u64]) -> Call {
        let mut all = [0x5555_5555_5555_5555; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Call::new(number, &all.map(Some))
    }

    /// Whether the broker's filter allows a call. Notes which steps it comes through.
    fn allows(call: &Call, visited: &mut BTreeSet<usize>) -> bool {
        let mut note = |step| {
            visited.insert(step);
        };
        let allowed = every_answer_is(|answer| answer == ALLOW, &PROGRAM, call, &mut note);
        let refused = every_answer_is(|answer| answer == ERRNO | EPERM, &PROGRAM, call, note);
        assert_ne!(allowed, refused, "one or the other");
        allowed
    }

    /// What the broker may call whatever the arguments are. Said again, so that nothing is added unnoticed.
    const EXPECTED: [c_long; 15] = [
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getdents64,
        libc::SYS_pidfd_open,
        libc::SYS_ppoll,
        libc::SYS_read,
        libc::SYS_readlinkat,
        libc::SYS_recvmsg,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_setaffinity,
        libc::SYS_setgroups,
        libc::SYS_setresgid,
        libc::SYS_setresuid,
    ];

    /// Half of the arguments that an int does not reach.
    const UPPER: u64 = 0xFFFF_FFFF_0000_0000;

    /// Arguments of each call that depends on them, with whether they are allowed.
    fn cases() -> Vec<(c_long, Vec<u64>, bool)> {
        let mut cases = Vec::new();
        for signal in 0..=64 {
            cases.push((libc::SYS_tgkill, vec![1, 2, signal], signal == 0));
        }
        cases.push((libc::SYS_tgkill, vec![0, 0, UPPER], true));
        cases.push((libc::SYS_tgkill, vec![0, 0, UPPER | 9], false));
        let reading = [0, libc::O_CLOEXEC, libc::O_DIRECTORY | libc::O_CLOEXEC, libc::O_NOFOLLOW];
        let writing = [
            libc::O_WRONLY,
            libc::O_RDWR,
            libc::O_ACCMODE,
            libc::O_CREAT,
            libc::O_TRUNC,
            libc::O_CREAT | libc::O_EXCL,
            libc::O_TMPFILE | libc::O_RDWR,
        ];
        for (flags, allowed) in
            reading.map(|flags| (flags, true)).into_iter().chain(writing.map(|f| (f, false)))
        {
            let flags = flags as u64;
            cases.push((libc::SYS_openat, vec![5, 6, flags, 0], allowed));
            cases.push((libc::SYS_openat, vec![5, 6, UPPER | flags, 0], allowed));
            let also = flags | libc::O_CLOEXEC as u64;
            cases.push((libc::SYS_openat, vec![5, 6, also, 0o777], allowed));
        }
        // Every option that there is so far, and some more (linux/prctl.h).
        for option in 0..=100 {
            for value in 0..=2 {
                let allowed = option == libc::PR_SET_DUMPABLE as u64 && value == 0;
                cases.push((libc::SYS_prctl, vec![option, value], allowed));
            }
        }
        for option in [libc::PR_SET_PTRACER as u64, UPPER | 1] {
            cases.push((libc::SYS_prctl, vec![option, 0], false));
        }
        cases
    }

    #[test]
    fn it_allows_what_the_broker_needs_and_nothing_else() {
        let mut visited = BTreeSet::new();
        let numbers = (0..=1023).chain((0..=1023).map(|number| X32 | number)).chain([
            u32::MAX,
            X32 - 1,
            0x8000_0000,
            0x1_0000,
        ]);
        let mut allowed = BTreeSet::new();
        for number in numbers {
            for argument in [0, 1, u64::MAX, 0x5555_5555_5555_5555] {
                let call = call_of(c_long::from(number), &[argument; 6]);
                if allows(&call, &mut visited) {
                    allowed.insert((c_long::from(number), argument));
                }
            }
        }
        let depending = [libc::SYS_tgkill, libc::SYS_openat];
        let mut expected: BTreeSet<_> = EXPECTED
            .iter()
            .flat_map(|number| [0, 1, u64::MAX, 0x5555_5555_5555_5555].map(|argument| (*number, argument)))
            .collect();
        expected.extend(depending.map(|number| (number, 0)));
        assert_eq!(allowed, expected);
        for (number, arguments, expected) in cases() {
            let call = call_of(number, &arguments);
            assert_eq!(allows(&call, &mut visited), expected, "{number} with {arguments:x?}");
        }
        let other = call_of(libc::SYS_read, &[]).of_architecture(!ARCHITECTURE);
        assert!(!allows(&other, &mut visited));
        let all: BTreeSet<_> = (0..PROGRAM.len()).collect();
        assert_eq!(visited, all, "each step is there for some call");
    }

    #[test]
    fn nothing_is_allowed_by_the_numbers_of_another_architecture() {
        // linux/audit.h: x86-64, i386, Arm, Arm64, RISC-V, s390x, ppc64le.
        let known =
            [0xC000_003E, 0x4000_0003, 0x4000_0028, 0xC000_00B7, 0xC000_00F3, 0x8000_0016, 0xC000_0015];
        for architecture in known.into_iter().chain([0, u32::MAX, ARCHITECTURE ^ 1]) {
            for number in (0..=1023).filter(|_| architecture != ARCHITECTURE) {
                let call = call_of(number, &[0; 6]).of_architecture(architecture);
                assert!(!allows(&call, &mut BTreeSet::new()), "{number} of {architecture:#x}");
            }
        }
    }

    #[test]
    fn the_kernel_takes_the_program() {
        // linux/bpf_common.h, BPF_MAXINSNS.
        assert!(PROGRAM.len() <= 4096);
        for (at, step) in PROGRAM.iter().enumerate() {
            let left = PROGRAM.len() - at - 1;
            match step.code {
                // Every jump leads forwards to a step of the program, so each way ends at a return.
                JMP_JEQ_K => assert!(usize::from(step.jt.max(step.jf)) < left, "step {at}"),
                LD_W_ABS => assert!(step.k % 4 == 0 && step.k < 64, "step {at}"),
                ALU_AND_K | RET_K => {}
                other => panic!("step {at}: unknown operation {other:#x}"),
            }
        }
        assert_eq!(PROGRAM.last().map(|step| step.code), Some(RET_K));
        assert_eq!(FREE.len(), EXPECTED.len());
    }

    #[test]
    fn an_argument_is_found_where_the_kernel_puts_its_lower_half() {
        for n in 0..6 {
            let mut arguments = [0; 6];
            arguments[n] = 0x1111_1111_2222_2222;
            let load = sock_filter { code: LD_W_ABS, jt: 0, jf: 0, k: argument_at(n as u32) };
            let compare = sock_filter { code: JMP_JEQ_K, jt: 0, jf: 1, k: 0x2222_2222 };
            let [yes, no] = [1, 0].map(|k| sock_filter { code: RET_K, jt: 0, jf: 0, k });
            let call = call_of(0, &arguments);
            assert!(every_answer_is(|answer| answer == 1, &[load, compare, yes, no], &call, |_| {}), "{n}");
        }
    }
}
