//! `pinshim record` against programs and VMs that say themselves what they did and when.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use harness::{
    Accel, NOBODY, Process, Program, Scratch, Source, TimeLimit, TwoCpus, VmBuilder, command, compile,
    kvm_and_tcg, or_skip, own_mounts_missing, root_missing, skip, two_cpus, until,
};
use serde_json::Value;

/// The program that does what it says.
struct Schedule {
    process: Process,
    cpus: TwoCpus,
}

impl Schedule {
    fn start(scratch: &Scratch, cpus: TwoCpus, how: impl FnOnce(Program) -> Program) -> Self {
        let program = compile(scratch, &Source { file: "schedule.c", flags: &[] });
        let program = Program::new(program).args([cpus.first.to_string(), cpus.second.to_string()]);
        let process = how(program).start();
        until(60, "the program", || process.stdout().contains("ready").then_some(()));
        Self { process, cpus }
    }

    /// Plays the schedule while it is recorded, up to the program's end. The exit status of the recorder, and the document.
    fn recorded(&self, scratch: &Scratch, recorder: impl FnOnce(Program) -> Program) -> (i32, Value) {
        let pid = self.process.pid().to_string();
        let program = Program::new(scratch.copy(command())).args(["record", &pid, "--format", "json"]);
        let recorder = recorder(program).start();
        has_begun(&recorder);
        self.process.signal(libc::SIGUSR1);
        until(120, "the end of the schedule", || self.process.stdout().contains("done").then_some(()));
        self.process.signal(libc::SIGUSR1);
        let finished = recorder.wait();
        assert_eq!(finished.stderr, "");
        (finished.code(), serde_json::from_str(&finished.stdout).unwrap())
    }

    /// The lines of a kind that it has printed: their numbers.
    fn said(&self, kind: &str) -> Vec<Vec<i64>> {
        let stdout = self.process.stdout();
        let lines = stdout.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
        lines.map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect()).collect()
    }
}

