//! Which thread is which, in programs that create threads as QEMU does or otherwise. A thread's name is read where
//! its start routine's argument is QEMU's; any other argument neither crashes the library nor misleads it.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use harness::{Finished, Program, Scratch, Source, TimeLimit, TwoCpus, compile, compile_library, two_cpus};

/// Runs a program as a target with this placement; `A` and `B` stand for the two CPUs.
fn run(
    file: &str,
    preload: Option<&str>,
    args: &[&str],
    placement: &[(&str, &str)],
) -> Option<(Finished, TwoCpus)> {
    run_linked(file, &[], preload, args, placement)
}

/// The same with further sources or flags for the compiler.
fn run_linked(
    file: &str,
    flags: &[&str],
    preload: Option<&str>,
    args: &[&str],
    placement: &[(&str, &str)],
) -> Option<(Finished, TwoCpus)> {
    let cpus = two_cpus()?;
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file, flags });
    let name = program.file_name().expect("a program has a name").to_owned();
    let mut target = Program::new(program).args(args).env("PIN_TARGET", name).with_library();
    if let Some(file) = preload {
        target = target.preload(compile_library(&scratch, &Source { file, flags: &[] }));
    }
    for (variable, value) in placement {
        target = target.env(variable, cpus.put_into(value));
    }
    Some((target.run(), cpus))
}

const ROLES: [(&str, &str); 6] = [
    ("PIN_VCPUS", "0@B,1@A"),
    ("PIN_IOTHREADS", "io1@B,*@A"),
    ("PIN_EMULATOR", "A"),
    ("PIN_WORKERS", "B"),
    ("PIN_MIGRATION", "B"),
    ("PIN_THREADS", "vnc_*@B,SPICE Worker@B"),
];

/// The name of each thread and its CPU.
const NAMES: [(&str, &str); 24] = [
    ("CPU 0/KVM", "B"),
    ("CPU 1/KVM", "A"),
    ("CPU 0/TCG", "B"),
    ("CPU 1/TCG", "A"),
    ("IO io1", "B"),
    ("IO io10", "A"),
    ("IO mon_iothread", "A"),
    ("worker", "B"),
    ("worker2", "A"),
    ("vnc_worker", "B"),
    ("SPICE Worker", "B"),
    ("live_migration", "B"),
    ("return path", "B"),
    ("multifdsend_0", "B"),
    ("multifdrecv_12", "B"),
    ("mig/src/main", "B"),
    ("mig/dst/recv_1", "B"),
    ("dump_thread", "A"),
    ("nbd-connect", "A"),
    ("io-task-worker", "A"),
    ("kvm-reaper", "A"),
    ("CPU x/KVM", "A"),
    ("a name that is longer than any comm may be and says nothing", "A"),
    ("x", "A"),
];

/// It has printed a line for each thread with the CPU it is on, which is its only one: for some threads of
/// other libraries `before`, for call_rcu and main, for these names, and for the other libraries' again.
#[track_caller]
fn assert_lines(finished: &Finished, cpus: TwoCpus, before: usize, names: &[(&str, &str)], other: &str) {
    let foreign = ("foreign", other);
    let threads = std::iter::repeat_n(foreign, before)
        .chain(names.iter().copied())
        .chain(std::iter::repeat_n(foreign, FOREIGN));
    let expected: Vec<_> =
        threads.map(|(name, cpu)| format!("{name}: CPU {} of 1", cpus.put_into(cpu))).collect();
    assert_eq!(finished.assert_clean().stdout.lines().collect::<Vec<_>>(), expected);
}

/// The first two threads, which every program has, on `A`, and these.
fn with_first<'a>(names: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("call_rcu", "A"), ("main", "A")], names].concat()
}

/// How many threads of other libraries the program makes at a time.
const FOREIGN: usize = 14;

#[test]
fn names_give_roles_and_foreign_arguments_do_no_harm() {
    let _limit = TimeLimit::seconds(60);
    let Some((finished, cpus)) = run("like_qemu.c", Some("foreign.c"), &NAMES.map(|(name, _)| name), &ROLES)
    else {
        return;
    };
    assert_lines(&finished, cpus, 0, &with_first(&NAMES), "A");
}

/// The same where QEMU's start routine is not the first one: another library's constructor may create a thread
/// before.
#[test]
fn foreign_arguments_that_come_first_do_no_harm() {
    let _limit = TimeLimit::seconds(60);
    let args: Vec<_> = std::iter::once("-foreign").chain(NAMES.map(|(name, _)| name)).collect();
    let Some((finished, cpus)) = run("like_qemu.c", Some("foreign.c"), &args, &ROLES) else { return };
    assert_lines(&finished, cpus, FOREIGN, &with_first(&NAMES), "A");
}

