//! Running a system call filter by hand: a program of classic BPF, as the kernel runs it for each system call
//! (linux/seccomp.h, linux/filter.h; kernel/seccomp.c, seccomp_check_filter, says which steps there are).
//!
//! What a call's arguments will be is known in part. Where a jump depends on what is not known, both ways are gone.

use libc::{
    BPF_A as RET_A, BPF_ABS as ABS, BPF_ADD as ADD, BPF_ALU as ALU, BPF_AND as AND, BPF_DIV as DIV,
    BPF_IMM as IMM, BPF_JA as JA, BPF_JEQ as JEQ, BPF_JGE as JGE, BPF_JGT as JGT, BPF_JMP as JMP,
    BPF_JSET as JSET, BPF_LD as LD, BPF_LDX as LDX, BPF_LEN as LEN, BPF_LSH as LSH, BPF_MEM as MEM,
    BPF_MEMWORDS, BPF_MISC as MISC, BPF_MUL as MUL, BPF_NEG as NEG, BPF_OR as OR, BPF_RET as RET,
    BPF_RSH as RSH, BPF_ST as ST, BPF_STX as STX, BPF_SUB as SUB, BPF_TAX as TAX, BPF_TXA as TXA,
    BPF_X as FROM_X, BPF_XOR as XOR, c_long, sock_filter,
};

/// The architecture (AUDIT_ARCH_* of linux/audit.h). System calls have other numbers on another one.
#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(target_arch = "riscv64")]
pub(crate) const ARCHITECTURE: u32 = 0xC000_00F3;
#[cfg(target_arch = "s390x")]
pub(crate) const ARCHITECTURE: u32 = 0x8000_0016;
#[cfg(all(target_arch = "powerpc64", target_endian = "little"))]
pub(crate) const ARCHITECTURE: u32 = 0xC000_0015;

/// `struct seccomp_data` in words of 32 bits: the number, the architecture, the instruction pointer, six arguments of two
/// words each.
const WORDS: usize = 16;
const FIRST_ARGUMENT: usize = 4;

/// A system call that a filter is asked about. A word that is `None` is not known.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    words: [Option<u32>; WORDS],
}

impl Call {
    /// The call of this number, with the arguments that are known.
    pub(crate) fn new(number: c_long, arguments: &[Option<u64>]) -> Self {
        let mut words = [None; WORDS];
        let (head, rest) = words.split_at_mut(FIRST_ARGUMENT);
        for (word, known) in head.iter_mut().zip([number as u32, ARCHITECTURE]) {
            *word = Some(known);
        }
        for (pair, argument) in rest.chunks_exact_mut(2).zip(arguments) {
            let (lower, upper) = (argument.map(|all| all as u32), argument.map(|all| (all >> 32) as u32));
            let halves = if cfg!(target_endian = "big") { [upper, lower] } else { [lower, upper] };
            pair.copy_from_slice(&halves);
        }
        Self { words }
    }

    /// The same of another architecture, for tests.
    #[cfg(test)]
    pub(crate) fn of_architecture(mut self, architecture: u32) -> Self {
        self.words[1] = Some(architecture);
        self
    }
}

/// The part of a step's code that says what kind of step it is (linux/bpf_common.h, BPF_CLASS).
const CLASS: u32 = 0x07;

/// The words of memory that a program has.
const MEMORY: usize = BPF_MEMWORDS as usize;

/// No more steps are run for one call. The longest program has 4096 (BPF_MAXINSNS), and is run along every way that it may
/// take.
const MOST_STEPS: u32 = 50_000;
/// So many jumps that depend on what is not known may lie on one way.
const MOST_FORKS: u32 = 16;

/// The registers of a program that is being run.
#[derive(Clone, Copy)]
struct Machine {
    at: usize,
    a: Option<u32>,
    x: Option<u32>,
    memory: [Option<u32>; MEMORY],
}

/// Whether every answer that the filter may give for the call, a SECCOMP_RET_*, is `good`. False where the answer is
/// calculated from what is not known, and where the program is none that the kernel takes. `visit` is told each step that is
/// run.
pub(crate) fn every_answer_is(
    good: fn(u32) -> bool,
    program: &[sock_filter],
    call: &Call,
    mut visit: impl FnMut(usize),
) -> bool {
    let machine = Machine { at: 0, a: Some(0), x: Some(0), memory: [Some(0); MEMORY] };
    let mut run = Run { good, program, call, visit: &mut visit, steps_left: MOST_STEPS };
    run.from(machine, MOST_FORKS).unwrap_or(false)
}

