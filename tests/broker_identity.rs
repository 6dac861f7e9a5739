//! Whom the broker serves: the one process that started it, or the daemon that this one became, for as long as that
//! lives. A process id or a thread id is no identity, and who holds the socket is not QEMU.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use harness::{
    Companion, Filtered, NOBODY, Process, Program, Source, TimeLimit, TwoCpus, brokers_of, compile, cpus_of,
    root_missing, skip, two_cpus, until,
};

/// A process that no test has started itself. It is killed when the value goes.
struct Stray(Companion);

impl Drop for Stray {
    fn drop(&mut self) {
        self.0.signal(libc::SIGKILL);
    }
}

/// Waits for a line that begins with `what`; gives the rest of it.
#[track_caller]
fn line(process: &Process, what: &str) -> String {
    until(60, what, || {
        let said = process.stdout();
        said.lines().find_map(|line| line.strip_prefix(what)).map(|rest| rest.trim().to_owned())
    })
}

/// The process with the id that a line names.
#[track_caller]
fn named(process: &Process, what: &str) -> Stray {
    let pid = line(process, what).parse().expect("a pid");
    Stray(Companion::of(pid).expect("the process lives"))
}

#[track_caller]
fn only_broker(process: &Process) -> Companion {
    let brokers = brokers_of(process.pid());
    assert_eq!(brokers.len(), 1, "one broker: {brokers:?} {}", process.stderr());
    brokers[0]
}

#[track_caller]
fn wait_for_end(broker: Companion) {
    until(30, "the broker's end", || (!broker.lives()).then_some(()));
}

/// By root, where the tests are root's, and by an ordinary user.
fn by_everybody(test: impl Fn(Program, TwoCpus), file: &str) {
    let _limit = TimeLimit::seconds(300);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new(file, cpus);
    test(program.target(), cpus);
    if root_missing().is_none() {
        test(program.target().user(NOBODY), cpus);
    }
}

#[test]
fn a_child_that_holds_the_socket_is_not_served_and_keeps_no_broker_alive() {
    by_everybody(
        |program, cpus| {
            let process = program.start();
            let child = named(&process, "child ");
            line(&process, "ready");
            assert!(process.stdout().contains("not served, not moved\n"), "{}", process.stdout());
            let broker = only_broker(&process);
            process.kill();
            wait_for_end(broker);
            until(30, "the child's second try", || {
                (process.stdout().matches("not served, not moved\n").count() == 2).then_some(())
            });
            assert_eq!(cpus_of(&child.0.pid.to_string()), [cpus.first]);
        },
        "holds_socket.c",
    );
}

#[test]
fn a_child_is_not_served_where_the_kernel_has_no_pidfd_either() {
    let _limit = TimeLimit::seconds(300);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("holds_socket.c", cpus);
    let process = program.target().env("WITHOUT_PIDFD", "1").start();
    let _child = named(&process, "child ");
    line(&process, "ready");
    let broker = only_broker(&process);
    process.kill();
    wait_for_end(broker);
    until(30, "the child's second try", || {
        (process.stdout().matches("not served, not moved\n").count() == 2).then_some(())
    });
}

/// It was to become a daemon, and ended before it was one.
#[test]
fn the_broker_ends_when_the_daemon_never_came() {
    by_everybody(
        |program, _| {
            let process = program.arg("-daemonize").start();
            let _child = named(&process, "child ");
            line(&process, "ready");
            let broker = only_broker(&process);
            process.kill();
            wait_for_end(broker);
            line(&process, "not served, not moved");
        },
        "holds_socket.c",
    );
}

