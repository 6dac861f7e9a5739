//! Scheduling classes (`PIN_SCHED`), read from outside: /proc and sched_getattr(2).
//!
//! Wherever a thread has a real-time class, the second CPU is its own and the first one belongs to the rest, so that nothing
//! hangs that is not meant to; and the kernel itself leaves other threads a twentieth of the time
//! (kernel.sched_rt_runtime_us).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{
    Accel, Bus, ChildCpuset, Daemon, Drive, EX_CONFIG, Finished, LIBVIRT_SANDBOX, NOBODY, Observer, Program,
    Scratch, Source, TimeLimit, TwoCpus, VmBuilder, command, compile, compile_library, cpus_of_thread,
    give_usual_class, kvm_and_tcg, library, or_skip, pinshim, root_missing, scheduling_of, skip, two_cpus,
};
use serde_json::json;

/// The first CPU for everything but the vCPU, which has the second one alone.
fn placed(vm: VmBuilder, cpus: TwoCpus) -> VmBuilder {
    vm.env("PIN_CPUS", &cpus.first.to_string()).env("PIN_VCPUS", &format!("*@{}", cpus.second))
}

/// Why real-time classes cannot be had here, if so.
fn real_time_missing() -> Option<String> {
    if let Some(why) = root_missing() {
        return Some(why);
    }
    let tried = Program::new("chrt").args(["--fifo", "1", "true"]).run();
    (tried.code() != 0).then(|| format!("no real-time class here: {}", tried.stderr.trim()))
}

/// Two CPUs, where real-time classes can be had; else it was said why the test is skipped. To be called under a time limit.
fn two_cpus_for_real_time() -> Option<TwoCpus> {
    match real_time_missing() {
        Some(why) => {
            skip(why);
            None
        }
        None => two_cpus(),
    }
}

/// The classes that a VM is given: `PIN_SCHED`, and what that means for each role.
struct Classes {
    sched: &'static str,
    vcpu: &'static str,
    iothread: &'static str,
    worker: &'static str,
    emulator: &'static str,
    /// The kernel's own threads: begin with their creator's, which only some may take back.
    kernel: &'static [&'static str],
}

/// Another class for each role, for which it takes rights.
const WITH_RIGHTS: Classes = Classes {
    sched: "vcpus@rr:2,iothreads[io1]@other:-5:3ms,workers@batch:7,emulator@other:-1,migration@idle",
    vcpu: "rr:2",
    iothread: "other:-5",
    worker: "batch:7",
    emulator: "other:-1",
    kernel: &["other:0"],
};

/// What anybody may give. Nobody may take it back, so the emulator, which creates the others, has none.
const WITHOUT_RIGHTS: Classes = Classes {
    sched: "vcpus@other:3,iothreads[io1]@batch:5:3ms,workers@idle",
    vcpu: "other:3",
    iothread: "batch:5",
    worker: "idle",
    emulator: "other:0",
    kernel: &["other:0", "other:3", "batch:5"],
};

impl Classes {
    /// The class of a thread by its name.
    fn of(&self, name: &str) -> &'static str {
        match name {
            "worker" => self.worker,
            _ if name.starts_with("CPU ") => self.vcpu,
            "IO io1" => self.iothread,
            _ => self.emulator,
        }
    }
}

