//! A broker that cannot have what it needs: a step of its start that fails, or a call that fails later. It fails closed:
//! it ends, there is one warning that says why, and the program goes on without it.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use harness::{
    Companion, Filtered, NOBODY, Process, Program, TimeLimit, brokers_of, root_missing, two_cpus, until,
};

/// A system call that an outer filter denies.
struct Denied {
    call: libc::c_long,
    /// The number and the value of the argument that it is denied with; `None`: with all.
    argument: Option<(u32, u32)>,
    errno: i32,
}

fn denied(call: libc::c_long) -> Denied {
    Denied { call, argument: None, errno: libc::EPERM }
}

impl Denied {
    fn with(self, argument: u32, value: u32) -> Self {
        Self { argument: Some((argument, value)), ..self }
    }

    fn errno(self, errno: i32) -> Self {
        Self { errno, ..self }
    }

    /// Starts a program under that filter, and waits until it has created its threads.
    fn start(&self, program: &Filtered, user: bool) -> (Process, String) {
        let of = |target: Program| if user { target.user(NOBODY) } else { target };
        let mut target = of(program.target()).arg(self.call.to_string()).arg(self.errno.to_string());
        if let Some((argument, value)) = self.argument {
            target = target.arg(argument.to_string()).arg(value.to_string());
        }
        let process = target.start();
        let line = until(60, "the threads", || {
            assert!(process.ended().is_none(), "it ended: {:?} {}", process.ended(), process.stdout());
            process.stdout().lines().next().map(str::to_owned)
        });
        (process, line)
    }
}

/// There is no broker, of which there was one warning that holds `why`.
#[track_caller]
fn assert_without_a_broker(process: &Process, line: &str, why: &str) {
    assert_eq!(line, "0 of 3 in place");
    until(30, "the broker's end", || brokers_of(process.pid()).is_empty().then_some(()));
    let said = process.stderr();
    assert!(said.lines().count() == 1 && said.contains(why), "one warning of {why:?}: {said}");
    assert!(!said.contains("ETIMEDOUT"), "it was told and did not wait: {said}");
}

/// As whom to run: root, where the tests are root's, and an ordinary user.
fn users() -> &'static [bool] {
    if root_missing().is_none() { &[false, true] } else { &[false] }
}

/// linux/prctl.h.
const PR_SET_NAME: u32 = 15;
const PR_SET_DUMPABLE: u32 = 4;

#[test]
fn is_not_had_where_a_step_of_its_start_is_denied_and_the_warning_names_the_step() {
    let _limit = TimeLimit::seconds(300);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("denied.c", cpus);
    for (what, step) in [
        (denied(libc::SYS_prctl).with(0, PR_SET_DUMPABLE), "PR_SET_DUMPABLE"),
        (denied(libc::SYS_prctl).with(0, PR_SET_NAME), "PR_SET_NAME"),
        (denied(libc::SYS_capset), "capset"),
        (denied(libc::SYS_capget), "capget"),
        (denied(libc::SYS_close_range), "close_range"),
        // The test's own filter is loaded with a flag.
        (denied(libc::SYS_seccomp).with(1, 0), "seccomp"),
        (denied(libc::SYS_socketpair), "socketpair"),
        (denied(libc::SYS_setsockopt), "SO_PASSCRED"),
        (denied(libc::SYS_pidfd_open), "pidfd_open"),
        (denied(libc::SYS_clone).with(0, 0), "clone"),
        (denied(libc::SYS_wait4), "wait4"),
        // Neither process can end as it wants to.
        (denied(libc::SYS_exit_group), "clone"),
        (denied(libc::SYS_openat), "/proc"),
        (denied(libc::SYS_sched_setaffinity), "sched_setaffinity"),
        // It polls two descriptors; to write a warning takes one.
        (denied(libc::SYS_ppoll).with(1, 2), "ppoll"),
        (denied(libc::SYS_seccomp).with(1, 0).errno(libc::ENOSYS), "seccomp"),
        (denied(libc::SYS_geteuid), "geteuid"),
    ] {
        for &user in users() {
            let (process, line) = what.start(&program, user);
            assert_without_a_broker(&process, &line, "the broker could not be started");
            assert!(process.stderr().contains(step), "{step}: {}", process.stderr());
        }
    }
}

#[test]
fn ends_where_a_call_is_denied_that_it_needs_to_serve() {
    let _limit = TimeLimit::seconds(300);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("denied.c", cpus);
    // linux/futex.h: FUTEX_WAKE of memory that is shared; libc's is of private memory.
    let wake = denied(libc::SYS_futex).with(1, 1);
    for what in [
        denied(libc::SYS_recvmsg),
        denied(libc::SYS_ppoll).with(1, 3),
        denied(libc::SYS_ppoll).with(1, 3).errno(libc::EINVAL),
        denied(libc::SYS_recvmsg).errno(libc::ENOTCONN),
        denied(libc::SYS_sched_getaffinity),
        denied(libc::SYS_tgkill).errno(libc::ENOSYS),
        wake,
    ] {
        for &user in users() {
            let (process, line) = what.start(&program, user);
            // Where only the answer is denied, a thread is placed and the next is not.
            assert!(line == "0 of 3 in place" || line == "1 of 3 in place", "{line}");
            until(30, "the broker's end", || brokers_of(process.pid()).is_empty().then_some(()));
            let said = process.stderr();
            assert!(
                said.lines().count() == 1 && said.contains("the broker has ended"),
                "one warning: {said}"
            );
        }
    }
}

/// A filter that is meant for all processes may know no pidfd_open(2), and an older kernel has none.
#[test]
fn is_had_where_the_kernel_has_no_pidfd() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("denied.c", cpus);
    for &user in users() {
        let (process, line) = denied(libc::SYS_pidfd_open).errno(libc::ENOSYS).start(&program, user);
        assert_eq!((&*line, &*process.stderr()), ("3 of 3 in place", ""));
        let brokers: Vec<Companion> = brokers_of(process.pid());
        assert_eq!(brokers.len(), 1);
        process.kill();
        until(30, "the broker's end", || (!brokers[0].lives()).then_some(()));
    }
}

/// The same for close_range(2), which is younger: descriptors are closed one by one.
#[test]
fn holds_no_foreign_descriptor_where_the_kernel_cannot_close_a_range() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("denied.c", cpus);
    let (process, line) = denied(libc::SYS_close_range).errno(libc::ENOSYS).start(&program, false);
    assert_eq!((&*line, &*process.stderr()), ("3 of 3 in place", ""));
    let broker = brokers_of(process.pid())[0];
    assert!(broker.holds_only_its_own().unwrap_or(true), "{:?}", broker.descriptors());
}
