//! `pinshim show`, `check` and `apply` on real guests: what is in place passes, what was moved is named and put
//! back, and what cannot be done is said.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{
    Accel, ChildCpuset, Finished, LIBVIRT_SANDBOX, NOBODY, Process, Program, Scratch, TimeLimit, TwoCpus, Vm,
    VmBuilder, always_named, command, cpus_of_thread, kvm_and_tcg, library, long, or_skip,
    own_mounts_missing, pinshim, pipe_without_reader, root_missing, run_as, skip, threads, two_cpus,
};
use serde_json::{Value, json};

/// A VM with a monitor for the command to ask.
struct Guest {
    vm: Vm,
    pid: String,
    cpus: TwoCpus,
    socket: PathBuf,
    _scratch: Scratch,
}

impl Guest {
    /// `None` where the test is skipped.
    fn start(vm: VmBuilder, cpus: TwoCpus) -> Option<Self> {
        let scratch = Scratch::new();
        let socket = scratch.join("qmp2");
        let monitor = format!("unix:{},server=on,wait=off", socket.display());
        let vm = vm.args(&["-qmp", &monitor]).start()?;
        vm.wait_visits(1);
        let pid = vm.pid().to_string();
        Some(Self { vm, pid, cpus, socket, _scratch: scratch })
    }

    /// vCPU 0 and the IOThread on the second CPU, all else on the first.
    fn pinned(accel: Accel, shape: impl FnOnce(VmBuilder) -> VmBuilder) -> Option<Self> {
        let cpus = two_cpus()?;
        let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
        let vm = VmBuilder::usual(accel)
            .env("PIN_VCPUS", &format!("{second},{first}"))
            .env("PIN_IOTHREADS", &format!("io1@{second}"))
            .env("PIN_EMULATOR", &first);
        Self::start(shape(vm), cpus)
    }

    fn check(&self, arguments: &[&str]) -> Finished {
        pinshim(&[&["check", &self.pid], arguments].concat())
    }

    fn apply(&self, arguments: &[&str]) -> Finished {
        pinshim(&[&["apply", &self.pid], arguments].concat())
    }

    /// What `show --json` says of it.
    fn shown(&self) -> Value {
        let shown = pinshim(&["show", "--json", &self.pid]);
        let mut shown: Value = serde_json::from_str(&shown.assert_clean().stdout).unwrap();
        assert_eq!(shown["version"], 1);
        shown["vms"][0].take()
    }

    /// The same of the halted guest, whose requests create no workers any more, once those that it has are in place.
    fn shown_at_rest(&mut self) -> Value {
        self.vm.qmp.execute("stop", json!({}));
        harness::until(30, "no thread that is being born or ends", || {
            let shown = self.shown();
            let threads = shown["threads"].as_array().unwrap();
            let goes_on = |thread: &Value| thread["verdict"] == "newborn" || thread["verdict"] == "ending";
            (!threads.iter().any(goes_on)).then_some(shown)
        })
    }

    fn vcpu(&mut self, index: usize) -> u32 {
        self.vm.qmp.vcpu_tids().into_iter().find(|(of, _)| *of == index).unwrap().1
    }

    fn cpus_of_thread(&self, tid: u32) -> Vec<usize> {
        cpus_of_thread(self.vm.pid(), tid).unwrap()
    }

    fn socket(&self) -> &str {
        self.socket.to_str().unwrap()
    }
}

/// Moves a thread as an administrator would.
fn taskset(tid: u32, cpus: &str) {
    let moved = Program::new("taskset").args(["-pc", cpus, &tid.to_string()]).run();
    assert_eq!(moved.code(), 0, "{moved:?}");
}

#[track_caller]
fn passes(finished: &Finished) {
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (0, "", ""));
}

fn a_thread_that_was_moved_is_named_and_put_back(accel: Accel, sandbox: Option<&str>) {
    command();
    let _limit = TimeLimit::seconds(200);
    let shape = |vm: VmBuilder| match sandbox {
        Some(sandbox) => vm.sandbox(sandbox),
        None => vm,
    };
    let Some(mut guest) = Guest::pinned(accel, shape) else { return };
    guest.vm.burst();
    passes(&guest.check(&["--qmp", guest.socket.to_str().unwrap()]));
    passes(&guest.check(&["--for", "1"]));

    let (vcpu, main) = (guest.vcpu(0), guest.vm.pid());
    let both = format!("{},{}", guest.cpus.first, guest.cpus.second);
    taskset(vcpu, &guest.cpus.first.to_string());
    taskset(main, &both);
    let found = guest.check(&[]);
    assert_eq!((found.code(), found.stderr.as_str()), (1, ""), "{found:?}");
    let line =
        |tid: u32| found.stdout.lines().find(|l| l.trim_start().starts_with(&format!("{tid} "))).unwrap();
    assert!(line(vcpu).contains(&format!(
        "(vcpu 0) belongs on {}: OFF: may run on {}",
        guest.cpus.second, guest.cpus.first
    )));
    assert!(line(main).contains(&format!("OFF: may also run on {}", guest.cpus.second)), "{found:?}");
    assert_eq!(found.stdout.lines().count(), 3, "no other thread is named: {found:?}");
    let shown = pinshim(&["show", &guest.pid]);
    assert!(shown.assert_clean().stdout.contains("NOT where they belong"), "{shown:?}");

    let wished = guest.apply(&["--dry-run"]);
    assert!(wished.assert_clean().stdout.contains("would move"), "{wished:?}");
    assert_eq!(guest.cpus_of_thread(vcpu), [guest.cpus.first], "only said");

    let applied = guest.apply(&[]);
    assert!(applied.assert_clean().stdout.contains(&format!("moved {vcpu} ")), "{applied:?}");
    assert_eq!(guest.cpus_of_thread(vcpu), [guest.cpus.second]);
    assert_eq!(guest.cpus_of_thread(main), [guest.cpus.first]);
    passes(&guest.check(&["--for", "0.5"]));
    guest.vm.quit();
}