/// Each thread of a VM has its class: those that come and go, too, from the first look on that finds it given.
fn every_thread_has_its_class(accel: Accel, classes: &Classes, shape: impl Fn(VmBuilder) -> VmBuilder) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let io1 = || Drive::new(Bus::IoThread("io1".into()));
    let vm = VmBuilder::new(accel).iothread("io1").drive(io1()).drive(Drive::new(Bus::Virtio)).drive(io1());
    let vm = placed(vm.drive(Drive::new(Bus::Ide)), cpus).env("PIN_SCHED", classes.sched);
    let Some(mut vm) = shape(vm).start() else { return };
    let observer = Observer::start(vm.pid());
    vm.wait_visits(1);
    vm.burst();
    vm.burst_of(64);
    vm.wait_visits(1);
    let known = vm.qmp.vcpu_tids().into_iter().map(|(_, tid)| (tid, classes.vcpu));
    let known = known.chain(vm.qmp.iothread_tids().into_iter().map(|(_, tid)| (tid, classes.iothread)));
    let known: BTreeMap<_, _> = known.chain([(vm.pid(), classes.emulator)]).collect();
    let seen = observer.finish();
    let mut workers = 0;
    for thread in seen.threads.values() {
        if thread.name().starts_with("kvm-nx-lpage") {
            let last = thread.runs.last().expect("it was seen");
            assert!(classes.kernel.contains(&&*last.class), "{thread:?}");
            continue;
        }
        let name = thread.name();
        let by_name = classes.of(name);
        // One that has its creator's name yet: it takes its own once it has its class.
        let is_newborn =
            name.starts_with("qemu-system-") || [classes.vcpu, classes.iothread].contains(&by_name);
        let class = match known.get(&thread.tid) {
            Some(class) => class,
            None if is_newborn => continue,
            None => by_name,
        };
        let wrong = thread.runs.iter().find(|run| run.name == name && run.class != class);
        assert!(wrong.is_none(), "{class} expected: {thread:?}");
        workers += usize::from(name == "worker");
    }
    assert!(workers >= 8, "{workers} workers");
    for (tid, class) in known {
        let now = scheduling_of(tid).expect("QEMU runs");
        assert_eq!((&*now.class, now.reset_on_fork), (class, class != "other:0"), "{now:?}");
        // Before Linux 6.12 there are no slices.
        if now.slice_us != 0 {
            assert_eq!(now.slice_us == 3000, class == classes.iothread, "{class}: {now:?}");
        }
    }
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
}

/// Has a VM started by an ordinary user with these rights: priorities, and nice values.
fn as_nobody(vm: VmBuilder, priorities: u64, nice: u64) -> VmBuilder {
    vm.user(NOBODY).limit(libc::RLIMIT_RTPRIO, priorities).limit(libc::RLIMIT_NICE, nice)
}

/// Why an ordinary user cannot be given the rights for [`WITH_RIGHTS`], if so: raising a limit takes CAP_SYS_RESOURCE.
fn limits_missing() -> Option<String> {
    let program = Program::new("true").limit(libc::RLIMIT_RTPRIO, 2).limit(libc::RLIMIT_NICE, 25);
    program.try_start().err().map(|error| format!("limits cannot be raised here: {error}"))
}

kvm_and_tcg!(every_thread_of_a_kvm_guest_has_its_class, every_thread_of_a_tcg_guest_has_its_class, |accel| {
    every_thread_has_its_class(accel, &WITH_RIGHTS, |vm| vm)
});

kvm_and_tcg!(
    every_thread_of_a_kvm_guest_in_libvirts_sandbox_has_its_class,
    every_thread_of_a_tcg_guest_in_libvirts_sandbox_has_its_class,
    |accel| every_thread_has_its_class(accel, &WITH_RIGHTS, |vm| vm.sandbox(LIBVIRT_SANDBOX))
);

kvm_and_tcg!(
    every_thread_of_an_ordinary_users_kvm_guest_has_its_class,
    every_thread_of_an_ordinary_users_tcg_guest_has_its_class,
    |accel| every_thread_has_its_class(accel, &WITHOUT_RIGHTS, |vm| as_nobody(vm, 0, 0))
);

kvm_and_tcg!(
    every_thread_of_an_ordinary_users_kvm_guest_in_libvirts_sandbox_has_its_class,
    every_thread_of_an_ordinary_users_tcg_guest_in_libvirts_sandbox_has_its_class,
    |accel| {
        every_thread_has_its_class(accel, &WITHOUT_RIGHTS, |vm| as_nobody(vm, 0, 0).sandbox(LIBVIRT_SANDBOX));
    }
);

