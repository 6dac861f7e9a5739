//! More threads than the register holds: each is placed all the same, and none is taken for another.

use harness::{Program, Scratch, Source, TimeLimit, compile, two_cpus};

/// A thread that is not listed may be anybody's, so the look before the first KVM_RUN leaves it alone.
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
    // So many threads there were, and one line is said of it.
    let warning = "pinshim: warning: the register is full; further threads are placed, but not listed\n";
    assert_eq!(finished.stderr, warning);
}
