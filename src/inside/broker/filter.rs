//! The broker's own system call filter: it allows what the broker needs to serve QEMU, and nothing else.
//!
//! QEMU cannot write to the broker's memory (the broker is not dumpable), and it can only send messages of a fixed form. The
//! filter is there in case one of these has a hole: a broker that QEMU has taken over can execute, create, connect, map or
//! write nothing.

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
    // To become QEMU's user after `-runas`. The kernel does not allow the way back to root.
    libc::SYS_setgroups,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_exit_group,
];

/// The architecture (AUDIT_ARCH_* of linux/audit.h). System calls have other numbers on another one, so its calls are
/// refused.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xC000_00F3;
#[cfg(target_arch = "s390x")]
const ARCHITECTURE: u32 = 0x8000_0016;
#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
const ARCHITECTURE: u32 = 0xC000_0015;

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