kvm_and_tcg!(
    every_thread_of_a_kvm_guest_of_an_ordinary_user_with_rights_has_its_class,
    every_thread_of_a_tcg_guest_of_an_ordinary_user_with_rights_has_its_class,
    |accel| {
        let limit = TimeLimit::seconds(60);
        if let Some(why) = limits_missing() {
            return skip(why);
        }
        drop(limit);
        every_thread_has_its_class(accel, &WITH_RIGHTS, |vm| as_nobody(vm, 2, 25).sandbox(LIBVIRT_SANDBOX));
    }
);

/// Started, shown, checked and mended by the command: the class of a worker changes under somebody's hands.
#[test]
fn the_command_shows_checks_and_mends_classes() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let (first, vcpus) = (cpus.first.to_string(), format!("*@{}", cpus.second));
    let sched = "vcpus@batch:3,workers@batch:5:4ms,emulator@other:0";
    let options = ["run", "--cpus", &first, "--vcpus", &vcpus, "--sched", sched, "--"];
    let starter = std::iter::once(command().as_os_str()).chain(options.iter().map(OsStr::new));
    let vm = VmBuilder::new(Accel::Tcg)
        .started_by(starter)
        .env("PINSHIM_LIB", library().to_str().expect("a path"));
    let Some(mut vm) = vm.start() else { return };
    vm.wait_visits(1);
    let pid = vm.pid().to_string();
    pinshim(&["check", &pid]).assert_clean();
    let (_, vcpu) = vm.qmp.vcpu_tids()[0];
    let shown = pinshim(&["show", "-o", "tid,class,state", &pid]);
    let row = |finished: &Finished, tid: u32| {
        let tid = tid.to_string();
        let rows = finished.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        rows.into_iter().find(|row| row.split(' ').next() == Some(&*tid)).unwrap_or_default()
    };
    assert_eq!(row(&shown, vcpu), format!("{vcpu} batch:3 ok"), "{shown:?}");

    give_usual_class(vcpu).expect("change the class of a thread of one's own");
    let checked = pinshim(&["check", &pid]);
    let line = format!("(vcpu 0) belongs on {}: CLASS other:3: should be batch:3", cpus.second);
    assert!(checked.code() == 1 && checked.stdout.contains(&line), "{checked:?}");
    let applied = pinshim(&["apply", &pid]);
    assert!(applied.stdout.contains("(vcpu 0) batch:3 in place of other:3\n"), "{applied:?}");
    assert_eq!(scheduling_of(vcpu).expect("QEMU runs").class, "batch:3");
    pinshim(&["check", &pid]).assert_clean();

    // Classes alone leave each thread where it is.
    pinshim(&["apply", &pid, "--sched", "vcpus@idle"]).assert_stderr_empty();
    assert_eq!(scheduling_of(vcpu).expect("QEMU runs").class, "idle");
    assert_eq!(cpus_of_thread(vm.pid(), vcpu), Some(vec![cpus.second]));
}

/// A fork of a process whose nice value is below 0 has none: the daemon's main thread gets its class again.
#[test]
fn a_daemons_main_thread_has_its_class() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch, Accel::Tcg, [] as [&str; 0], |program| {
        let program = program.with_library().env("PIN_CPUS", cpus.first.to_string());
        program
            .env("PIN_VCPUS", format!("*@{}", cpus.second))
            .env("PIN_SCHED", "emulator@other:-3,vcpus@fifo:1")
    });
    let Some(daemon) = or_skip(daemon) else { return };
    let pid = daemon.process().pid;
    let (_, vcpu) = daemon.qmp().vcpu_tids()[0];
    assert_eq!(scheduling_of(pid).expect("QEMU runs").class, "other:-3");
    assert_eq!(scheduling_of(vcpu).expect("QEMU runs").class, "fifo:1");
    pinshim(&["check", &pid.to_string()]).assert_clean();
}

/// A process that never waits, on this CPU.
fn hog(cpu: usize) -> harness::Process {
    Program::new("sh").args(["-c", "while :; do :; done"]).affinity(&[cpu]).start()
}