kvm_and_tcg!(in_a_kvm_guest, in_a_tcg_guest, |accel| a_thread_that_was_moved_is_named_and_put_back(
    accel, None
));

kvm_and_tcg!(in_a_sandboxed_kvm_guest, in_a_sandboxed_tcg_guest, |accel| {
    a_thread_that_was_moved_is_named_and_put_back(accel, Some(LIBVIRT_SANDBOX))
});

/// What is shown is what the kernel and QEMU say.
#[test]
fn every_thread_is_shown_as_it_is() {
    command();
    let _limit = TimeLimit::seconds(100);
    // Other tests may have VMs at the same time.
    let name = format!("shown-{}", std::process::id());
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm.name(&name).debug_threads(false)) else { return };
    guest.vm.burst();
    let shown = guest.shown_at_rest();
    assert_eq!((&shown["pinned"], &shown["name"]), (&Value::Bool(true), &Value::from(&*name)));
    let threads = shown["threads"].as_array().unwrap();
    for thread in threads {
        // A worker may have ended since.
        let status = format!("/proc/{}/task/{}/status", guest.pid, thread["tid"]);
        let Ok(status) = fs::read_to_string(status) else { continue };
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).unwrap();
        assert_eq!(thread["allowed"], allowed);
        assert_eq!(
            (&thread["expected"], &thread["verdict"]),
            (&thread["allowed"], &Value::from("ok")),
            "{thread}"
        );
    }
    let with_role = |role: &str| threads.iter().filter(|thread| thread["role"] == role).count();
    assert_eq!((with_role("vcpu"), with_role("iothread")), (2, 1));
    assert!(with_role("worker") >= 2 && with_role("emulator") >= 2, "{shown}");
    for (index, tid) in guest.vm.qmp.vcpu_tids() {
        let thread = threads.iter().find(|thread| thread["tid"] == tid).unwrap();
        assert_eq!(thread["vcpu"], index);
    }
    // By its name, and among all.
    let main = format!("{}  emulator", guest.pid);
    let by_name = pinshim(&["show", &name]);
    let mut lines = by_name.assert_clean().stdout.lines();
    assert!(lines.any(|line| line.trim_start().starts_with(&main)), "{by_name:?}");
    assert!(pinshim(&["show"]).assert_clean().stdout.contains(&format!("(PID {})", guest.pid)));
}

#[test]
fn a_name_that_two_vms_have_is_refused_with_the_pids_of_both() {
    command();
    let _limit = TimeLimit::seconds(100);
    let name = format!("twice-{}", std::process::id());
    let vm = || VmBuilder::new(Accel::Tcg).name(&name).paused().env("PIN_CPUS", "all").start();
    let (Some(one), Some(other)) = (vm(), vm()) else { return };
    let mut pids = [one.pid(), other.pid()];
    pids.sort_unstable();
    let said =
        format!("pinshim: 2 QEMUs are called {name:?}; name one by its PID: {}, {}\n", pids[0], pids[1]);
    for subcommand in ["show", "check", "record", "apply", "doctor"] {
        let refused = pinshim(&[subcommand, &name]);
        assert_eq!((refused.code(), &*refused.stdout, &*refused.stderr), (2, "", &*said));
    }
}

#[test]
fn qemus_own_answer_is_compared() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let Some(other) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    passes(&guest.check(&["--qmp", guest.socket()]));
    // Another VM's monitor tells of other threads.
    let differs = guest.check(&["--qmp", other.socket()]);
    assert_eq!(differs.code(), 1);
    assert!(
        differs.stdout.contains("QEMU says that thread") && differs.stdout.contains("is vCPU 0"),
        "{differs:?}"
    );
    let unasked = guest.check(&["--qmp", "/nonexistent/qmp"]);
    assert_eq!(unasked.code(), 2);
    assert!(unasked.stderr.contains("QEMU could not be asked over /nonexistent/qmp"), "{unasked:?}");
}

#[test]
fn a_check_in_json_has_the_offenders() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let document = |finished: &Finished| serde_json::from_str::<Value>(&finished.stdout).unwrap();
    let fine = guest.check(&["--json"]);
    assert_eq!((fine.code(), &document(&fine)["ok"]), (0, &Value::Bool(true)));
    let vcpu = guest.vcpu(1);
    taskset(vcpu, &guest.cpus.second.to_string());
    let found = guest.check(&["--json", "--for", "0.3"]);
    let said = document(&found);
    assert_eq!((found.code(), &said["ok"], &said["version"]), (1, &Value::Bool(false), &Value::from(1)));
    assert!(said["looks"].as_u64().unwrap() >= 2);
    let offenders = said["offenders"].as_array().unwrap();
    assert_eq!(offenders.len(), 1, "{said}");
    assert_eq!((&offenders[0]["tid"], &offenders[0]["vcpu"]), (&Value::from(vcpu), &Value::from(1)));
    assert_eq!(offenders[0]["verdict"], "off");
}

/// How often a process has waited for something.
fn voluntary_switches(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    // A zombie has none.
    count.map_or(0, |count| count.trim().parse().unwrap())
}

