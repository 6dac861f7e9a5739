//! What the creation of a thread costs, and an ioctl.

use crate::report::{Report, side_by_side};
use harness::{Program, Scratch, Source, TwoCpus, compile, compile_library};
use std::path::Path;

const THREADS: &str = "4000";
const ROUNDS: usize = 9;

pub(crate) fn measure(report: &mut Report, scratch: &Scratch, cpus: TwoCpus) {
    let program = compile(scratch, &Source { file: "create_join.c", flags: &[] });
    // The creator on `home`, and for "another set" the new threads on `away`.
    let (home, away) = (cpus.first, cpus.second);
    let taskset = |extra: &[String]| {
        let program = Program::new(&program).affinity(&[home]).arg(THREADS).args(extra);
        nanoseconds(program)
    };
    let shim = |variables: &[(&str, String)]| {
        let name = program.file_name().expect("a program has a name");
        let mut program = Program::new(&program).arg(THREADS).with_library().env("PIN_TARGET", name);
        for (variable, value) in variables {
            program = program.env(variable, value);
        }
        program
    };
    let base = ("PIN_CPUS", home.to_string());
    let (plain, pinned) =
        side_by_side(ROUNDS, || taskset(&[]), || nanoseconds(shim(std::slice::from_ref(&base))));
    report.at_most("create+join, creator on the set: shim / taskset", pinned / plain, 1.10, "");
    let unnamed = [base.clone(), ("PIN_NAMES", "off".into())];
    let (plain, pinned) = side_by_side(ROUNDS, || taskset(&[]), || nanoseconds(shim(&unnamed)));
    report.at_most("the same with PIN_NAMES=off", pinned / plain, 1.05, "");
    let elsewhere = [base.clone(), ("PIN_WORKERS", away.to_string())];
    let (attribute, pinned) =
        side_by_side(ROUNDS, || taskset(&[away.to_string()]), || nanoseconds(shim(&elsewhere)));
    report.at_most("create+join onto another set: shim / attribute", pinned / attribute, 1.0, "");

    let sandbox = compile_library(scratch, &Source { file: "own_filter.c", flags: &[] });
    let sandboxed = || nanoseconds(shim(&elsewhere).preload(&sandbox));
    let (direct, brokered) = side_by_side(ROUNDS, || nanoseconds(shim(&elsewhere)), sandboxed);
    report.at_most(
        "a pin through the broker, beyond a direct one",
        (brokered - direct) / 1000.0,
        60.0,
        " us",
    );
    ioctls(report, scratch);
}

fn nanoseconds(program: Program) -> f64 {
    let finished = program.run();
    finished.assert_clean();
    finished.stdout.trim().parse().expect("a number")
}

fn ioctls(report: &mut Report, scratch: &Scratch) {
    let what = "instructions added to an ioctl of no interest";
    if Program::new("valgrind").arg("--version").try_start().is_err() {
        return report.skipped(what, "valgrind is not installed");
    }
    const CALLS: u64 = 100_000;
    let program = compile(scratch, &Source { file: "ioctl_loop.c", flags: &[] });
    let each = |library: bool| {
        let total = |calls: u64| instructions(scratch, &program, calls, library);
        (total(CALLS) - total(0)) as f64 / CALLS as f64
    };
    report.at_most(what, each(true) - each(false), 25.0, "");
}

fn instructions(scratch: &Scratch, program: &Path, calls: u64, library: bool) -> u64 {
    let out = scratch.join("callgrind.out");
    let mut valgrind = Program::new("valgrind")
        .args(["--tool=callgrind", "-q"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(calls.to_string())
        .env("PIN_TARGET", "*")
        .env("PIN_CPUS", "all");
    if library {
        valgrind = valgrind.with_library();
    }
    let finished = valgrind.run();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let text = std::fs::read_to_string(&out).expect("callgrind's output");
    let summary =
        text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    summary.expect("a summary").trim().parse().expect("a number")
}
