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
    Finished, LIBVIRT_SANDBOX, Process, Program, Scratch, TimeLimit, TwoCpus, Uid, available, brokers_of,
    command, have_as_run, hide_other_users, library, long, own_mounts_missing, root_missing, skip, two_cpus,
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

    /// `pinshim` as root.
    fn pinshim_of_root(&self) -> Program {
        let copy = |file: &Path| self.scratch.join(file.file_name().unwrap());
        Program::new(copy(command())).env("PINSHIM_LIB", copy(library()))
    }

    /// `pinshim` as this user.
    fn pinshim(&self) -> Program {
        self.pinshim_of_root().user(LEASER).env("XDG_RUNTIME_DIR", self.scratch.join("run"))
    }

    /// `pinshim run`.
    fn pinshim_run(&self, options: &[&str]) -> Program {
        let program = self.pinshim();
        let program = if self.can_be_alone { program.before_exec(hide_other_users) } else { program };
        program.arg("run").args(options).arg("--")
    }

    /// The same, and QEMU with one vCPU that never runs.
    fn run(&self, options: &[&str], qemu: &[&str]) -> Program {
        self.pinshim_run(options).args(QUIET).args(qemu)
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

/// A QEMU with one vCPU that never runs.
const QUIET: [&str; 9] =
    ["qemu-system-x86_64", "-display", "none", "-nodefaults", "-S", "-accel", "tcg", "-smp", "1"];

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
fn the_lease_is_qemus_and_neither_its_broker_nor_a_child_keeps_it() {
    let _limit = TimeLimit::seconds(60);
    let Some((user, cpus, _alone)) = given() else { return };
    let vcpu = cpus.second.to_string();
    // Inside a sandbox there is a broker.
    let vm = user.run(&["--vcpus", &vcpu, "--exclusive"], &["-sandbox", LIBVIRT_SANDBOX]).start();
    let (run, _) = those_that_run(vec![vm]);
    let pid = run[0].pid();
    let held = user.held(pid);
    assert_eq!(
        held.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(),
        [user.leases().join(format!("cpu{vcpu}"))]
    );
    assert!(held.iter().all(|(_, flags)| flags & libc::O_CLOEXEC as u32 != 0), "{held:?}");
    let brokers = brokers_of(pid);
    assert!(brokers.len() == 1 && user.held(brokers[0].pid).is_empty(), "{brokers:?}");
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
    let holder = format!("qemu-system-x86_64 (PID {daemon})");
    let by = format!("{holder} has leased {vcpu}; --wait SECONDS waits");
    assert!(refused.code() == 125 && refused.stderr.contains(&by), "{refused:?}");
    let shown = user.pinshim().args(["show", "--leases"]).run();
    assert_eq!(shown.assert_clean().stdout, format!("{holder} has {vcpu}\n"));
    let waiting = user.run(&["--vcpus", &vcpu, "--exclusive", "--wait", "60"], &[]).start();
    sleep(Duration::from_millis(500));
    assert!(user.held(waiting.pid()).is_empty() && waiting.ended().is_none());
    assert_eq!(waiting.stderr(), format!("pinshim: waiting up to 60 s: {holder} has leased {vcpu}\n"));
    let in_vain = user.run(&["--vcpus", &vcpu, "--exclusive", "--wait", "0.5"], &[]).run();
    let said = format!("not within 0.5 s: {holder} has leased {vcpu}\n");
    assert!(in_vain.code() == 125 && in_vain.stderr.ends_with(&said), "{in_vain:?}");
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
    let by = format!("sleep (PID {}) has leased ", holder.pid());
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

#[test]
fn a_vm_that_was_killed_just_now_does_not_keep_its_successor_from_starting() {
    let _limit = TimeLimit::seconds(if long() { 300 } else { 120 });
    let Some((user, cpus, _alone)) = given() else { return };
    // Memory that is there takes the kernel some time to take down.
    let memory = ["-m", "192", "-mem-prealloc"];
    let vcpu = cpus.second.to_string();
    let mut killed: Vec<Process> = Vec::new();
    for round in 0..if long() { 60 } else { 12 } {
        let options: &[&str] =
            if round % 2 == 0 { &["--vcpus", &vcpu, "--exclusive"] } else { &["--auto", "--exclusive"] };
        let (mut run, ended) = those_that_run(vec![user.run(options, &memory).start()]);
        let Some(vm) = run.pop() else { panic!("round {round}: {ended:?}") };
        vm.signal(libc::SIGKILL);
        // Not waited for, as by a supervisor that starts the next one at once.
        killed.push(vm);
    }
}

#[test]
fn what_no_wait_can_help_is_said_at_once() {
    let _limit = TimeLimit::seconds(60);
    let Some((user, cpus, _alone)) = given() else { return };
    let all = format!("*@[all,^{}]", cpus.first);
    let holder = user.pinshim_run(&["--vcpus", &all, "--exclusive"]).args(["sleep", "60"]).start();
    while user.held(holder.pid()).is_empty() {
        sleep(Duration::from_millis(10));
    }
    let refused = user.run(&["--auto", "--exclusive", "--wait", "10000"], &["-smp", "4000"]).run();
    let says = "even without other VMs: no room for 4000 vCPUs";
    assert!(refused.code() == 125 && refused.stderr.contains(says), "{refused:?}");
    let first = cpus.first.to_string();
    for (options, says) in [
        (&["--wait", "1", "--cpus", &first][..], "--wait waits for CPUs that other VMs have"),
        (&["--auto", "--emulator", &first], "--auto chooses what --emulator says; leave one of them out"),
        (&["--auto", "--threads-per-core", "1"], "--threads-per-core is an option of `pinshim plan`"),
    ] {
        let refused = user.run(options, &[]).run();
        assert!(refused.code() == 125 && refused.stderr.contains(says), "{refused:?}");
        assert!(!refused.stderr.contains("similar argument"), "{refused:?}");
    }
}

#[test]
fn a_vm_that_asks_for_no_lease_is_told_whose_cpus_it_shares() {
    let _limit = TimeLimit::seconds(60);
    let Some((user, cpus, _alone)) = given() else { return };
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let web = user.run(&["--vcpus", &second, "--exclusive"], &["-name", "web"]).start();
    let other = user.run(&["--cpus", &first], &["-name", "other"]).start();
    let (run, ended) = those_that_run(vec![web, other]);
    assert!(ended.is_empty(), "{ended:?}");
    let [web, other] = [0, 1].map(|index| format!("(PID {})", run[index].pid()));
    let warning = format!("warning: CPU {second} is leased by web {web}\n");
    for options in [&["--vcpus", &second][..], &["--vcpus", &second, "--exclusive", "--dry-run"]] {
        let told = user.pinshim_run(options).args(["env"]).run();
        assert!(told.code() == 0 && told.stderr.contains(&warning), "{told:?}");
    }
    let not_told = user.pinshim_run(&["--vcpus", &first]).args(["env"]).run();
    assert!(not_told.code() == 0 && !not_told.stderr.contains("leased"), "{not_told:?}");

    // By name, and for programs.
    let shown = |options: &[&str]| user.pinshim().args(["show", "--leases"]).args(options).run();
    assert_eq!(shown(&["web"]).assert_clean().stdout, format!("web {web} has {second}\n"));
    assert_eq!(shown(&["other"]).assert_clean().stdout, format!("other {other} has leased no CPU\n"));
    let none = shown(&["nobody-is-called-so"]);
    assert!(none.code() == 2 && none.stderr.contains("no QEMU is called"), "{none:?}");
    let json = shown(&["--json", "web"]);
    let expected = format!(
        "{{\"version\":1,\"leases\":[{{\"cpus\":\"{second}\",\"user\":{},\"pid\":{},\"name\":\"web\"}}]}}\n",
        LEASER.0,
        run[0].pid()
    );
    assert_eq!(json.assert_clean().stdout, expected);
}

#[test]
fn roots_leases_bind_every_user_and_no_users_bind_root() {
    let _limit = TimeLimit::seconds(90);
    let Some((user, cpus, _alone)) = given() else { return };
    if let Some(why) = own_mounts_missing() {
        return skip(why);
    }
    let host = user.scratch.join("host");
    fs::create_dir(&host).unwrap();
    fs::set_permissions(&host, fs::Permissions::from_mode(0o755)).unwrap();
    let as_root = || user.pinshim_of_root().before_exec(have_as_run(&host));
    let as_user = || user.pinshim().before_exec(have_as_run(&host));
    let vcpu = cpus.second.to_string();
    let options = ["run", "--vcpus", &vcpu, "--exclusive", "--"];
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o7777;
    // As an earlier pinshim made it.
    fs::create_dir_all(host.join("pinshim/leases")).unwrap();
    for folder in ["pinshim", "pinshim/leases"] {
        fs::set_permissions(host.join(folder), fs::Permissions::from_mode(0o700)).unwrap();
    }

    let users = as_user().args(options).args(QUIET).args(["-name", "users"]).start();
    let (users, ended) = those_that_run(vec![users]);
    assert_eq!(users.len(), 1, "{ended:?}");
    let roots = as_root().args(options).args(QUIET).args(["-name", "web"]).start();
    let (roots, ended) = those_that_run(vec![roots]);
    assert_eq!(roots.len(), 1, "{ended:?}");
    assert_eq!([mode(host.join("pinshim")), mode(host.join("pinshim/leases"))], [0o755, 0o755]);
    let files = fs::read_dir(host.join("pinshim/leases")).unwrap().flatten();
    assert_eq!(files.map(|file| mode(file.path())).collect::<BTreeSet<_>>(), [0o600].into());
    let of_users = format!("users (PID {}) has {vcpu}\n", users[0].pid());
    let holder = format!("web (PID {}, user root)", roots[0].pid());
    let shown = as_user().args(["show", "--leases"]).run();
    assert!(shown.stdout.contains(&of_users), "{shown:?}");
    assert!(shown.stdout.contains(&format!("{holder} has {vcpu}\n")), "{shown:?}");
    drop(users);

    // What is root's is nobody's to choose, to lease, or to lock.
    let refused = as_user().args(options).args(QUIET).run();
    let says = format!("{holder} has leased {vcpu}");
    assert!(refused.code() == 125 && refused.stderr.contains(&says), "{refused:?}");
    let told = as_user().args(["run", "--vcpus", &vcpu, "--", "env"]).run();
    let warning = format!("warning: CPU {vcpu} is leased by {holder}\n");
    assert!(told.code() == 0 && told.stderr.contains(&warning), "{told:?}");
    let all = format!("*@[all,^{}]", cpus.first);
    let others = as_root().args(["run", "--vcpus", &all, "--exclusive", "--wait", "20", "--", "sleep", "60"]);
    drop(roots);
    let others = others.start();
    let leased = || {
        let shown = as_user().args(["show", "--leases", "--json"]).run();
        shown.stdout.contains("\"user\":0,\"pid\":null,\"name\":null")
    };
    while !leased() {
        assert!(others.ended().is_none(), "{others:?}");
        sleep(Duration::from_millis(20));
    }
    for words in [&["plan", "--vcpus", "1"][..], &["run", "--auto", "--", QUIET[0], "-smp", "1"]] {
        let refused = as_user().args(words).run();
        assert!(!refused.status.success() && refused.stderr.contains("root has leased "), "{refused:?}");
    }
    let lock = Program::new("flock").user(LEASER).before_exec(have_as_run(&host));
    let lock = lock.args(["--nonblock", &format!("/run/pinshim/leases/cpu{vcpu}"), "true"]).run();
    assert!(lock.stderr.contains("Permission denied"), "{lock:?}");
}