/// A thread that is off its set for a moment is found by a check that watches.
#[test]
fn a_watch_sees_what_a_moment_hides() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let vcpu = guest.vcpu(0);
    let watching = Program::new(command()).args(["check", &guest.pid, "--for", "5"]).start();
    // It sleeps after each look.
    let looks = || voluntary_switches(watching.pid());
    let some_more = |than: u64| harness::until(20, "some looks", || (looks() >= than + 5).then_some(()));
    some_more(0);
    taskset(vcpu, &guest.cpus.first.to_string());
    some_more(looks());
    taskset(vcpu, &guest.cpus.second.to_string());
    let found = watching.wait();
    assert_eq!(found.code(), 1, "{found:?}");
    assert!(found.stdout.contains(&format!("  {vcpu} ")), "{found:?}");
    passes(&guest.check(&[]));
}

/// Hundreds of workers come and go while it is watched: none is reported as it starts or ends.
fn a_busy_guest_is_never_accused(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(240);
    let Some(mut guest) = Guest::pinned(accel, |vm| vm.sandbox(LIBVIRT_SANDBOX)) else { return };
    let rounds = if long() { 30 } else { 4 };
    let seconds = (rounds * 2).to_string();
    let watching = Program::new(command()).args(["check", &guest.pid, "--json", "--for", &seconds]).start();
    for _ in 0..rounds {
        guest.vm.burst();
    }
    let found = watching.wait();
    assert_eq!(found.code(), 0, "{found:?}");
    let said: Value = serde_json::from_str(&found.stdout).unwrap();
    assert!(said["threads"].as_u64().unwrap() >= 15, "{said}");
}

kvm_and_tcg!(
    a_busy_kvm_guest_is_never_accused,
    a_busy_tcg_guest_is_never_accused,
    a_busy_guest_is_never_accused
);

/// One thread for all vCPUs may run where any of them belongs.
#[test]
fn one_thread_for_all_vcpus_is_no_difference() {
    command();
    let _limit = TimeLimit::seconds(100);
    // Counting instructions needs a single thread.
    let Some(guest) = Guest::pinned(Accel::Tcg, |vm| vm.args(&["-icount", "auto"])) else { return };
    passes(&guest.check(&["--qmp", guest.socket()]));
    let shown = guest.shown();
    let threads = shown["threads"].as_array().unwrap();
    let vcpus: Vec<&Value> = threads.iter().filter(|thread| thread["role"] == "vcpu").collect();
    assert_eq!((vcpus.len(), &vcpus[0]["vcpu"], &vcpus[0]["verdict"]), (1, &Value::Null, &Value::from("ok")));
    assert_eq!(vcpus[0]["expected"], vcpus[0]["allowed"]);
}

/// In a container QEMU sees other ids than those that are shown outside of it.
#[test]
fn a_guest_in_a_pid_namespace_is_seen_from_outside() {
    command();
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = own_mounts_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let Some(binary) = or_skip(harness::qemu()) else { return };
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let name = format!("boxed-{}", std::process::id());
    let starter = Program::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(command())
        .args(["run", "--vcpus", &format!("*@{second}"), "--emulator", &first, "--"])
        .env("PINSHIM_LIB", library())
        .arg(binary)
        .args(["-accel", "tcg", "-machine", "pc", "-smp", "2", "-m", "64", "-display", "none", "-nodefaults"])
        .args(["-no-user-config", "-name", &name])
        .start();
    let shown = harness::until(30, "a pinned VM with two vCPUs", || {
        assert!(starter.ended().is_none(), "{}", starter.stderr());
        let shown = pinshim(&["show", "--json", &name]);
        let shown: Value = serde_json::from_str(&shown.stdout).ok()?;
        let threads = shown["vms"][0]["threads"].as_array()?;
        (threads.iter().filter(|thread| thread["role"] == "vcpu").count() == 2).then_some(shown)
    });
    passes(&pinshim(&["check", &name]));
    let threads = shown["vms"][0]["threads"].as_array().unwrap();
    let vcpu = threads.iter().find(|thread| thread["vcpu"] == 0).unwrap()["tid"].as_u64().unwrap() as u32;
    taskset(vcpu, &first);
    assert_eq!(pinshim(&["check", &name]).code(), 1);
    pinshim(&["apply", &name]).assert_clean();
    passes(&pinshim(&["check", &name]));
}

/// After `-run-with user=` QEMU's own files in /proc belong to root: root can check and apply, its user is told why not.
#[test]
fn a_qemu_that_has_changed_its_user_is_roots_to_see() {
    command();
    let _limit = TimeLimit::seconds(150);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm.args(&run_as("nobody"))) else { return };
    // It is another user's now, and root is told so.
    let vouched = |checked: Finished| {
        assert_eq!((checked.code(), checked.stdout.as_str()), (0, ""), "{checked:?}");
        assert!(checked.stderr.contains("user nobody"), "{checked:?}");
    };
    vouched(guest.check(&[]));
    let vcpu = guest.vcpu(0);
    taskset(vcpu, &guest.cpus.first.to_string());
    assert_eq!(guest.check(&[]).code(), 1);
    assert_eq!(guest.apply(&[]).code(), 2);
    guest.apply(&["--trust-vm"]).assert_clean();
    vouched(guest.check(&[]));
    let scratch = Scratch::new();
    let copy = scratch.copy(command());
    let shown = Program::new(&copy).args(["show", &guest.pid]).user(NOBODY).run();
    assert!(shown.stdout.contains("it has changed its user"), "{shown:?}");
}

/// `apply --watch` puts a thread back each time, reports each time once, and ends with QEMU.
#[test]
fn apply_keeps_at_it() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let vcpu = guest.vcpu(0);
    let keeper = Program::new(command()).args(["apply", &guest.pid, "--watch", "0.2"]).start();
    harness::until(20, "the first round", || keeper.stdout().contains("threads").then_some(()));
    for _ in 0..2 {
        taskset(vcpu, &guest.cpus.first.to_string());
        harness::until(20, "the thread's return", || {
            (guest.cpus_of_thread(vcpu) == [guest.cpus.second]).then_some(())
        });
    }
    guest.vm.quit();
    let ended = keeper.wait();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let moved = ended.stdout.lines().filter(|line| line.starts_with(&format!("moved {vcpu} "))).count();
    assert_eq!(moved, 2, "{ended:?}");
    assert!(ended.stderr.contains("has ended"), "{ended:?}");
}