/// The same where the foreign start routine is in the executable itself, so that only the name tells it from
/// QEMU's.
#[test]
fn foreign_arguments_of_the_executable_itself_do_no_harm() {
    let _limit = TimeLimit::seconds(60);
    let args: Vec<_> = std::iter::once("-foreign").chain(NAMES.map(|(name, _)| name)).collect();
    let linked = [concat!(env!("CARGO_MANIFEST_DIR"), "/programs/foreign.c")];
    let Some((finished, cpus)) = run_linked("like_qemu.c", &linked, None, &args, &ROLES) else { return };
    assert_lines(&finished, cpus, FOREIGN, &with_first(&NAMES), "A");
}

/// QEMU places its `TC` and `touch_pages` threads itself: they keep the affinity that they are created with.
#[test]
fn exempt_threads_stay_where_they_are() {
    let _limit = TimeLimit::seconds(60);
    let names = ["TC tc1", "touch_pages"];
    let Some((finished, cpus)) =
        run("like_qemu.c", Some("foreign.c"), &names, &[("PIN_CPUS", "B"), ("PIN_VCPUS", "0@A")])
    else {
        return;
    };
    let threads = [("call_rcu", "B"), ("main", "B"), ("TC tc1", "B"), ("touch_pages", "B")];
    assert_lines(&finished, cpus, 0, &threads, "B");
}

#[test]
fn a_rule_wins_over_a_role() {
    let _limit = TimeLimit::seconds(60);
    let placement =
        [("PIN_CPUS", "A"), ("PIN_VCPUS", "*@A"), ("PIN_THREADS", "CPU 1/*@B,CPU *@A,call_rcu@B")];
    let names = ["CPU 0/KVM", "CPU 1/KVM", "CPU 11/KVM", "worker"];
    let Some((finished, cpus)) = run("like_qemu.c", Some("foreign.c"), &names, &placement) else { return };
    let threads = [
        ("call_rcu", "B"),
        ("main", "A"),
        ("CPU 0/KVM", "A"),
        ("CPU 1/KVM", "B"),
        ("CPU 11/KVM", "A"),
        ("worker", "A"),
    ];
    assert_lines(&finished, cpus, 0, &threads, "A");
}

/// A rule places an exempt thread that it names; the others stay where they are.
#[test]
fn a_rule_places_an_exempt_thread() {
    let _limit = TimeLimit::seconds(60);
    let names = ["TC x", "TC y"];
    let placement = [("PIN_CPUS", "A"), ("PIN_THREADS", "TC x@B")];
    let Some((finished, cpus)) = run("like_qemu.c", Some("foreign.c"), &names, &placement) else { return };
    assert_lines(&finished, cpus, 0, &with_first(&[("TC x", "B"), ("TC y", "A")]), "A");
}

#[test]
fn vcpus_without_names_are_told_by_the_order_of_creation() {
    let _limit = TimeLimit::seconds(60);
    let placement = [("PIN_VCPUS", "B,A,B"), ("PIN_EMULATOR", "A")];
    let Some((finished, cpus)) = run("vcpu_order.c", Some("ioctl_seen.c"), &[], &placement) else { return };
    let placed: Vec<_> = finished.assert_clean().stdout.lines().filter(|l| l.contains("CPU ")).collect();
    let expected = [("main", "A"), ("vCPU 0", "B"), ("vCPU 1", "A"), ("vCPU 2", "B")];
    let expected = expected.map(|(thread, cpu)| format!("{thread}: CPU {}", cpus.put_into(cpu)));
    assert_eq!(placed, expected);
}

#[test]
fn what_a_library_asks_for_its_thread_is_cut_to_the_threads_set() {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let all = format!("{:#x}", 1u64 << cpus.first | 1 << cpus.second);
    let other = format!("{:#x}", 1u64 << cpus.first);
    let placement = [("PIN_CPUS", "B"), ("ALL", &*all), ("OTHER", &*other)];
    let Some((finished, _)) = run("own_affinity.c", None, &[], &placement) else { return };
    let kept = format!("0, errno 4321, {:x}", 1u64 << cpus.second);
    let asked = ["pthread, all", "pthread, other", "sched, all", "sched, other", "sched, by tid"];
    let expected: Vec<_> = asked.iter().map(|what| format!("{what}: {kept}")).collect();
    assert_eq!(finished.assert_clean().stdout.lines().collect::<Vec<_>>(), expected);
}