/// A FIFO vCPU has its CPU alone, but for a process of the host's that takes what it can get; the disk is busy.
fn a_guest_with_a_real_time_vcpu_goes_on(accel: Accel) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let vm =
        placed(VmBuilder::new(accel).drive(Drive::new(Bus::Virtio)), cpus).env("PIN_SCHED", "vcpus@fifo:1");
    let Some(mut vm) = vm.sandbox(LIBVIRT_SANDBOX).start() else { return };
    let hog = hog(cpus.second);
    for _ in 0..3 {
        vm.burst_of(64);
        vm.wait_visits(1);
        assert_eq!(vm.qmp.execute("query-status", json!({}))["running"], true);
    }
    let (_, vcpu) = vm.qmp.vcpu_tids()[0];
    assert_eq!(scheduling_of(vcpu).expect("QEMU runs").class, "fifo:1");
    assert_eq!(scheduling_of(vm.pid()).expect("QEMU runs").class, "other:0");
    drop(hog);
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
}

kvm_and_tcg!(
    a_kvm_guest_with_a_real_time_vcpu_goes_on,
    a_tcg_guest_with_a_real_time_vcpu_goes_on,
    a_guest_with_a_real_time_vcpu_goes_on
);

/// A VM whose vCPU would take the emulator's CPU for ever.
fn that_would_hang(cpus: TwoCpus) -> VmBuilder {
    let one = cpus.second.to_string();
    VmBuilder::new(Accel::Tcg)
        .env("PIN_VCPUS", &one)
        .env("PIN_EMULATOR", &one)
        .env("PIN_SCHED", "vcpus@fifo:1")
}

#[test]
fn a_class_that_would_hang_qemu_is_refused_at_the_start() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let Some(finished) = that_would_hang(cpus).run() else { return };
    assert_eq!(finished.code(), EX_CONFIG);
    let one = cpus.second;
    let begin =
        format!("pinshim: PIN_SCHED=vcpus@fifo:1 with PIN_VCPUS={one} and PIN_EMULATOR={one}: the vCPUs ");
    assert!(finished.stderr.starts_with(&begin) && finished.stderr.lines().count() == 1, "{finished:?}");
}

#[test]
fn without_the_class_that_would_hang_it_qemu_starts_plain_if_the_user_wants_it() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let Some(vm) = that_would_hang(cpus).env("PIN_ERRORS", "warn").start() else { return };
    vm.wait_visits(1);
    let seen = Observer::watch(vm.pid(), Duration::from_millis(300));
    for thread in seen.threads.values() {
        assert!(thread.runs.iter().all(|run| run.class == "other:0"), "{thread:?}");
    }
    assert_eq!(vm.stderr().matches("PIN_SCHED=vcpus@fifo:1 with").count(), 1, "{}", vm.stderr());
}

/// A cpuset leaves the emulator nothing but the vCPU's CPU, which the environment could not know.
#[test]
fn a_class_that_a_cpuset_would_make_a_trap_is_not_given_and_that_is_said_once() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.second])) else { return };
    let vm = placed(VmBuilder::new(Accel::Tcg).smp("2"), cpus);
    let vm = vm.env("PIN_MANAGER", "libvirt").env("PIN_SCHED", "vcpus@fifo:1,workers@batch");
    let Some(mut vm) = vm.start_in(Some(&cpuset)) else { return };
    vm.wait_visits(1);
    for (_, vcpu) in vm.qmp.vcpu_tids() {
        assert_eq!(scheduling_of(vcpu).expect("QEMU runs").class, "other:0");
    }
    let said = vm.stderr();
    let warnings = said.lines().filter(|line| line.contains("is not given fifo:1")).count();
    assert_eq!(warnings, 1, "{said}");
}

/// What QEMU says where it was started with these limits and classes, as an ordinary user.
fn said_without_rights(sched: &str, shape: impl Fn(VmBuilder) -> VmBuilder) -> Option<String> {
    if let Some(why) = root_missing() {
        skip(why);
        return None;
    }
    let vm = placed(VmBuilder::new(Accel::Tcg).iothread("io1").iothread("io2"), two_cpus()?)
        .env("PIN_SCHED", sched)
        .user(NOBODY);
    let mut vm = shape(vm).limit(libc::RLIMIT_NICE, 0).start()?;
    vm.wait_visits(1);
    for (_, tid) in vm.qmp.vcpu_tids() {
        assert_eq!(scheduling_of(tid).expect("QEMU runs").class, "other:0");
    }
    Some(vm.stderr())
}