fn unpinned(accel: Accel, shape: impl FnOnce(VmBuilder) -> VmBuilder) -> Option<Guest> {
    let cpus = two_cpus()?;
    Guest::start(shape(VmBuilder::usual(accel).without_library()), cpus)
}

/// Each vCPU and IOThread, as QEMU names them over the test's own monitor, is where the placement below has it.
#[track_caller]
fn assert_placed(guest: &mut Guest) {
    let (first, second) = (guest.cpus.first, guest.cpus.second);
    for (index, tid) in guest.vm.qmp.vcpu_tids() {
        assert_eq!(guest.cpus_of_thread(tid), [if index == 0 { second } else { first }], "vCPU {index}");
    }
    for (id, tid) in guest.vm.qmp.iothread_tids() {
        assert_eq!(guest.cpus_of_thread(tid), [second], "IOThread {id}");
    }
    assert_eq!(guest.cpus_of_thread(guest.vm.pid()), [first], "main");
}

fn placement(guest: &Guest) -> Vec<String> {
    let (first, second) = (guest.cpus.first, guest.cpus.second);
    let words =
        ["--vcpus", &format!("{second},{first}"), "--iothreads", &format!("io1@{second}"), "--emulator"];
    words.iter().map(|word| (*word).to_owned()).chain([first.to_string()]).collect()
}

fn a_qemu_without_the_library_is_placed_by_its_threads_names(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = unpinned(accel, |vm| vm.debug_threads(true)) else { return };
    let checked = guest.check(&[]);
    assert_eq!(checked.code(), 3);
    assert!(checked.stdout.contains("it was started without the library"), "{checked:?}");
    assert_eq!(guest.apply(&[]).code(), 3);
    let shown = guest.shown();
    assert_eq!(shown["pinned"], false);
    assert!(shown["threads"].as_array().unwrap().iter().any(|thread| thread["vcpu"] == 1), "{shown}");

    let words = placement(&guest);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let applied = guest.apply(&words);
    assert_eq!((applied.code(), applied.stderr.as_str()), (0, ""), "{applied:?}");
    assert_placed(&mut guest);
}

kvm_and_tcg!(
    a_kvm_guest_without_the_library,
    a_tcg_guest_without_the_library,
    a_qemu_without_the_library_is_placed_by_its_threads_names
);

/// Without names the threads cannot be told apart: the command says so, and with `--qmp` asks QEMU.
#[test]
fn threads_without_names_are_told_apart_by_qemu() {
    command();
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = always_named() {
        return skip(why);
    }
    let Some(mut guest) = unpinned(Accel::Tcg, |vm| vm.debug_threads(false)) else { return };
    let words = placement(&guest);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let wished = guest.apply(&[&words[..], &["--dry-run"]].concat());
    // The IOThread that the placement names is not to be found, and that counts.
    assert_eq!((wished.code(), wished.stderr.as_str()), (1, ""), "{wished:?}");
    for says in
        ["--qmp SOCKET tells vCPUs and IOThreads", "places io1, and no thread's name tells which one that is"]
    {
        assert!(wished.stdout.contains(says), "{says}: {wished:?}");
    }

    let socket = guest.socket().to_owned();
    let applied = guest.apply(&[&words[..], &["--qmp", &socket]].concat());
    assert_eq!((applied.code(), applied.stderr.as_str()), (0, ""), "{applied:?}");
    assert_placed(&mut guest);
}

/// A policy on the command line is used once, and not remembered.
#[test]
fn another_policy_than_its_own_is_applied_and_not_remembered() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    guest.vm.burst();
    // A worker that is created later is placed by QEMU's own policy.
    guest.shown_at_rest();
    let second = guest.cpus.second.to_string();
    let applied = guest.apply(&["--cpus", &second]);
    assert_eq!((applied.code(), applied.stderr.as_str()), (0, ""), "{applied:?}");
    for (tid, name) in threads(guest.vm.pid()) {
        // A worker may have ended since.
        let Some(on) = cpus_of_thread(guest.vm.pid(), tid) else { continue };
        assert_eq!(on, [guest.cpus.second], "{name}");
    }
    let shown = pinshim(&["show", &guest.pid]);
    assert!(shown.assert_clean().stdout.contains("is not remembered"), "{shown:?}");
    assert_eq!(guest.apply(&[]).code(), 0);
    passes(&guest.check(&[]));
}

#[test]
fn bad_placements_are_reported_as_everywhere() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(guest) = unpinned(Accel::Tcg, |vm| vm) else { return };
    let refused = guest.apply(&["--cpus", "9999", "--vcpus", "x"]);
    assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{refused:?}");
    assert!(
        refused.stderr.contains("pinshim: PIN_CPUS=9999: CPU 9999 is not available here ("),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("pinshim: PIN_VCPUS=x: "), "{refused:?}");
}

#[test]
fn a_cpuset_in_the_way_is_named() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.first])) else { return };
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let vcpu = guest.vcpu(0);
    if let Err(why) = cpuset.take_thread(vcpu) {
        return skip(why);
    }
    // The kernel keeps what the user asked for as well as it can; some leave the thread nothing but the cpuset.
    assert_eq!(guest.cpus_of_thread(vcpu), [cpus.first]);
    assert_eq!(guest.check(&[]).code(), 1);
    let applied = guest.apply(&[]);
    assert_eq!(applied.code(), 1, "{applied:?}");
    let whose = format!("{}/cpuset.", cpuset.folder().display());
    assert!(
        applied.stderr.contains("its cgroup is in the way") && applied.stderr.contains(&whose),
        "{applied:?}"
    );
    drop(guest);
}