struct Run<'a> {
    good: fn(u32) -> bool,
    program: &'a [sock_filter],
    call: &'a Call,
    visit: &'a mut dyn FnMut(usize),
    steps_left: u32,
}

impl Run<'_> {
    /// Whether every answer is good from here on; `None` where that cannot be told.
    fn from(&mut self, mut machine: Machine, forks_left: u32) -> Option<bool> {
        loop {
            self.steps_left = self.steps_left.checked_sub(1)?;
            let step = self.program.get(machine.at)?;
            (self.visit)(machine.at);
            machine.at += 1;
            let k = step.k;
            let (class, rest) = (u32::from(step.code) & CLASS, u32::from(step.code) & !CLASS);
            match class {
                LD | LDX => {
                    let to_a = class == LD;
                    let loaded = match rest {
                        IMM => Some(k),
                        ABS if to_a && k % 4 == 0 => *self.call.words.get(k as usize / 4)?,
                        MEM => *machine.memory.get(k as usize)?,
                        LEN => Some(4 * WORDS as u32),
                        _ => return None,
                    };
                    *(if to_a { &mut machine.a } else { &mut machine.x }) = loaded;
                }
                ST if rest == 0 => *machine.memory.get_mut(k as usize)? = machine.a,
                STX if rest == 0 => *machine.memory.get_mut(k as usize)? = machine.x,
                ALU => {
                    let operand = if rest & FROM_X == 0 { Some(k) } else { machine.x };
                    machine.a = calculate(rest & !FROM_X, machine.a, operand)?;
                }
                JMP if rest == JA => machine.at = machine.at.checked_add(k as usize)?,
                JMP => {
                    let operand = if rest & FROM_X == 0 { Some(k) } else { machine.x };
                    let known = machine.a.zip(operand);
                    let jumps = match rest & !FROM_X {
                        JEQ => known.map(|(a, b)| a == b),
                        JGT => known.map(|(a, b)| a > b),
                        JGE => known.map(|(a, b)| a >= b),
                        JSET => known.map(|(a, b)| a & b != 0),
                        _ => return None,
                    };
                    let (yes, no) = (usize::from(step.jt), usize::from(step.jf));
                    if jumps.is_none() && yes != no {
                        let jumped = Machine { at: machine.at + yes, ..machine };
                        if !self.from(jumped, forks_left.checked_sub(1)?)? {
                            return Some(false);
                        }
                    }
                    machine.at += if jumps == Some(true) { yes } else { no };
                }
                RET if rest == 0 => return Some((self.good)(k)),
                RET if rest == RET_A => return Some((self.good)(machine.a?)),
                MISC if rest == TAX => machine.x = machine.a,
                MISC if rest == TXA => machine.a = machine.x,
                _ => return None,
            }
        }
    }
}

/// The outer `None`: there is no such calculation, or it may be a division by 0, at which the kernel ends the program with
/// the answer 0: kill (net/core/filter.c, bpf_convert_filter). The inner one: its result is not known.
fn calculate(operation: u32, a: Option<u32>, operand: Option<u32>) -> Option<Option<u32>> {
    let both = a.zip(operand);
    Some(match operation {
        ADD => both.map(|(a, b)| a.wrapping_add(b)),
        SUB => both.map(|(a, b)| a.wrapping_sub(b)),
        MUL => both.map(|(a, b)| a.wrapping_mul(b)),
        DIV if operand.is_none_or(|by| by == 0) => return None,
        DIV => both.and_then(|(a, b)| a.checked_div(b)),
        OR => both.map(|(a, b)| a | b),
        AND => both.map(|(a, b)| a & b),
        XOR => both.map(|(a, b)| a ^ b),
        LSH => both.and_then(|(a, b)| a.checked_shl(b)),
        RSH => both.and_then(|(a, b)| a.checked_shr(b)),
        NEG => a.map(u32::wrapping_neg),
        _ => return None,
    })
}

/// Whether a call that is answered like this does no harm: it is made, or fails with an error. Else the process is killed,
/// gets a signal, or waits for somebody else's answer.
pub(crate) fn lets_pass(answer: u32) -> bool {
    matches!(
        answer & libc::SECCOMP_RET_ACTION_FULL,
        libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG | libc::SECCOMP_RET_ERRNO
    )
}

