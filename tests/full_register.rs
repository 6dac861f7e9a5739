//! More threads than the register holds: each is placed all the same, none is taken for another, and that the register
//! is full is told to those who ask.

use harness::{Process, Program, Scratch, Source, TimeLimit, TwoCpus, compile, pinshim, two_cpus, until};

/// The program that makes 4200 IOThreads, with its IOThreads' set elsewhere than its own.
fn program(scratch: &Scratch, cpus: TwoCpus) -> Program {
    let program = compile(scratch, &Source { file: "full_register.c", flags: &[] });
    Program::new(program)
        .affinity(&[cpus.first])
        .with_library()
        .env("PIN_TARGET", "full_register")
        .env("PIN_CPUS", cpus.first.to_string())
        .env("PIN_IOTHREADS", format!("*@{}", cpus.second))
        .env("EXPECT_CPU", cpus.second.to_string())
}

/// The library does not know the role of a thread that is not listed: the rescan before the first KVM_RUN must
/// leave it where it is.
#[test]
fn unlisted_threads_stay_on_their_set_when_a_vcpu_first_runs() {
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let finished = program(&scratch, cpus).run();
    assert_eq!((finished.code(), &*finished.stdout), (0, "4200 threads, 0 off the set\n"), "{finished:?}");
    // It is no fault of the program's.
    assert_eq!(finished.stderr, "");
}

#[test]
fn a_full_register_is_said_once_to_those_who_ask_for_it() {
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let finished = program(&scratch, cpus).env("PIN_LOG", "pinshim::thread_start=info").run();
    let said = "pinshim: the register is full; further threads are placed, but not listed\n";
    assert_eq!((finished.code(), &*finished.stderr), (0, said), "{finished:?}");
}

#[test]
fn show_says_how_many_threads_are_placed_and_not_listed() {
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let process: Process = program(&scratch, cpus).arg("wait").start();
    until(60, "all threads", || process.stdout().contains("all run").then_some(()));
    let finished = pinshim(&["show", &process.pid().to_string()]);
    // The register has 4096 slots. The main thread has one, and call_rcu, if it has not ended yet.
    let last = finished.stdout.lines().last();
    let said = |unlisted: i32| {
        last == Some(&format!("  the register was full: so far {unlisted} threads placed, but not listed"))
    };
    assert!(said(4200 + 1 - 4096) || said(4200 + 2 - 4096), "{last:?} {}", finished.stderr);
    process.kill();
}