/// A whole VM in a cpuset: a CPU outside of it is refused before anything is moved, and the cpuset is named.
#[test]
fn a_cpu_outside_the_cpuset_is_refused() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.second])) else { return };
    let Some(vm) = VmBuilder::usual(Accel::Tcg).without_library().start_in(Some(&cpuset)) else { return };
    let (pid, first) = (vm.pid().to_string(), cpus.first.to_string());
    let refused = pinshim(&["apply", &pid, "--cpus", &first]);
    assert_eq!(refused.code(), 2, "{refused:?}");
    let available = format!("PIN_CPUS={first}: CPU {first} is not available here ({})", cpus.second);
    assert!(refused.stderr.contains(&available), "{refused:?}");
    assert!(refused.stderr.contains(&format!("{}/cpuset.", cpuset.folder().display())), "{refused:?}");
    drop(vm);
}

#[test]
fn who_may_not_look_is_told_who_may() {
    command();
    let _limit = TimeLimit::seconds(150);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let scratch = Scratch::new();
    let copy = scratch.copy(command());
    let as_nobody = |arguments: &[&str]| Program::new(&copy).args(arguments).user(NOBODY).run();

    let shown = as_nobody(&["show", &guest.pid]);
    assert_eq!(shown.code(), 0, "{shown:?}");
    assert!(shown.stdout.contains("belongs to user root") && shown.stdout.contains("CPU 0/TCG"), "{shown:?}");
    let all = as_nobody(&["show"]);
    assert!(all.stdout.contains("could not be looked into") && all.stdout.contains(&guest.pid), "{all:?}");
    let checked = as_nobody(&["check", &guest.pid]);
    assert_eq!(checked.code(), 2);
    assert!(checked.stderr.contains("only user root or root"), "{checked:?}");
    assert_eq!(as_nobody(&["apply", &guest.pid]).code(), 2);
    let applied = as_nobody(&["apply", &guest.pid, "--cpus", &guest.cpus.second.to_string()]);
    assert_eq!(applied.code(), 1, "{applied:?}");
    assert!(applied.stderr.contains("not permitted"), "{applied:?}");
}

#[test]
fn an_ordinary_user_sees_to_a_vm_of_its_own() {
    command();
    let _limit = TimeLimit::seconds(150);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let vm = VmBuilder::usual(Accel::Tcg).user(NOBODY).sandbox(LIBVIRT_SANDBOX);
    let Some(mut vm) = vm.env("PIN_CPUS", &first).env("PIN_VCPUS", &format!("*@{second}")).start() else {
        return;
    };
    vm.wait_visits(1);
    let scratch = Scratch::new();
    let copy = scratch.copy(command());
    let pid = vm.pid().to_string();
    let as_nobody = |arguments: &[&str]| Program::new(&copy).args(arguments).user(NOBODY).run();
    passes(&as_nobody(&["check", &pid]));
    let (_, vcpu) = vm.qmp.vcpu_tids()[0];
    taskset(vcpu, &first);
    assert_eq!(as_nobody(&["check", &pid]).code(), 1);
    as_nobody(&["apply", &pid]).assert_clean();
    passes(&as_nobody(&["check", &pid]));
    assert!(as_nobody(&["show"]).assert_clean().stdout.contains(&format!("(PID {pid})")));
}

#[test]
fn who_is_not_there_is_said_so() {
    command();
    let _limit = TimeLimit::seconds(60);
    for subcommand in ["show", "check", "record", "apply", "doctor"] {
        for (word, says) in
            [("4194304", "there is no process 4194304"), ("no-such-vm", "no QEMU is called \"no-such-vm\"")]
        {
            let finished = pinshim(&[subcommand, word]);
            assert_eq!((finished.code(), finished.stdout.as_str()), (2, ""), "{finished:?}");
            assert!(finished.stderr.contains(says), "{finished:?}");
        }
    }
    let applied = pinshim(&["apply", &std::process::id().to_string(), "--cpus", "all"]);
    assert_eq!(applied.code(), 2);
    assert!(applied.stderr.contains("does not look like a QEMU"), "{applied:?}");
}

/// The reason that is given why a QEMU is not pinned.
#[test]
fn why_a_qemu_is_not_pinned_is_said() {
    command();
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let cpu = cpus.second.to_string();
    let why = |vm: VmBuilder, says: &str| {
        let Some(vm) = vm.start() else { return };
        let checked = pinshim(&["check", &vm.pid().to_string()]);
        assert_eq!(checked.code(), 3, "{checked:?}");
        assert!(checked.stdout.contains(says), "{says}: {checked:?}");
    };
    let vm = || VmBuilder::new(Accel::Tcg);
    why(vm().without_library().env("PIN_CPUS", &cpu), "without the library, although it has PIN_* variables");
    why(vm(), "none of the PIN_* variables");
    why(vm().env("PIN_CPUS", &cpu).env("PIN_TARGET", "other"), "PIN_TARGET says which");
    why(vm().env("PIN_CPUS", "x").env("PIN_ERRORS", "warn"), "has made no status page");
    let missing =
        vm().without_library().env("LD_PRELOAD", "/nonexistent/libpinshim.so").env("PIN_CPUS", &cpu);
    why(missing, "that file cannot be read: No such file");
}

/// The program, with the library asked for and a placement.
fn placed(program: &Path) -> Program {
    Program::new(program).with_library().env("PIN_CPUS", "all")
}

