//! The loading of the sandbox's filter: threads that are being created at that moment, the broker that is
//! started just before, and what the process itself notices of it.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use harness::{
    Filtered, NOBODY, Process, Program, TimeLimit, TwoCpus, brokers_of, long, root_missing, skip, two_cpus,
    until,
};

/// How many times the filter is loaded amid creations, each time at another moment.
fn times() -> u32 {
    if long() { 200 } else { 8 }
}

/// Waits for a line that contains `what` on the program's standard output.
#[track_caller]
fn line(process: &Process, what: &str) -> String {
    until(60, what, || {
        // Asked first: what a program says just before its end is still to be read.
        let has_ended = process.ended().is_some();
        let said = process.stdout();
        let line = said.lines().find(|line| line.contains(what)).map(str::to_owned);
        assert!(line.is_some() || !has_ended, "it ended: {said}{}", process.stderr());
        line
    })
}

fn every_birth_around_the_filter_is_in_place(shape: impl Fn(Program, TwoCpus) -> Program) {
    let _limit = TimeLimit::seconds(240);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("births_at_filter.c", cpus);
    for time in 0..times() {
        let pause = (time * 371 % 2000).to_string();
        let process = shape(program.target().arg(&pause), cpus).start();
        let said = line(&process, "births");
        assert_eq!(said, "many births, 0 off the set, 0 unfiltered, 0 moved", "{}", process.stderr());
        assert_eq!(process.stderr(), "");
        // A second seccomp_load has started nothing more.
        assert_eq!(brokers_of(process.pid()).len(), 1);
    }
}

#[test]
fn threads_born_while_the_filter_is_loaded_are_in_place() {
    every_birth_around_the_filter_is_in_place(|program, _| program);
}

/// QEMU before 6.1 forbids even to ask for an affinity.
#[test]
fn threads_born_while_a_filter_is_loaded_that_forbids_to_ask_are_in_place() {
    every_birth_around_the_filter_is_in_place(|program, _| program.env("DENY", "getaffinity"));
}

/// The creators are on their set, and the threads that they create belong on another.
#[test]
fn threads_of_another_role_born_while_the_filter_is_loaded_are_in_place() {
    every_birth_around_the_filter_is_in_place(|program, cpus| {
        let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
        program.env("PIN_CPUS", first).env("PIN_IOTHREADS", format!("*@{second}")).arg("named")
    });
}

fn the_broker_is_no_child(process: &Process) {
    line(process, "loaded");
    let brokers = brokers_of(process.pid());
    assert_eq!(brokers.len(), 1, "one broker: {}", process.stderr());
    brokers[0].signal(libc::SIGKILL);
    until(30, "the broker's end", || (!brokers[0].lives()).then_some(()));
    process.signal(libc::SIGUSR1);
    assert_eq!(line(process, "SIGCHLD"), "SIGCHLD 0, children 0");
}

/// Neither its start nor its end raises one.
#[test]
fn the_broker_is_no_child_and_its_end_raises_no_sigchld() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("counts_sigchld.c", cpus);
    the_broker_is_no_child(&program.target().start());
}

#[test]
fn nor_is_it_an_ordinary_users() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let program = Filtered::new("counts_sigchld.c", cpus);
    the_broker_is_no_child(&program.target().user(NOBODY).start());
}

/// It closes all of them, low numbers and high: else QEMU's files would stay open after QEMU has closed them.
#[test]
fn the_broker_lets_go_of_inherited_descriptors() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let inherit = || {
        for number in [150, 199, 250, 900] {
            // SAFETY: takes no pointer.
            if unsafe { libc::dup2(0, number) } != number {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    let program = Filtered::new("counts_sigchld.c", cpus);
    let process = program.target().before_exec(inherit).start();
    line(&process, "loaded");
    let broker = brokers_of(process.pid())[0];
    assert_eq!(broker.holds_only_its_own(), Some(true), "{:?}", broker.descriptors());
}

/// Many threads are created at a time, so that a request to the broker has to be repeated. The errno that this
/// leaves must not reach the thread.
#[test]
fn a_thread_born_in_the_sandbox_begins_without_an_errno() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let finished = iothreads_elsewhere(Filtered::new("burst.c", cpus).target(), cpus).run();
    let said = finished.stdout.strip_prefix("1600 births, ").and_then(|said| said.split_once(", "));
    assert_eq!((finished.code(), said.map(|said| said.1)), (0, Some("0 with an errno\n")), "{finished:?}");
}

/// More requests than the broker's queue holds: a thread that finds it full waits for a place.
#[test]
fn a_burst_of_births_in_the_sandbox_leaves_none_off_its_set() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("burst.c", cpus);
    for _ in 0..3 {
        let finished = iothreads_elsewhere(program.target(), cpus).run();
        // Nor does a thread see the errno of what the library did before its routine began.
        assert_eq!(finished.assert_clean().stdout, "1600 births, 0 off the set, 0 with an errno\n");
    }
}

/// The program itself on the first CPU, its IOThreads on the second.
fn iothreads_elsewhere(program: Program, cpus: TwoCpus) -> Program {
    program.env("PIN_CPUS", cpus.first.to_string()).env("PIN_IOTHREADS", format!("*@{}", cpus.second))
}

/// Descriptors below `count` are closed: the broker serves all the same, and the library leaves nothing open under
/// their numbers.
fn the_broker_serves_with_closed_descriptors(count: u32) {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("low_descriptors.c", cpus);
    let process = iothreads_elsewhere(program.target().arg(count.to_string()), cpus).start();
    let said = line(&process, "loaded");
    assert_eq!(said, "loaded 0, placed 1, open again 0", "{}", process.stderr());
    assert_eq!(brokers_of(process.pid()).len(), 1);
}

#[test]
fn the_broker_serves_when_descriptor_0_is_closed() {
    the_broker_serves_with_closed_descriptors(1);
}

#[test]
fn the_broker_serves_when_descriptors_0_to_3_are_closed() {
    the_broker_serves_with_closed_descriptors(4);
}