/// Waits until a recorder records: it has opened its events, and has slept some times since, which it does between looking.
fn has_begun(recorder: &Process) {
    let of = |name: &str| PathBuf::from(format!("/proc/{}/{name}", recorder.pid()));
    let records = || {
        let files = fs::read_dir(of("fd")).ok()?.flatten();
        let mut events = files.filter_map(|file| fs::read_link(file.path()).ok());
        events.any(|file| file == Path::new("anon_inode:[perf_event]")).then_some(())
    };
    until(60, "the recorder's events", || records().or(recorder.ended().map(|_| ())));
    let sleeps = || -> Option<u64> {
        let status = fs::read_to_string(of("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    };
    let before = sleeps().unwrap_or(0);
    until(60, "the recorder", || match sleeps() {
        Some(now) if recorder.ended().is_none() => (now >= before + 8).then_some(()),
        _ => Some(()),
    });
}

#[track_caller]
fn document(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Spans as from, to and CPU.
fn spans(thread: &Value) -> Vec<(i64, i64, i64)> {
    let spans = thread["spans"].as_array().unwrap().iter();
    spans.map(|span| (number(&span[0]), number(&span[1]), number(&span[2]))).collect()
}

/// The CPUs that a thread visited, each with the moment at which it came there.
fn visits(thread: &Value) -> Vec<(i64, i64)> {
    let mut visits: Vec<(i64, i64)> = spans(thread).iter().map(|span| (span.2, span.0)).collect();
    visits.dedup_by_key(|visit| visit.0);
    visits
}

/// The two CPUs of a test, unless something that it needs is missing: that is said then.
fn two_cpus_unless(missing: Option<String>) -> Option<TwoCpus> {
    or_skip(missing.map_or(Ok(()), Err))?;
    two_cpus()
}

/// Why this user cannot record a process of his own, if so.
fn own_threads_missing() -> Option<String> {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    match level.trim().parse::<i32>() {
        Ok(level) if level <= 2 => None,
        _ => Some(format!("an ordinary user may not record here (perf_event_paranoid {})", level.trim())),
    }
}

/// Every hop, birth and end is there at its moment, and no other.
#[track_caller]
fn is_as_it_was(schedule: &Schedule, recording: &Value) {
    assert_eq!(
        (&recording["method"], &recording["lost"]),
        (&"exact".into(), &0.into()),
        "{}",
        recording["sampled_why"]
    );
    assert_eq!(recording["resolution_ns"], 0);
    let threads = recording["threads"].as_array().unwrap();
    let mut born: Vec<&Value> = threads.iter().filter(|thread| !thread["born_ns"].is_null()).collect();
    born.sort_by_key(|thread| number(&thread["born_ns"]));
    let short = schedule.said("short");
    assert_eq!((threads.len(), born.len(), short.len()), (1003, 1002, 1000));
    let (hopper, stray, others) = (born[0], born[1], &born[2..]);
    // Each is born after its creator began to create it, and has ended before it was waited for. All of them together say
    // when the recording began by the program's clock, to some microseconds.
    let (mut earliest, mut latest) = (i64::MIN, i64::MAX);
    for (said, thread) in short.iter().zip(others) {
        assert_eq!(number(&thread["tid"]), said[0]);
        latest = latest.min(said[2] - number(&thread["ended_ns"]));
        earliest = earliest.max(said[1] - number(&thread["born_ns"]));
    }
    // The beginning is so late that every birth is after the word of its creator, and so early that every end is before.
    assert!(earliest <= latest, "births and ends are not where they were: {earliest} to {latest}");
    let slack = latest - earliest + 20_000;
    let at = |moment: i64| moment - earliest;
    let hops = schedule.said("hop");
    let visits_of_hopper = visits(hopper);
    let cpus: Vec<i64> = visits_of_hopper.iter().map(|visit| visit.0).collect();
    assert_eq!(cpus, hops.iter().map(|hop| hop[1]).collect::<Vec<_>>(), "{hopper}");
    assert_eq!(number(&hopper["moves"]), hops.len() as i64 - 1);
    for (hop, (_, came)) in hops.iter().zip(&visits_of_hopper).skip(1) {
        let (before, after) = (at(hop[2]) - slack, at(hop[3]) + slack);
        assert!((before..=after).contains(came), "{came} is not in {before} to {after}");
    }
    for thread in &born {
        let spans = spans(thread);
        let (born, ended) = (number(&thread["born_ns"]), number(&thread["ended_ns"]));
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{thread}");
        assert!(spans.iter().all(|span| born <= span.0 && span.0 < span.1 && span.1 <= ended), "{thread}");
        let ran: i64 = spans.iter().map(|span| span.1 - span.0).sum();
        assert_eq!((ran, spans.len() as i64), (number(&thread["ran_ns"]), number(&thread["runs"])));
    }
    // The kernel's own count leaves out what interrupts and a hypervisor took, on a kernel that knows it.
    let (ran, counted) = (number(&hopper["ran_ns"]), schedule.said("ran")[0][1]);
    let tail = 2_000_000;
    assert!(ran >= counted - counted / 100 && ran <= counted + counted / 100 + tail, "{ran} {counted}");
    strayed(schedule, stray, &at, slack);
}

/// It was elsewhere for 3 ms and for 100 µs, at these moments.
#[track_caller]
fn strayed(schedule: &Schedule, stray: &Value, at: &dyn Fn(i64) -> i64, slack: i64) {
    let second = schedule.cpus.second as i64;
    let said = schedule.said("stray");
    assert_eq!(said.len(), 2);
    for away in &said {
        let (from, to) = (at(away[1]) - slack, at(away[4]) + slack);
        let there: Vec<(i64, i64, i64)> = spans(stray)
            .into_iter()
            .filter(|span| span.2 == second && from <= span.0 && span.1 <= to)
            .collect();
        let (came, left) = (there.first().unwrap().0, there.last().unwrap().1);
        assert!(came <= at(away[2]) + slack && left >= at(away[3]) - slack, "{there:?} {away:?}");
    }
}

#[test]
fn a_known_schedule_is_recorded_as_it_was() {
    command();
    let _limit = TimeLimit::seconds(240);
    let Some(cpus) = two_cpus_unless(root_missing().and(own_threads_missing())) else { return };
    let scratch = Scratch::new();
    let schedule = Schedule::start(&scratch, cpus, |program| program);
    let (status, recording) = schedule.recorded(&scratch, |program| program);
    assert_eq!(status, 3, "it is not pinned");
    is_as_it_was(&schedule, &recording);
}

#[test]
fn an_ordinary_user_records_its_own_threads_as_they_were() {
    command();
    let _limit = TimeLimit::seconds(240);
    let Some(cpus) = two_cpus_unless(root_missing().or(own_threads_missing())) else { return };
    let scratch = Scratch::new();
    let schedule = Schedule::start(&scratch, cpus, |program| program.user(NOBODY));
    let (status, recording) = schedule.recorded(&scratch, |program| program.user(NOBODY));
    assert_eq!(status, 3, "it is not pinned");
    let why = recording["no_others_why"].as_str().unwrap();
    assert!(why.starts_with("that takes root or CAP_PERFMON"), "{why}");
    is_as_it_was(&schedule, &recording);
}

/// A hundred microseconds in all that time are off the set, and are said to be.
#[test]
fn every_moment_off_the_set_is_in_the_recording_and_no_birth_is() {
    command();
    let _limit = TimeLimit::seconds(240);
    let Some(cpus) = two_cpus_unless(root_missing().and(own_threads_missing())) else { return };
    let scratch = Scratch::new();
    let first = cpus.first.to_string();
    let pinned = |program: Program| {
        // It begins on the other CPU, where nothing of it belongs.
        let program = program.with_library().affinity(&[cpus.second]);
        program.env("PIN_TARGET", "schedule").env("PIN_CPUS", first)
    };
    let schedule = Schedule::start(&scratch, cpus, pinned);
    let (status, recording) = schedule.recorded(&scratch, |program| program);
    assert_eq!((status, &recording["ok"]), (1, &false.into()));
    is_as_it_was(&schedule, &recording);
    for thread in recording["threads"].as_array().unwrap() {
        assert_eq!(thread["expected"], cpus.first.to_string(), "{thread}");
        let off = |span: &Value| number(&span[5]) == 1;
        let away = |span: &Value| number(&span[2]) == cpus.second as i64;
        let spans = thread["spans"].as_array().unwrap();
        assert!(spans.iter().all(|span| off(span) == away(span)), "{thread}");
        let sum: i64 = spans.iter().filter(|span| off(span)).map(|span| number(&span[3])).sum();
        assert_eq!(sum, number(&thread["off_ns"]));
        let strays = ["hopper", "stray"].contains(&thread["name"].as_str().unwrap());
        assert_eq!(sum > 0, strays, "{thread}");
    }
}

/// A busy loop on a CPU under a name of its own.
fn hog(scratch: &Scratch, cpu: usize) -> Process {
    let program = scratch.join("the-hog");
    fs::copy("/bin/sh", &program).unwrap();
    Program::new(program).args(["-c", "while :; do :; done"]).affinity(&[cpu]).start()
}

/// Runs the recorder of a VM for so many seconds.
fn record(pid: u32, seconds: &str, file: &Path) -> Value {
    let pid = pid.to_string();
    let recorder = Program::new(command()).args(["record", &pid, "--for", seconds, "-o"]).arg(file).run();
    assert_eq!((&*recorder.stdout, &*recorder.stderr), ("", ""));
    document(file)
}

fn who_takes_a_vcpus_cpu_is_named(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus_unless(root_missing().or(own_mounts_missing())) else { return };
    let scratch = Scratch::new();
    let vm = VmBuilder::new(accel).smp("1").env("PIN_VCPUS", &cpus.second.to_string());
    let Some(vm) = vm.env("PIN_EMULATOR", &cpus.first.to_string()).start() else { return };
    vm.wait_visits(1);
    let _hog = hog(&scratch, cpus.second);
    let line = "mount -t tracefs none /sys/kernel/tracing && exec \"$@\"";
    let recorder = Program::new("unshare").args(["--mount", "sh", "-c", line, "sh"]).arg(command());
    let recorder = recorder.args(["record", &vm.pid().to_string(), "--for", "3", "--format", "json"]).run();
    if recorder.stderr.contains("mount:") {
        return skip(format!("tracefs cannot be mounted here: {}", recorder.stderr.trim()));
    }
    let recording: Value = serde_json::from_str(&recorder.stdout).unwrap();
    assert_eq!((&recording["no_others_why"], &recording["no_wakings_why"]), (&Value::Null, &Value::Null));
    let threads = recording["threads"].as_array().unwrap();
    let vcpu = threads.iter().find(|thread| thread["vcpu"] == 0).unwrap();
    let waits = vcpu["waits"]["longest"].as_array().unwrap();
    let by_hog =
        |wait: &&Value| wait["instead"].as_array().unwrap().iter().any(|one| one["comm"] == "the-hog");
    let wait = waits.iter().find(by_hog).unwrap_or_else(|| panic!("{vcpu}"));
    for one in wait["instead"].as_array().unwrap() {
        assert!(number(&one["ran_ns"]) <= number(&wait["length_ns"]), "{wait}");
    }
    // One that sleeps is woken, and waits from that moment on.
    let mut all = threads.iter().flat_map(|thread| thread["waits"]["longest"].as_array().unwrap());
    assert!(all.any(|wait| wait["preempted"] == false), "{recording}");
    let cpu = recording["cpus"].as_array().unwrap().iter().find(|cpu| cpu["cpu"] == cpus.second).unwrap();
    let others = recording["others"].as_array().unwrap();
    let is_hogs = |span: &Value| others[number(&span[2]) as usize]["comm"] == "the-hog";
    assert!(cpu["others"].as_array().unwrap().iter().any(is_hogs), "{others:?}");
}

kvm_and_tcg!(
    who_takes_a_kvm_vcpus_cpu_is_named,
    who_takes_a_tcg_vcpus_cpu_is_named,
    who_takes_a_vcpus_cpu_is_named
);

fn threads_that_come_and_go_are_told_by_their_roles(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus_unless(root_missing().and(own_threads_missing())) else { return };
    let scratch = Scratch::new();
    let vm = VmBuilder::new(accel).smp("1").paused().env("PIN_VCPUS", &cpus.second.to_string());
    let Some(mut vm) = vm.env("PIN_EMULATOR", &cpus.first.to_string()).start() else { return };
    let file = scratch.join("recording.json");
    let recorder = Program::new(command()).args(["record", &vm.pid().to_string(), "-o"]).arg(&file).start();
    has_begun(&recorder);
    // QEMU creates workers for these, as many as there is work for.
    vm.burst();
    vm.qmp.execute("cont", serde_json::json!({}));
    vm.wait_visits(3);
    // The end of the VM is the end of the recording.
    vm.quit();
    let finished = recorder.wait();
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (0, "", ""));
    let recording = document(&file);
    let threads = recording["threads"].as_array().unwrap();
    let role =
        |role: &str| -> Vec<&Value> { threads.iter().filter(|thread| thread["role"] == role).collect() };
    assert!(threads.iter().all(|thread| thread["role_assumed"] == false), "{threads:#?}");
    let workers: Vec<&Value> = role("worker").into_iter().filter(|one| !one["born_ns"].is_null()).collect();
    assert!(!workers.is_empty(), "{recording}");
    for worker in workers {
        assert_eq!(
            (&worker["name"], &worker["expected"]),
            (&"worker".into(), &cpus.first.to_string().into())
        );
        assert!(!worker["ended_ns"].is_null(), "{worker}");
    }
    let vcpu = role("vcpu")[0];
    assert_eq!((&vcpu["vcpu"], &vcpu["expected"]), (&0.into(), &cpus.second.to_string().into()));
    assert!(number(&vcpu["ran_ns"]) > 0 && spans(vcpu).iter().all(|span| span.2 == cpus.second as i64));
}

kvm_and_tcg!(
    threads_of_a_kvm_guest_that_come_and_go_are_told_by_their_roles,
    threads_of_a_tcg_guest_that_come_and_go_are_told_by_their_roles,
    threads_that_come_and_go_are_told_by_their_roles
);

#[test]
fn ctrl_c_ends_it_early_and_what_there_is_is_written() {
    command();
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let schedule = Schedule::start(&scratch, cpus, |program| program);
    let file = scratch.join("recording.json");
    let pid = schedule.process.pid().to_string();
    let recorder = Program::new(command()).args(["record", &pid, "--for", "1000", "-o"]).arg(&file).start();
    has_begun(&recorder);
    recorder.signal(libc::SIGINT);
    let finished = recorder.wait();
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (3, "", ""));
    assert_eq!(document(&file)["threads"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2, "the program and the file, and no draft");
}

/// Of another user's process the kernel tells an ordinary user no switch; what /proc says is no secret.
#[test]
fn where_the_kernel_does_not_record_proc_is_looked_at_and_the_file_says_so() {
    command();
    let _limit = TimeLimit::seconds(240);
    let Some(cpus) = two_cpus_unless(root_missing()) else { return };
    let scratch = Scratch::new();
    let schedule = Schedule::start(&scratch, cpus, |program| program);
    let pid = schedule.process.pid().to_string();
    let copy = Program::new(scratch.copy(command()));
    let recorder = copy.args(["record", &pid, "--format", "json"]).user(NOBODY).start();
    // It looks some hundred times a second.
    sleep(Duration::from_secs(1));
    schedule.process.signal(libc::SIGUSR1);
    until(120, "the end of the schedule", || schedule.process.stdout().contains("done").then_some(()));
    schedule.process.signal(libc::SIGUSR1);
    let finished = recorder.wait();
    let recording: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((finished.code(), &recording["method"]), (3, &"sampled".into()), "{finished:?}");
    let why = recording["sampled_why"].as_str().unwrap();
    assert!(why.starts_with("the VM belongs to user root") || why.contains("perf_event_paranoid"), "{why}");
    let threads = recording["threads"].as_array().unwrap();
    let hopper = threads.iter().find(|thread| thread["name"] == "hopper").ok_or("it was not seen".to_owned());
    let Some(hopper) = or_skip(hopper) else { return };
    let cpus = [cpus.first as i64, cpus.second as i64];
    assert!(spans(hopper).iter().all(|span| cpus.contains(&span.2) && span.0 < span.1), "{hopper}");
    assert!(number(&hopper["ran_ns"]) > 0 && number(&recording["sampled_every_ns"]) > 0);
}

#[test]
fn a_recording_goes_to_no_file_that_somebody_else_has_chosen() {
    command();
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let schedule = Schedule::start(&scratch, cpus, |program| program);
    let (file, precious) = (scratch.join("a.json"), scratch.join("precious"));
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, &file).unwrap();
    record(schedule.process.pid(), "0.3", &file);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}