#[track_caller]
fn is_not_pinned(process: &Process, says: &str) {
    let pid = process.pid().to_string();
    // A program that has not begun yet has its starter's files in /proc.
    let checked = harness::until(20, says, || {
        assert!(process.ended().is_none(), "{}", process.stderr());
        Some(pinshim(&["check", &pid])).filter(|checked| checked.stdout.contains(says))
    });
    assert_eq!(checked.code(), 3, "{checked:?}");
}

/// A program that only waits, under a name that the library acts in.
fn waits(scratch: &Scratch, flags: &[&str]) -> Option<PathBuf> {
    let (source, program) = (scratch.join("waits.c"), scratch.join("qemu-system-waits"));
    fs::write(&source, "#include <unistd.h>\nint main(void) { return pause(); }\n").unwrap();
    let made = Program::new("cc").args(flags).arg(&source).arg("-o").arg(&program).run();
    if made.code() != 0 {
        skip(format!("no such program can be made: {}", made.stderr.trim()));
        return None;
    }
    Some(program)
}

#[test]
fn a_setuid_qemu_is_recognised() {
    command();
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let scratch = Scratch::new();
    let Some(program) = waits(&scratch, &[]) else { return };
    chown(&program, Some(NOBODY.0), Some(NOBODY.0)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let process = placed(&program).start();
    std::thread::sleep(Duration::from_millis(500));
    if pinshim(&["check", &process.pid().to_string()]).code() == 0 {
        return skip("the temporary folder is mounted nosuid");
    }
    is_not_pinned(&process, "(AT_SECURE in /proc/");
}

#[test]
fn a_static_qemu_is_recognised() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let Some(program) = waits(&scratch, &["-static"]) else { return };
    is_not_pinned(&placed(&program).start(), "it is linked statically");
}

#[test]
fn a_watched_vm_that_ends_is_said_to_have_ended() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let checking = Program::new(command()).args(["check", &guest.pid, "--for", "90"]).start();
    let showing = Program::new(command()).args(["show", &guest.pid, "--json", "--watch", "0.1"]).start();
    let documents = harness::until(30, "three documents", || {
        Some(showing.stdout()).filter(|said| said.lines().count() >= 3)
    });
    for document in documents.lines().take(3) {
        let document: Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["vms"][0]["pid"], guest.vm.pid());
    }
    let pid = guest.pid.clone();
    guest.vm.quit();
    for ended in [checking.wait(), showing.wait()] {
        assert_eq!(ended.code(), 2, "{ended:?}");
        assert!(ended.stderr.contains(&pid), "{ended:?}");
    }
}

/// How a program ends whose reader has gone, by the convention of shells: 128 + SIGPIPE.
const READER_HAS_GONE: i32 = 128 + libc::SIGPIPE;

#[test]
fn a_reader_that_goes_away_is_no_matter() {
    command();
    let _limit = TimeLimit::seconds(60);
    for arguments in [&["show"][..], &["show", "--json"], &["run", "--cpus", "all", "--dry-run", "sh"]] {
        let program = Program::new(command()).env("PINSHIM_LIB", library()).args(arguments);
        let finished = program.stdout(pipe_without_reader()).run();
        assert_eq!((finished.code(), &*finished.stderr), (READER_HAS_GONE, ""), "{arguments:?}");
    }
    let help = Program::new(command()).arg("--help").stdout(pipe_without_reader()).run();
    assert_eq!((help.code(), &*help.stderr), (READER_HAS_GONE, ""));
}

/// EX_IOERR of sysexits.h.
const NOT_WRITTEN: i32 = 74;

#[test]
fn output_that_cannot_be_written_is_a_failure_of_its_own() {
    command();
    let _limit = TimeLimit::seconds(60);
    let dry_run = ["run", "--cpus", "all", "--dry-run", "true"];
    for arguments in
        [&["show"][..], &["check", "no-such-vm", "--json"], &["--help"], &["show", "--help"], &dry_run]
    {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let program = Program::new(command()).env("PINSHIM_LIB", library()).args(arguments);
        let finished = program.stdout(full).run();
        let says = "pinshim: the output could not be written: No space left on device";
        assert_eq!(finished.code(), NOT_WRITTEN, "{arguments:?} {finished:?}");
        assert!(finished.stderr.contains(says), "{arguments:?} {finished:?}");
    }
}

/// The one document on stdout.
#[track_caller]
fn document(finished: &Finished) -> Value {
    assert_eq!(finished.stdout.lines().count(), 1, "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn every_exit_has_its_json() {
    command();
    let _limit = TimeLimit::seconds(60);
    for arguments in [
        &["check", "no-such-vm", "--json"][..],
        &["check", "4194304", "--json"],
        &["check", "-p", "4194304", "--json"],
        &["check", "--json"],
        &["check", "--json", "x", "--no-such-option"],
        &["check", "x", "y", "--qmp", "s", "--json"],
        &["show", "--json", "--watch", "never"],
    ] {
        let finished = pinshim(arguments);
        let document = document(&finished);
        assert_eq!((finished.code(), &document["exit_status"]), (2, &Value::from(2)), "{arguments:?}");
        assert!(document["error"].is_string(), "{document}");
    }
    // Documents of their own, with what is wrong beside what was found.
    let shown = document(&pinshim(&["show", "--json", "no-such-vm"]));
    assert!(shown["errors"][0].as_str().unwrap().contains("no-such-vm"), "{shown}");
    let several = document(&pinshim(&["check", "--json", "no-such-vm", "4194304"]));
    assert_eq!((several["vms"].as_array().unwrap().len(), &several["exit_status"]), (2, &Value::from(2)));
}

/// `pinshim run … & pinshim check NAME --wait 30`: no sleep is needed between them.
#[test]
fn a_vm_that_was_just_started_is_waited_for() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let name = format!("soon-{}", std::process::id());
    let waiting = Program::new(command()).args(["check", &name, "--wait", "60", "--json"]).start();
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let vm = VmBuilder::usual(Accel::Tcg).name(&name).env("PIN_CPUS", &first);
    let Some(vm) =
        vm.env("PIN_VCPUS", &format!("*@{second}")).env("PIN_IOTHREADS", &format!("io1@{second}")).start()
    else {
        return;
    };
    let checked = waiting.wait();
    let said = document(&checked);
    assert_eq!((checked.code(), &said["pid"], &said["ok"]), (0, &Value::from(vm.pid()), &Value::Bool(true)));
    assert!(said["threads"].as_u64().unwrap() >= 5, "main, call_rcu, io1 and two vCPUs: {said}");
    let absent = pinshim(&["check", &format!("never-{name}"), "--wait", "0.2"]);
    assert_eq!(absent.code(), 2, "{absent:?}");
}

