//! Processes that merely inherit `LD_PRELOAD`, and targets without a placement, run as if the
//! library were not there.

use harness::{
    Finished, Observer, Program, Scratch, Source, TimeLimit, TwoCpus, compile, or_skip, qemu, two_cpus, until,
};

/// Prints its own affinity, which is not where the variables below would have it.
const SHOWS_ITS_CPUS: &str = "grep Cpus_allowed_list /proc/self/status; echo heard >&2; exit 3";

fn placed_on(program: Program, cpu: usize) -> Program {
    program.with_library().env("PIN_CPUS", cpu.to_string()).env("PIN_LOG", "trace")
}

#[track_caller]
fn assert_shown(finished: &Finished, cpus: TwoCpus) {
    let shown = format!("Cpus_allowed_list:\t{}\n", cpus.first);
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (3, &*shown, "heard\n"));
}

#[test]
fn a_shell_and_what_it_starts() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let shell = Program::new("sh").args(["-c", SHOWS_ITS_CPUS]).affinity(&[cpus.first]);
    assert_shown(&placed_on(shell, cpus.second).run(), cpus);
}

#[test]
fn timeout_and_what_it_starts() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let wrapped = Program::new("timeout").args(["60", "sh", "-c", SHOWS_ITS_CPUS]).affinity(&[cpus.first]);
    assert_shown(&placed_on(wrapped, cpus.second).run(), cpus);
}

#[test]
fn a_bad_value_is_no_concern_of_a_shell() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let shell = Program::new("sh").args(["-c", SHOWS_ITS_CPUS]).affinity(&[cpus.first]);
    assert_shown(&shell.with_library().env("PIN_CPUS", "x").env("PIN_CPU", "1").run(), cpus);
}

#[test]
fn a_program_with_threads_that_is_no_target() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "create.c", flags: &[] });
    let finished = placed_on(
        Program::new(program).affinity(&[cpus.first]).env("EXPECT_CPU", cpus.first.to_string()),
        cpus.second,
    )
    .run();
    assert_eq!((finished.code(), &*finished.stderr), (7, ""));
    assert!(!finished.stdout.contains("is on CPU"), "{finished:?}");
}

#[test]
fn a_target_that_nobody_asked_to_place() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "create.c", flags: &[] });
    let plain = Program::new(&program).run();
    let target = Program::new(&program)
        .affinity(&[cpus.first])
        .with_library()
        .env("PIN_TARGET", "create")
        .env("PIN_LOG", "trace")
        .env("EXPECT_CPU", cpus.first.to_string());
    assert_eq!(target.run(), plain);
}

#[test]
fn only_the_named_target_is_one() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "create.c", flags: &[] });
    let finished = |target: &str| {
        let program = Program::new(&program).affinity(&[cpus.first]);
        let cpu = cpus.second.to_string();
        program.with_library().env("PIN_TARGET", target).env("PIN_CPUS", &cpu).env("EXPECT_CPU", &cpu).run()
    };
    let in_place = |finished: Finished| !finished.assert_stderr_empty().stdout.contains("is on CPU");
    assert!(in_place(finished("create")));
    assert!(in_place(finished("other,cre*te")));
    assert!(!in_place(finished("creat")));
    assert!(!in_place(finished("other,kvm")));
}

/// QEMU behind wrappers, which is how people start it, is a target all the same.
#[test]
fn a_qemu_behind_wrappers_is_placed() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let Some(binary) = or_skip(qemu()) else { return };
    let scratch = Scratch::new();
    let pid_file = scratch.join("pid");
    let wrapped = Program::new("timeout")
        .args(["50", "taskset", "-c", &cpus.first.to_string()])
        .arg(binary)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "none", "-S", "-pidfile"])
        .arg(&pid_file)
        .with_library()
        .env("PIN_CPUS", cpus.second.to_string())
        .start();
    let pid: u32 =
        until(30, "QEMU's pid file", || std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok());
    let seen = Observer::watch(pid, std::time::Duration::from_millis(200));
    assert!(seen.count() >= 2, "main and call_rcu: {seen:?}");
    let second = cpus.second.to_string();
    assert!(seen.threads.values().all(|t| t.runs.iter().all(|r| r.allowed == second)), "{seen:?}");
    assert_eq!(harness::cpus_of(&wrapped.pid().to_string()), harness::cpus_of("self"), "timeout itself");
    // It passes the signal on to QEMU.
    wrapped.signal(libc::SIGTERM);
    wrapped.wait();
}