#[test]
fn a_class_that_the_kernel_refuses_is_one_warning_that_says_what_is_missing() {
    let _limit = TimeLimit::seconds(200);
    let sched = "vcpus@fifo:3,iothreads@other:-5";
    let said = said_without_rights(sched, |vm| vm.limit(libc::RLIMIT_RTPRIO, 0));
    let Some(said) = said else { return };
    let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("pinshim: warning: ")).collect();
    let [iothread, vcpu] = warnings[..] else { panic!("two warnings, one for each role: {said}") };
    assert!(vcpu.contains("(vcpu) could not be given fifo:3: it takes CAP_SYS_NICE or an RLIMIT_RTPRIO of 3, which is 0 (ulimit -r 3; LimitRTPRIO=3 "), "{vcpu}");
    assert!(iothread.contains("\"IO io1\" (iothread) could not be given other:-5: it takes CAP_SYS_NICE or an RLIMIT_NICE of 25, which is 0 (ulimit -e 25; LimitNICE=-5 "), "{iothread}");
}

/// A cgroup of version 1's cpu controller that has no real-time budget, made for one test.
struct WithoutBudget(PathBuf);

impl WithoutBudget {
    fn new() -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup/cpu");
        if !root.join("cpu.rt_runtime_us").exists() {
            return Err(
                "the kernel gives cgroups no real-time budget (RT_GROUP_SCHED of cgroup v1)".to_owned()
            );
        }
        let folder = root.join(format!("pinshim-test-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let made = Self(folder);
        let budget = fs::read_to_string(made.0.join("cpu.rt_runtime_us")).unwrap_or_default();
        if budget.trim() == "0" { Ok(made) } else { Err(format!("a new cgroup has a budget of {budget}")) }
    }
}

impl Drop for WithoutBudget {
    fn drop(&mut self) {
        // A process that has just ended is in it for a moment.
        let removed = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            fs::remove_dir(&self.0).is_ok()
        });
        assert!(removed || std::thread::panicking(), "{} is left", self.0.display());
    }
}

#[test]
fn a_cgroup_without_a_real_time_budget_is_named_to_one_that_has_all_rights() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let Some(cgroup) = or_skip(WithoutBudget::new()) else { return };
    let procs = cgroup.0.join("cgroup.procs");
    let enter = format!("echo $$ > {} && exec \"$@\"", procs.display());
    let run = run_classes(cpus, "vcpus@fifo:1", |program| {
        Program::new("sh").args(["-c", &enter, "sh"]).arg(program)
    });
    let line = run.stderr.lines().next().unwrap_or_default();
    assert!(
        line.contains(
            "(vcpu) could not be given fifo:1: it has the rights, so its cgroup has no real-time budget"
        ),
        "{run:?}"
    );
    assert!(run.stdout.contains("CPU 0/KVM: 0 0 0 0 errno 0\n"), "{run:?}");
}

/// Runs the program `classes`, by a command that `how` makes of its path, under the library.
fn run_classes(cpus: TwoCpus, sched: &str, how: impl FnOnce(PathBuf) -> Program) -> Finished {
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "classes.c", flags: &[] });
    how(program)
        .env("PIN_TARGET", "classes")
        .env("PIN_CPUS", cpus.first.to_string())
        .env("PIN_VCPUS", format!("*@{}", cpus.second))
        .env("PIN_SCHED", sched)
        .preload(scratch.copy(harness::library()))
        .run()
}

/// The lines of a thread and of its creator: number, nice value, priority and flag of its class.
fn lines(threads: &[(&str, &str)]) -> String {
    threads
        .iter()
        .map(|(who, class)| format!("{who}: {class} errno 0\n{who}'s creator: errno 77\n"))
        .collect()
}