#[test]
fn all_vms_are_checked_at_once_and_the_worst_counts() {
    command();
    let _limit = TimeLimit::seconds(150);
    let Some(mut one) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let Some(other) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    passes(&pinshim(&["check", &one.pid, "-p", &other.pid]));
    let vcpu = one.vcpu(0);
    taskset(vcpu, &one.cpus.first.to_string());
    let checked = pinshim(&["check", &one.pid, &other.pid, "--json"]);
    let said = document(&checked);
    assert_eq!(
        (checked.code(), &said["exit_status"], &said["ok"]),
        (1, &Value::from(1), &Value::Bool(false))
    );
    assert_eq!((&said["vms"][0]["ok"], &said["vms"][1]["ok"]), (&Value::Bool(false), &Value::Bool(true)));
    // Other tests may have VMs at the same time: these two are among all.
    let all = document(&pinshim(&["check", "--all", "--json"]));
    let all = all["vms"].as_array().unwrap();
    for guest in [&one, &other] {
        assert!(all.iter().any(|vm| vm["pid"] == guest.vm.pid()), "{all:?}");
    }
    let Some(cpus) = two_cpus() else { return };
    let Some(unpinned) = Guest::start(VmBuilder::usual(Accel::Tcg).without_library(), cpus) else { return };
    assert_eq!(pinshim(&["check", &one.pid, &other.pid, &unpinned.pid]).code(), 3);
}

/// Its monitor has neither vCPUs nor IOThreads to tell of.
#[test]
fn a_storage_daemons_monitor_is_no_obstacle() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let program = "qemu-storage-daemon";
    if Program::new("sh").args(["-c", &format!("command -v {program}")]).run().code() != 0 {
        return skip(format!("there is no {program}"));
    }
    let scratch = Scratch::new();
    let socket = scratch.join("qmp");
    let chardev = format!("socket,id=c,path={},server=on,wait=off", socket.display());
    let daemon = Program::new(program)
        .with_library()
        .env("PIN_TARGET", program)
        .env("PIN_CPUS", cpus.second.to_string())
        .args(["--object", "iothread,id=io1", "--chardev", &chardev, "--monitor", "chardev=c"])
        .start();
    harness::until(30, "the daemon's monitor", || socket.exists().then_some(()));
    let pid = daemon.pid().to_string();
    let checked = pinshim(&["check", &pid, "--qmp", socket.to_str().unwrap()]);
    assert_eq!((checked.code(), &*checked.stdout), (0, ""), "{checked:?}");
    assert!(checked.stderr.contains("has no query-cpus-fast and no query-iothreads"), "{checked:?}");
    assert!(!checked.stderr.contains("--qmp wants"), "{checked:?}");
}

#[test]
fn threads_that_qemu_places_itself_are_expected_nowhere() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let context = format!("thread-context,id=tc1,cpu-affinity={}", cpus.first);
    let Some(guest) = Guest::pinned(Accel::Tcg, |vm| vm.args(&["-object", &context])) else { return };
    let shown = guest.shown();
    let exempt =
        shown["threads"].as_array().unwrap().iter().find(|thread| thread["role"] == "exempt").unwrap();
    assert_eq!((&exempt["expected"], &exempt["verdict"]), (&Value::Null, &Value::from("exempt")), "{exempt}");
}

/// What an option names and the VM does not have is said and counts.
#[test]
fn wishes_that_nobody_meets_are_said_and_count() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(guest) = unpinned(Accel::Tcg, |vm| vm.debug_threads(true)) else { return };
    let second = guest.cpus.second.to_string();
    let applied = guest.apply(&["--iothreads", &format!("io2@{second}"), "--vcpus", &format!("7@{second}")]);
    assert_eq!(applied.code(), 1, "{applied:?}");
    for says in [
        "PIN_IOTHREADS places io2, and there is no such IOThread",
        "PIN_VCPUS places vCPU 7, and there is no such vCPU",
    ] {
        assert!(applied.stdout.contains(says), "{says}: {applied:?}");
    }
    let applied = guest.apply(&["--thread", &format!("no such*@{second}"), "--json"]);
    let said = document(&applied);
    assert_eq!((applied.code(), &said["ok"]), (1, &Value::Bool(false)));
    assert!(said["notes"].to_string().contains("no thread has such a name"), "{said}");
}

