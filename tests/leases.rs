//! `pinshim run --auto` and `--exclusive`: CPUs are chosen, nobody gets one twice, and the kernel gives them back.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use harness::{
    Finished, Process, Program, Scratch, TimeLimit, TwoCpus, Uid, available, command, hide_other_users,
    library, long, own_mounts_missing, root_missing, skip, two_cpus,
};

/// A user of whom nobody else has a process. An ordinary one, as leases need no rights.
const LEASER: Uid = Uid(64_999);

/// That user, with a folder for what runs.
struct User {
    scratch: Scratch,
    /// Whether VMs of other users can be hidden from it: `--auto` leaves those their CPUs.
    can_be_alone: bool,
}

impl User {
    fn new() -> Self {
        let scratch = Scratch::new();
        // The build's folder may be root's alone.
        for file in [command(), library()] {
            scratch.copy(file);
        }
        fs::create_dir(scratch.join("run")).unwrap();
        chown(scratch.join("run"), Some(LEASER.0), Some(LEASER.0)).unwrap();
        Self { scratch, can_be_alone: own_mounts_missing().is_none() }
    }

    /// `pinshim run`.
    fn pinshim_run(&self, options: &[&str]) -> Program {
        let copy = |file: &Path| self.scratch.join(file.file_name().unwrap());
        let program = Program::new(copy(command()))
            .user(LEASER)
            .env("PINSHIM_LIB", copy(library()))
            .env("XDG_RUNTIME_DIR", self.scratch.join("run"));
        let program = if self.can_be_alone { program.before_exec(hide_other_users) } else { program };
        program.arg("run").args(options).arg("--")
    }

    /// The same, and QEMU with one vCPU that never runs.
    fn run(&self, options: &[&str], qemu: &[&str]) -> Program {
        let quiet = ["-display", "none", "-nodefaults", "-S", "-accel", "tcg", "-smp", "1"];
        self.pinshim_run(options).arg("qemu-system-x86_64").args(quiet).args(qemu)
    }

    fn leases(&self) -> PathBuf {
        self.scratch.join("run/pinshim/leases")
    }

    /// The descriptors of a process that are leases, with their flags.
    fn held(&self, pid: u32) -> Vec<(PathBuf, u32)> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| Some((entry.file_name(), fs::read_link(entry.path()).ok()?)));
        links
            .filter(|(_, path)| path.starts_with(self.leases()) && !path.ends_with("lock"))
            .map(|(number, path)| {
                let info = format!("/proc/{pid}/fdinfo/{}", number.to_str().unwrap());
                let info = fs::read_to_string(info).unwrap_or_default();
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap_or("0");
                (path, u32::from_str_radix(flags, 8).unwrap())
            })
            .collect()
    }
}