/// What [`run_classes`] prints, by the class of each thread.
fn all_lines(main: &str, vcpu: &str, worker: &str, others: [&str; 3]) -> String {
    let [iothread, migration, foreign] = others;
    format!(
        "main: {main} errno 0\nCPU 0/KVM: {vcpu} errno 0\n{}CPU 0/KVM's creator: errno 77\n",
        lines(&[("worker", worker)])
    ) + &lines(&[
        ("IO io1", iothread),
        ("live_migration", migration),
        ("worker", worker),
        ("foreign", foreign),
    ])
}

#[test]
fn a_thread_has_the_class_of_its_role_and_never_its_creators() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let run = |sched: &str| run_classes(cpus, sched, Program::new).assert_clean().stdout.clone();
    let fifo = "1 0 5 1";
    assert_eq!(run("vcpus@fifo:5"), all_lines("0 0 0 0", fifo, "0 0 0 0", ["0 0 0 0"; 3]));
    // SCHED_IDLE keeps the nice value, which counts for nothing there.
    assert_eq!(
        run("vcpus@rr:5,workers@idle,emulator@other:-3,iothreads@batch:4,migration@batch"),
        all_lines("0 -3 0 1", "2 0 5 1", "5 0 0 1", ["3 4 0 1", "3 0 0 1", "0 -3 0 1"])
    );
    // What RESET_ON_FORK leaves is not inherited either.
    assert_eq!(
        run("vcpus@idle,emulator@batch:7,iothreads@other:0"),
        all_lines("3 7 0 1", "5 7 0 1", "0 0 0 0", ["0 0 0 1", "0 0 0 0", "3 7 0 1"])
    );
    assert_eq!(run("all@batch:1"), all_lines("3 1 0 1", "3 1 0 1", "3 1 0 1", ["3 1 0 1"; 3]));
}

#[test]
fn errno_is_kept_where_a_class_is_refused() {
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let run = run_classes(cpus, "vcpus@fifo:5,workers@other:-1,iothreads@other:-2,all@other:-3", |program| {
        Program::new(program).user(NOBODY).limit(libc::RLIMIT_RTPRIO, 0).limit(libc::RLIMIT_NICE, 0)
    });
    assert_eq!(run.stdout, all_lines("0 0 0 0", "0 0 0 0", "0 0 0 0", ["0 0 0 0"; 3]));
    assert_eq!(run.stderr.matches("could not be given").count(), 5, "{}", run.stderr);
}

#[test]
fn a_thread_that_chooses_its_own_class_is_left_alone() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let run =
        run_classes(cpus, "all@batch:1,vcpus@fifo:1", |program| Program::new(program).env("CHANGE", "1"));
    assert_eq!(run.assert_clean().stdout, lines(&[("asked for", "1 0 3 0"), ("later", "2 0 4 0")]));
}

/// A class that was set before the CPUs would take those of the creator; one that the creator sets comes before or after
/// the thread's first instruction as it happens.
#[test]
fn a_thread_sets_its_own_class_once_it_is_on_its_cpus() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus_for_real_time() else { return };
    let scratch = Scratch::new();
    let sees = compile_library(&scratch, &Source { file: "sees_classes.c", flags: &["-ldl"] });
    let program = compile(&scratch, &Source { file: "classes.c", flags: &[] });
    let run = Program::new(program)
        .env("PIN_TARGET", "classes")
        .env("PIN_CPUS", cpus.first.to_string())
        .env("PIN_VCPUS", format!("*@{}", cpus.second))
        .env("PIN_SCHED", "vcpus@fifo:1,workers@batch")
        .with_library()
        .preload(sees)
        .run();
    let set = |class, cpu| format!("sets class {class} of itself, which may run on 1 CPU, {cpu}");
    let seen: Vec<_> = run.assert_clean().stdout.lines().filter(|line| line.starts_with("sets")).collect();
    assert_eq!(seen, [set(1, cpus.second), set(3, cpus.first), set(3, cpus.first)]);
}