/// QEMU gives a thread no name where that is longer than a comm (15 bytes): that counts, and QEMU tells who it is.
#[test]
fn an_iothread_whose_id_is_too_long_for_a_name_is_not_passed_over_in_silence() {
    command();
    let _limit = TimeLimit::seconds(100);
    let object = r#"{"qom-type":"iothread","id":"block-io-device-1"}"#;
    let shape = |vm: VmBuilder| vm.debug_threads(true).args(&["-object", object]);
    let Some(mut guest) = unpinned(Accel::Tcg, shape) else { return };
    let (first, second) = (guest.cpus.first.to_string(), guest.cpus.second.to_string());
    let long = format!("block-io-device-1@{second}");
    let options = ["--cpus", &first, "--iothreads", &long];
    let of = |guest: &mut Guest| {
        let all = guest.vm.qmp.iothread_tids();
        let tid = all.into_iter().find(|(id, _)| id == "block-io-device-1").unwrap().1;
        guest.cpus_of_thread(tid)
    };
    let applied = guest.apply(&options);
    // A QEMU that cuts the name instead is told by the beginning.
    if applied.code() == 0 {
        assert_eq!(of(&mut guest), [guest.cpus.second], "{applied:?}");
    } else {
        let says = "places block-io-device-1, and no thread's name tells which one that is; --qmp SOCKET";
        assert!(applied.code() == 1 && applied.stdout.contains(says), "{applied:?}");
    }
    let socket = guest.socket().to_owned();
    let applied = guest.apply(&[&options[..], &["--qmp", &socket]].concat());
    assert_eq!(applied.code(), 0, "{applied:?}");
    assert_eq!(of(&mut guest), [guest.cpus.second]);
}

#[test]
fn what_apply_does_is_a_document_too() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let vcpu = guest.vcpu(0);
    taskset(vcpu, &guest.cpus.first.to_string());
    let would = document(&pinshim(&["apply", "-p", &guest.pid, "--json", "--dry-run"]));
    assert_eq!((&would["dry_run"], &would["moves"][0]["tid"]), (&Value::Bool(true), &Value::from(vcpu)));
    let did = document(&guest.apply(&["--json"]));
    let (from, to) = (guest.cpus.first.to_string(), guest.cpus.second.to_string());
    let moved = &did["moves"][0];
    assert_eq!(
        (&moved["vcpu"], &moved["from"], &moved["to"]),
        (&Value::from(0), &Value::from(from), &Value::from(to))
    );
    assert_eq!((&did["ok"], &did["exit_status"]), (&Value::Bool(true), &Value::from(0)));
    assert_eq!(guest.cpus_of_thread(vcpu), [guest.cpus.second]);
    let none = document(&pinshim(&["apply", "no-such-vm", "--json"]));
    assert_eq!(none["exit_status"], 2);
}

/// Who may run on a CPU, across all VMs, as the kernel has it.
#[test]
fn each_cpu_is_shown_with_who_may_run_there() {
    command();
    let _limit = TimeLimit::seconds(100);
    let name = format!("by-cpu-{}", std::process::id());
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm.name(&name)) else { return };
    let vcpu = guest.vcpu(0);
    let shown = document(&pinshim(&["show", "--by-cpu", "--json"]));
    let on = |cpu: usize| {
        let cpus = shown["cpus"].as_array().unwrap();
        let threads = cpus.iter().find(|of| of["cpu"] == cpu).unwrap()["threads"].as_array().unwrap();
        threads.iter().any(|thread| thread["tid"] == vcpu && thread["vm"] == *name)
    };
    assert!(on(guest.cpus.second) && !on(guest.cpus.first), "{shown}");
    let shown = pinshim(&["show", "--by-cpu", &guest.pid]);
    let row = |cpu: usize| {
        shown
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{cpu} ")))
            .unwrap()
            .to_owned()
    };
    assert!(
        row(guest.cpus.second).contains("vcpu 0") && row(guest.cpus.first).contains("emulator"),
        "{shown:?}"
    );
}

#[test]
fn the_columns_that_are_asked_for_are_shown() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(mut guest) = Guest::pinned(Accel::Tcg, |vm| vm) else { return };
    let vcpu = guest.vcpu(0);
    let shown = pinshim(&["show", "-p", &guest.pid, "-o", "tid,ROLE,allowed", "--color", "never"]);
    let mut lines = shown.assert_clean().stdout.lines();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines.next().unwrap()), ["TID", "ROLE", "ALLOWED"]);
    let expected = format!("{vcpu} vcpu 0 {}", guest.cpus.second);
    assert!(lines.any(|line| words(line).join(" ") == expected), "{expected}: {shown:?}");
    let coloured = pinshim(&["show", &guest.pid, "--color", "always"]);
    assert!(coloured.assert_clean().stdout.contains("\u{1b}[1m"), "{coloured:?}");
    let unknown = pinshim(&["show", "-o", "colour"]);
    assert!(unknown.code() == 2 && unknown.stderr.contains("expected"), "the names are listed: {unknown:?}");
}

/// Its threads have no names: QEMU says which is which.
#[test]
fn a_qemu_that_is_asked_tells_its_threads_apart() {
    command();
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = always_named() {
        return skip(why);
    }
    let Some(mut guest) = unpinned(Accel::Tcg, |vm| vm.debug_threads(false)) else { return };
    let socket = guest.socket().to_owned();
    let vcpu = guest.vcpu(1);
    let of = |arguments: &[&str]| {
        let shown = document(&pinshim(&[&["show", "--json", &guest.pid], arguments].concat()));
        let threads = shown["vms"][0]["threads"].as_array().unwrap().clone();
        threads.into_iter().find(|thread| thread["tid"] == vcpu).unwrap()
    };
    assert_eq!(of(&[])["role_from"], "assumed");
    let thread = of(&["--qmp", &socket]);
    assert_eq!((&thread["vcpu"], &thread["role_from"]), (&Value::from(1), &Value::from("qemu")));
}