/// Two CPUs and a user, for one test at a time: `--auto` chooses among what other VMs leave.
fn given() -> Option<(User, TwoCpus, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    if let Some(why) = root_missing() {
        skip(why);
        return None;
    }
    let cpus = two_cpus()?;
    Some((User::new(), cpus, ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// The processes that have become QEMUs with all their threads, once the others have ended.
fn those_that_run(started: Vec<Process>) -> (Vec<Process>, Vec<Finished>) {
    let has_vcpu = |process: &Process| {
        let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).into_iter().flatten().flatten();
        tasks.count() >= 3
    };
    loop {
        if started.iter().all(|process| process.ended().is_some() || has_vcpu(process)) {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    let (ended, run): (Vec<_>, Vec<_>) = started.into_iter().partition(|process| process.ended().is_some());
    (run, ended.into_iter().map(Process::wait).collect())
}

#[test]
fn of_eight_at_once_those_that_fit_start_and_no_cpu_is_given_twice() {
    let _limit = TimeLimit::seconds(if long() { 600 } else { 120 });
    let Some((user, cpus, _alone)) = given() else { return };
    let has_more = available() != cpus.both();
    for round in 0..if long() { 50 } else { 4 } {
        let options: &[&str] =
            if round % 2 == 0 { &["--auto", "--exclusive"] } else { &["--vcpus", "1", "--exclusive"] };
        let started: Vec<Process> = (0..8).map(|_| user.run(options, &[]).start()).collect();
        let (run, ended) = those_that_run(started);
        // One CPU is the emulator's. With more than two it depends on the host how many VMs there is room for.
        let are_as_many = run.len() == 1 || (round % 2 == 0 && has_more && !run.is_empty());
        assert!(are_as_many, "round {round}: {} run, {ended:?}", run.len());
        let leased = run.iter().flat_map(|process| user.held(process.pid())).map(|(path, _)| path);
        let leased: Vec<PathBuf> = leased.collect();
        let once: BTreeSet<&PathBuf> = leased.iter().collect();
        assert!(leased.len() >= run.len() && once.len() == leased.len(), "round {round}: {leased:?}");
        for finished in &ended {
            let says = if round % 2 == 0 { "no room for 1 vCPU" } else { "has leased 1" };
            assert!(finished.code() == 125 && finished.stderr.contains(says), "round {round}: {finished:?}");
        }
        // SIGKILL: nothing of ours can clean up.
        for process in &run {
            process.kill();
        }
    }
}

#[test]
fn the_lease_is_qemus_and_no_child_of_it_keeps_it() {
    let _limit = TimeLimit::seconds(60);
    let Some((user, cpus, _alone)) = given() else { return };
    let vcpu = cpus.second.to_string();
    let vm = user.run(&["--vcpus", &vcpu, "--exclusive"], &[]).start();
    let (run, _) = those_that_run(vec![vm]);
    let pid = run[0].pid();
    let held = user.held(pid);
    assert_eq!(
        held.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(),
        [user.leases().join(format!("cpu{vcpu}"))]
    );
    assert!(held.iter().all(|(_, flags)| flags & libc::O_CLOEXEC as u32 != 0), "{held:?}");
    let modes: BTreeSet<u32> = [user.leases(), held[0].0.clone()]
        .map(|path| path.metadata().unwrap().permissions().mode() & 0o7777)
        .into();
    assert_eq!(modes, [0o600, 0o700].into());
}

#[test]
fn a_daemon_keeps_its_lease_and_the_next_one_waits_for_it() {
    let _limit = TimeLimit::seconds(90);
    let Some((user, cpus, _alone)) = given() else { return };
    let pid_file = user.scratch.join("run/pid");
    let vcpu = cpus.second.to_string();
    let options = ["--vcpus", &vcpu, "--exclusive"];
    user.run(&options, &["-daemonize", "-pidfile", pid_file.to_str().unwrap()]).run().assert_clean();
    let daemon: i32 = fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    let refused = user.run(&options, &[]).run();
    let by = format!("process {daemon} has leased {vcpu}");
    assert!(refused.code() == 125 && refused.stderr.contains(&by), "{refused:?}");
    let shown = Program::new(user.scratch.join("pinshim"))
        .user(LEASER)
        .env("XDG_RUNTIME_DIR", user.scratch.join("run"));
    let shown = shown.args(["show", "--leases"]).run();
    assert_eq!(shown.assert_clean().stdout, format!("{vcpu} by process {daemon}\n"));
    let waiting = user.run(&["--vcpus", &vcpu, "--exclusive", "--wait", "60"], &[]).start();
    sleep(Duration::from_millis(500));
    assert!(user.held(waiting.pid()).is_empty() && waiting.ended().is_none());
    // SAFETY: takes no pointer; this test has started the daemon.
    assert_eq!(unsafe { libc::kill(daemon, libc::SIGKILL) }, 0);
    let (run, ended) = those_that_run(vec![waiting]);
    assert_eq!(run.len(), 1, "{ended:?}");
    assert_eq!(user.held(run[0].pid()).len(), 1);
}

#[test]
fn a_vm_that_leases_nothing_is_not_put_on_cpus_that_another_has_leased() {
    let _limit = TimeLimit::seconds(60);
    let Some((user, cpus, _alone)) = given() else { return };
    // It is no VM, so that only its leases say what it has.
    let all_but_one = format!("*@[all,^{}]", cpus.first);
    let holder = user.pinshim_run(&["--vcpus", &all_but_one, "--exclusive"]).args(["sleep", "60"]).start();
    while user.held(holder.pid()).is_empty() {
        sleep(Duration::from_millis(10));
    }
    let by = format!("a lease of PID {} has ", holder.pid());
    for options in [&["--auto"][..], &["--auto", "--exclusive"], &["--auto", "--dry-run"]] {
        let refused = user.run(options, &[]).run();
        assert!(refused.code() == 125 && refused.stderr.contains(&by), "{options:?}: {refused:?}");
    }
}

#[test]
fn a_folder_that_others_may_use_guards_nothing_and_is_refused() {
    let _limit = TimeLimit::seconds(60);
    let Some((user, _, _alone)) = given() else { return };
    let refused = |user: &User, says: &str| {
        let finished = user.run(&["--vcpus", "0", "--exclusive"], &[]).run();
        assert!(finished.code() == 125 && finished.stderr.contains(says), "{says}: {finished:?}");
    };
    fs::create_dir_all(user.leases()).unwrap();
    fs::set_permissions(user.scratch.join("run/pinshim"), fs::Permissions::from_mode(0o755)).unwrap();
    refused(&user, "it belongs to user 0");
    chown(user.leases(), Some(LEASER.0), None).unwrap();
    fs::set_permissions(user.leases(), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&user, "its mode must be 0700");
    let user = User::new();
    fs::create_dir(user.scratch.join("run/pinshim")).unwrap();
    std::os::unix::fs::symlink("/tmp", user.leases()).unwrap();
    refused(&user, "it is no folder");
}