fn a_daemon_is_served_until_it_ends_and_its_child_is_not(program: Program, cpus: TwoCpus) {
    let process = program
        .arg("-daemonize")
        .env("PIN_CPUS", cpus.first.to_string())
        .env("PIN_IOTHREADS", format!("*@{}", cpus.second))
        .start();
    let daemon = named(&process, "daemon ");
    assert_eq!(line(&process, "before its parent ends: "), "in place");
    assert_eq!(line(&process, "after that: "), "in place");
    assert!(process.ended().is_some_and(|status| status.success()), "{:?}", process.ended());
    let broker = only_broker(&process);
    let _other = named(&process, "other ");
    assert_eq!(line(&process, "its child: "), "off", "{}", process.stderr());
    daemon.0.signal(libc::SIGUSR1);
    assert_eq!(line(&process, "after its child has asked: "), "in place");
    assert_eq!(process.stderr(), "");
    assert_eq!(only_broker(&process), broker);
    // Its child lives on, with the socket.
    daemon.0.signal(libc::SIGUSR1);
    wait_for_end(broker);
}

#[test]
fn a_daemon_is_served_until_it_ends_and_its_child_is_not_served() {
    by_everybody(a_daemon_is_served_until_it_ends_and_its_child_is_not, "daemonizes.c");
}

#[test]
fn a_daemon_is_served_where_the_kernel_has_no_pidfd() {
    by_everybody(
        |program, cpus| {
            a_daemon_is_served_until_it_ends_and_its_child_is_not(program.env("WITHOUT_PIDFD", "1"), cpus)
        },
        "daemonizes.c",
    );
}

/// Requests wait in the socket, their sender ends, and another process gets its id.
fn requests_of_a_process_that_has_ended_are_not_done_to_the_next(variables: &[(&str, &str)]) {
    let _limit = TimeLimit::seconds(300);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("queues.c", cpus);
    let takes_id = compile(program.scratch(), &Source { file: "takes_id.c", flags: &[] });
    for user in [None, Some(NOBODY)] {
        // The id of a session's or group's leader is not used again while the broker is in it, so a shell leads both.
        let shell = program.started_by("sh", &["-c", "\"$0\" & wait; exec sleep 1000"]);
        let shell = variables.iter().fold(shell, |shell, (name, value)| shell.env(name, value));
        let process = user.into_iter().fold(shell, Program::user).start();
        let sender = named(&process, "ready ");
        let broker = only_broker(&process);
        let halted = broker.halt();
        sender.0.signal(libc::SIGUSR1);
        line(&process, "queued");
        sender.0.signal(libc::SIGKILL);
        let pid = sender.0.pid.to_string();
        let next = Program::new(&takes_id).arg(&pid).affinity(&[cpus.first]).start();
        let said = until(60, "the next process", || next.stdout().lines().next().map(str::to_owned));
        if said == "Operation not permitted"
            || said == "Function not implemented"
            || said == "Invalid argument"
        {
            return skip(format!("a process with a chosen id: {said}"));
        }
        assert_eq!((&*said, cpus_of(&pid)), ("taken", vec![cpus.first]));
        drop(halted);
        wait_for_end(broker);
        assert_eq!(cpus_of(&pid), [cpus.first], "it is where it was");
    }
}

#[test]
fn requests_of_a_process_that_has_ended_are_not_done_to_the_next_with_its_id() {
    requests_of_a_process_that_has_ended_are_not_done_to_the_next(&[]);
}

#[test]
fn nor_where_the_kernel_has_no_pidfd() {
    requests_of_a_process_that_has_ended_are_not_done_to_the_next(&[("WITHOUT_PIDFD", "1")]);
}

/// The thread's id is given to another process between the broker's look and its act.
#[test]
fn a_process_that_gets_the_id_of_a_thread_in_that_moment_is_put_back_where_it_was() {
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("id_taken_again.c", cpus);
    let process = program.target().start();
    let said = until(60, "the answer", || {
        assert!(process.ended().is_none() || !process.stdout().is_empty(), "{:?}", process.ended());
        process.stdout().lines().next().map(str::to_owned)
    });
    if said.starts_with("no such process") || said.starts_with("no listener") {
        return skip(said);
    }
    assert_eq!(said, "not served, the other process is where it was", "{}", process.stderr());
}