/// Whether a call that is answered like this waits for what a supervisor says of it (seccomp_unotify(2), ptrace(2)). It may
/// wait for ever.
pub(crate) fn waits(answer: u32) -> bool {
    matches!(answer & libc::SECCOMP_RET_ACTION_FULL, libc::SECCOMP_RET_USER_NOTIF | libc::SECCOMP_RET_TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(code: u32, k: u32) -> sock_filter {
        sock_filter { code: code as u16, jt: 0, jf: 0, k }
    }

    fn branch(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
        sock_filter { jt, jf, ..step(JMP | code, k) }
    }

    /// The answer, if it is the only one that may come.
    fn run(program: &[sock_filter], call: &Call) -> Option<u32> {
        std::thread_local! {
            static ANSWER: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
        }
        ANSWER.set(None);
        let is_the_only_one = every_answer_is(
            |answer| ANSWER.replace(Some(answer)).is_none_or(|before| before == answer),
            program,
            call,
            |_| {},
        );
        ANSWER.get().filter(|_| is_the_only_one)
    }

    /// The answer of a program that ends with A.
    fn a_of(steps: &[sock_filter]) -> Option<u32> {
        let program = [steps, &[step(RET | RET_A, 0)]].concat();
        run(&program, &Call::new(7, &[Some(0x1111_1111_2222_2222), None, Some(5)]))
    }

    #[test]
    fn a_word_is_found_where_the_kernel_puts_it() {
        let load = |at| a_of(&[step(LD | ABS, at)]);
        assert_eq!((load(0), load(4)), (Some(7), Some(ARCHITECTURE)));
        let (lower, upper) = if cfg!(target_endian = "big") { (20, 16) } else { (16, 20) };
        assert_eq!((load(lower), load(upper)), (Some(0x2222_2222), Some(0x1111_1111)));
        assert_eq!(load(lower + 16), Some(5));
        assert_eq!(a_of(&[step(LD | LEN, 0)]), Some(64));
    }

    #[test]
    fn what_is_not_known_has_no_answer_unless_it_does_not_matter() {
        for at in [8, 12, 24, 28, 40, 60] {
            assert_eq!(a_of(&[step(LD | ABS, at)]), None, "{at}");
            let fork = |yes, no| [step(LD | ABS, at), branch(JEQ, 3, 0, 1), step(RET, yes), step(RET, no)];
            assert_eq!(run(&fork(1, 2), &Call::new(7, &[None])), None);
            assert_eq!(run(&fork(2, 2), &Call::new(7, &[None])), Some(2));
            let program =
                [step(LD | ABS, at), step(LD | ABS, 0), branch(JEQ, 7, 0, 1), step(RET, 1), step(RET, 2)];
            assert_eq!(run(&program, &Call::new(7, &[None])), Some(1));
        }
        // Nor has what was calculated from it.
        let steps = |operation| {
            [
                step(LD | ABS, 24),
                step(ALU | operation, 1),
                step(MISC, 0),
                step(LD, 1),
                step(ALU | ADD | FROM_X, 0),
            ]
        };
        for operation in [ADD, SUB, MUL, DIV, OR, AND, XOR, LSH, RSH, NEG] {
            assert_eq!(a_of(&steps(operation)), None, "{operation:#x}");
        }
    }

    #[test]
    fn a_program_with_too_many_ways_has_no_answer() {
        let forks = |number| {
            let mut program = vec![step(LD | ABS, 8)];
            program.extend((0..number).map(|k| branch(JEQ, k, 1, 0)));
            program.extend([step(RET, 1), step(RET, 1)]);
            program
        };
        assert_eq!(run(&forks(8), &Call::new(7, &[])), Some(1));
        assert_eq!(run(&forks(40), &Call::new(7, &[])), None);
    }

    #[test]
    fn every_calculation_is_the_kernels() {
        let with = |operation, a, k| a_of(&[step(LD, a), step(ALU | operation, k)]);
        for (operation, a, k, result) in [
            (ADD, u32::MAX, 2, 1),
            (SUB, 1, 2, u32::MAX),
            (MUL, 1 << 31, 3, 1 << 31),
            (DIV, 7, 2, 3),
            (OR, 5, 2, 7),
            (AND, 7, 10, 2),
            (XOR, 5, 1, 4),
            (LSH, 3, 31, 1 << 31),
            (RSH, 1 << 31, 31, 1),
            (NEG, 1, 0, u32::MAX),
        ] {
            assert_eq!(with(operation, a, k), Some(result), "{operation:#x}");
            let by_x = [step(LDX, k), step(LD, a), step(ALU | operation | FROM_X, 99)];
            assert_eq!(a_of(&by_x), Some(result), "{operation:#x} by X");
        }
        for (operation, k) in [(DIV, 0), (LSH, 32), (RSH, 32)] {
            assert_eq!(with(operation, 1, k), None, "{operation:#x}");
        }
    }

    #[test]
    fn a_division_that_may_be_by_0_has_no_answer_whatever_comes_after_it() {
        let division = |x: &[sock_filter]| {
            let program = [x, &[step(LD, 1), step(ALU | DIV | FROM_X, 0), step(RET, 1)]].concat();
            run(&program, &Call::new(7, &[None]))
        };
        assert_eq!(division(&[step(LDX, 2)]), Some(1));
        assert_eq!(division(&[step(LDX, 0)]), None);
        assert_eq!(division(&[step(LD | ABS, 16), step(MISC | TAX, 0)]), None, "an argument");
    }

    #[test]
    fn values_go_through_the_registers_and_the_memory() {
        assert_eq!(a_of(&[step(LD, 3), step(ST, 15), step(LD, 4), step(LD | MEM, 15)]), Some(3));
        assert_eq!(
            a_of(&[step(LDX, 3), step(STX, 0), step(LDX, 9), step(LDX | MEM, 0), step(MISC | TXA, 0)]),
            Some(3)
        );
        assert_eq!(a_of(&[step(LDX | LEN, 0), step(MISC | TXA, 0)]), Some(64));
        assert_eq!(a_of(&[step(LD | MEM, 16)]), None);
    }

    #[test]
    fn every_jump_is_the_kernels() {
        let way = |code, a, k| {
            run(&[step(LD, a), branch(code, k, 0, 1), step(RET, 1), step(RET, 2)], &Call::new(0, &[]))
        };
        for (code, k, expected) in [
            (JEQ, 5, 1),
            (JEQ, 4, 2),
            (JGT, 4, 1),
            (JGT, 5, 2),
            (JGE, 5, 1),
            (JGE, 6, 2),
            (JSET, 4, 1),
            (JSET, 2, 2),
        ] {
            assert_eq!(way(code, 5, k), Some(expected), "{code:#x} {k}");
            let by_x =
                [step(LD, 5), step(LDX, k), branch(code | FROM_X, 99, 0, 1), step(RET, 1), step(RET, 2)];
            assert_eq!(run(&by_x, &Call::new(0, &[])), Some(expected), "{code:#x} by X");
        }
        assert_eq!(run(&[step(JMP | JA, 1), step(RET, 1), step(RET, 2)], &Call::new(0, &[])), Some(2));
    }

    #[test]
    fn what_the_kernel_would_not_take_has_no_answer() {
        for program in [
            vec![],
            vec![step(LD | ABS, 0)],
            vec![step(LD | ABS, 64), step(RET, 0)],
            vec![step(LD | ABS, 2), step(RET, 0)],
            vec![step(LDX | ABS, 0), step(RET, 0)],
            vec![branch(JEQ, 0, 1, 1), step(RET, 0)],
            vec![step(JMP | JA, u32::MAX), step(RET, 0)],
            vec![branch(0x50, 0, 0, 0), step(RET, 0)],
            // A remainder, loads of bytes and by X: not in a filter of system calls.
            vec![step(ALU | 0x90, 1), step(RET, 0)],
            vec![step(LD | 0x10, 0), step(RET, 0)],
            vec![step(LD | 0x40, 0), step(RET, 0)],
            vec![step(RET | 0x08, 0)],
            vec![step(MISC | 0x40, 0), step(RET, 0)],
        ] {
            let codes: Vec<_> = program.iter().map(|step| step.code).collect();
            assert_eq!(run(&program, &Call::new(0, &[])), None, "{codes:x?}");
        }
    }

    #[test]
    fn an_error_does_no_harm_and_a_signal_does() {
        for harmless in [0x7FFF_0000, 0x7FFC_0000, 0x0005_0000, 0x0005_0001, 0x0005_FFFF] {
            assert!(lets_pass(harmless), "{harmless:#x}");
        }
        // Kill a thread or the process, a trap, a listener, a tracer, what there is not yet.
        for harm in [0, 0x8000_0000, 0x0003_0000, 0x7FC0_0000, 0x7FF0_0000, 0x7FF0_0001, 0x1234_0000] {
            assert!(!lets_pass(harm), "{harm:#x}");
            assert_eq!(waits(harm), matches!(harm, 0x7FC0_0000 | 0x7FF0_0000 | 0x7FF0_0001), "{harm:#x}");
        }
        assert!(!waits(0x7FFF_0000) && !waits(0x0005_0001));
    }
}
