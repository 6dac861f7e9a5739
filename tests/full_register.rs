//! More threads than the register holds: each is placed all the same, and none is taken for another.

use harness::{Program, Scratch, Source, TimeLimit, compile, two_cpus};

/// The library does not know the role of a thread that is not listed: the rescan before the first KVM_RUN must
/// leave it where it is.
#[test]
fn unlisted_threads_stay_on_their_set_when_a_vcpu_first_runs() {
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "full_register.c", flags: &[] });
    let finished = Program::new(program)
        .affinity(&[cpus.first])
        .with_library()
        .env("PIN_TARGET", "full_register")
        .env("PIN_CPUS", cpus.first.to_string())
        .env("PIN_IOTHREADS", format!("*@{}", cpus.second))
        .env("EXPECT_CPU", cpus.second.to_string())
        .run();
    assert_eq!((finished.code(), &*finished.stdout), (0, "4200 threads, 0 off the set\n"), "{finished:?}");
    // The program has filled the register, of which one line is said.
    let warning = "pinshim: warning: the register is full; further threads are placed, but not listed\n";
    assert_eq!(finished.stderr, warning);
}
