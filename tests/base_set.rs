//! `PIN_CPUS` keeps every thread of a VM on its set, also workers that come and go.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use harness::{
    Accel, ChildCpuset, Expected, NOBODY, Observation, Observer, Rule, TimeLimit, Vm, VmBuilder,
    always_named, judge, kvm_and_tcg, long, or_skip, root_missing, skip, two_cpus,
};

/// A worker that was without work for 10 s ends; of QEMU 7.2's about every second was seen to live for
/// another 10 s.
const WORKERS_END: Duration = Duration::from_secs(12);

/// How many rounds of burst and pause: a minute of them in the long form.
fn rounds() -> u32 {
    if long() { 5 } else { 1 }
}

/// The usual VM, started elsewhere, with all its threads on one CPU.
fn on_one_cpu(accel: Accel) -> Option<(Vm, usize)> {
    let cpus = two_cpus()?;
    let vm =
        VmBuilder::usual(accel).affinity(&[cpus.first]).env("PIN_CPUS", &cpus.second.to_string()).start()?;
    Some((vm, cpus.second))
}

/// All creators are on the set, so nothing else may show in any look at any thread of the usual VM.
#[track_caller]
fn assert_all_on(seen: &Observation, cpu: usize) {
    // Main, call_rcu, io1, two vCPUs, and a burst's workers in two pools.
    assert!(seen.count() >= 5 + 8, "only {} threads", seen.count());
    let offences = judge(seen, Rule::Strict, |_| Expected::cpu(cpu));
    assert!(offences.is_empty(), "{} offences, the first: {}", offences.len(), offences[0]);
}

fn every_thread_is_on_the_set_in_every_look(accel: Accel) {
    let _limit = TimeLimit::seconds(240);
    let Some((mut vm, cpu)) = on_one_cpu(accel) else { return };
    let began = Instant::now();
    let observer = Observer::start(vm.pid());
    vm.wait_visits(1);
    vm.burst();
    let mut woken = Duration::ZERO;
    for _ in 0..rounds() {
        vm.pause(WORKERS_END);
        woken = began.elapsed();
        vm.wait_visits(1);
        // More than before, so that those that are left do not suffice.
        vm.burst_of(64);
    }
    let seen = observer.finish();
    assert_all_on(&seen, cpu);
    assert!(seen.count() >= 20, "{} threads", seen.count());
    let ended = seen.threads.values().filter(|t| t.last_seen < woken).count();
    let reborn = seen.threads.values().filter(|t| t.first_seen > woken).count();
    println!("{} threads, {ended} have ended in a pause, {reborn} were born after the last", seen.count());
    assert!(ended >= 4 && reborn >= 4, "{ended} workers have ended in a pause, {reborn} were born after it");
    assert!(!vm.stderr().contains("pinshim"), "silent on success: {}", vm.stderr());
    assert!(vm.quit().status.success());
}

kvm_and_tcg!(
    every_thread_of_a_kvm_guest_is_on_the_set,
    every_thread_of_a_tcg_guest_is_on_the_set,
    every_thread_is_on_the_set_in_every_look
);

fn no_start_has_a_window(accel: Accel) {
    let _limit = TimeLimit::seconds(240);
    for _ in 0..3 {
        let Some((mut vm, cpu)) = on_one_cpu(accel) else { return };
        let observer = Observer::start(vm.pid());
        vm.wait_visits(1);
        vm.burst();
        assert_all_on(&observer.finish(), cpu);
    }
}

kvm_and_tcg!(
    no_start_of_a_kvm_guest_has_a_window,
    no_start_of_a_tcg_guest_has_a_window,
    no_start_has_a_window
);

/// The control: without the library every thread of the same VM is off the set.
#[test]
fn without_the_library_threads_are_elsewhere() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let pinned =
        VmBuilder::usual(Accel::Tcg).affinity(&[cpus.first]).env("PIN_CPUS", &cpus.second.to_string());
    let Some(vm) = pinned.without_library().start() else { return };
    let seen = Observer::watch(vm.pid(), Duration::from_millis(200));
    // Strictly, since Rule::Promise does not judge a thread that was created as the watch ended.
    let offences = judge(&seen, Rule::Strict, |_| Expected::cpu(cpus.second));
    assert_eq!(offences.len(), seen.count());
}

fn an_ordinary_user_is_served(accel: Accel) {
    let _limit = TimeLimit::seconds(150);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let vm = VmBuilder::usual(accel)
        .user(NOBODY)
        .affinity(&[cpus.first])
        .env("PIN_CPUS", &cpus.second.to_string());
    let Some(mut vm) = vm.start() else { return };
    let observer = Observer::start(vm.pid());
    vm.wait_visits(1);
    vm.burst();
    assert_all_on(&observer.finish(), cpus.second);
}

kvm_and_tcg!(
    an_ordinary_users_kvm_guest_is_on_the_set,
    an_ordinary_users_tcg_guest_is_on_the_set,
    an_ordinary_user_is_served
);

/// What a cpuset leaves of a set is what a thread gets, and the guest runs.
#[test]
fn all_means_all_of_the_cpuset() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.second])) else { return };
    let Some(mut vm) = VmBuilder::usual(Accel::Tcg).env("PIN_CPUS", "all").start_in(Some(&cpuset)) else {
        return;
    };
    let observer = Observer::start(vm.pid());
    vm.wait_visits(1);
    vm.burst();
    assert_all_on(&observer.finish(), cpus.second);
    vm.quit();
}

mod names {
    //! `top -H` and `ps -L` show QEMU's own names.

    use super::*;

    fn names(accel: Accel, shape: impl Fn(VmBuilder) -> VmBuilder) -> Option<Vec<String>> {
        let cpus = two_cpus()?;
        let vm = shape(VmBuilder::usual(accel).env("PIN_CPUS", &cpus.second.to_string()));
        let mut vm = vm.start()?;
        let observer = Observer::start(vm.pid());
        vm.wait_visits(1);
        vm.burst();
        let seen = observer.finish();
        let tid = vm.pid();
        Some(seen.threads.values().filter(|t| t.tid != tid).map(|t| t.name().to_owned()).collect())
    }

    fn kernels_own(name: &str) -> bool {
        name.starts_with("kvm-nx-lpage")
    }

    fn qemus_names_are_shown(accel: Accel) {
        let _limit = TimeLimit::seconds(100);
        let kind = accel.in_thread_names();
        let Some(names) = names(accel, |vm| vm) else { return };
        for name in [&format!("CPU 0/{kind}"), &format!("CPU 1/{kind}"), "IO io1", "call_rcu"] {
            assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name} in {names:?}");
        }
        assert!(names.iter().filter(|n| *n == "worker").count() >= 8, "{names:?}");
        assert!(!names.iter().any(|n| n == "qemu-system-x86"), "{names:?}");
    }

    kvm_and_tcg!(of_a_kvm_guest, of_a_tcg_guest, qemus_names_are_shown);

    #[test]
    fn off_leaves_them_as_qemu_does() {
        let _limit = TimeLimit::seconds(100);
        let off = |vm: VmBuilder| vm.env("PIN_NAMES", "off");
        let Some(seen) = names(Accel::Tcg, |vm| off(vm).debug_threads(true)) else { return };
        assert!(seen.iter().any(|n| n == "CPU 0/TCG"), "{seen:?}");
        if let Some(why) = always_named() {
            return skip(why);
        }
        let Some(seen) = names(Accel::Tcg, |vm| off(vm).debug_threads(false)) else { return };
        assert!(seen.iter().all(|n| n == "qemu-system-x86" || kernels_own(n)), "{seen:?}");
    }

    #[test]
    fn a_name_longer_than_a_comm_is_cut() {
        let _limit = TimeLimit::seconds(100);
        let Some(seen) = names(Accel::Tcg, |vm| vm.iothread("a-very-long-iothread-id")) else { return };
        assert!(seen.iter().any(|n| n == "IO a-very-long-"), "{seen:?}");
    }
}

mod log {
    //! What `PIN_LOG` asks for.

    use super::*;

    #[test]
    fn info_has_one_line_for_each_thread() {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        let cpu = cpus.second.to_string();
        let vm =
            VmBuilder::usual(Accel::Tcg).affinity(&[cpus.first]).env("PIN_CPUS", &cpu).env("PIN_LOG", "info");
        let Some(mut vm) = vm.start() else { return };
        let observer = Observer::start(vm.pid());
        vm.wait_visits(1);
        vm.burst();
        let seen = observer.finish();
        let said = vm.stderr();
        let words = |line: &str| -> Vec<String> {
            line.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
        };
        for thread in seen.threads.values() {
            let tid = thread.tid.to_string();
            let lines: Vec<_> = said.lines().filter(|l| words(l).contains(&tid)).collect();
            assert_eq!(lines.len(), 1, "lines for {tid} ({}): {lines:?}", thread.name());
            assert!(words(lines[0]).contains(&cpu), "its set is named: {}", lines[0]);
            if thread.tid != vm.pid() {
                assert!(lines[0].contains(thread.name()), "it is named {}: {}", thread.name(), lines[0]);
            }
        }
    }

    #[test]
    fn off_and_the_default_say_nothing() {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        for filter in [None, Some("off"), Some("warn")] {
            let vm = VmBuilder::usual(Accel::Tcg).env("PIN_CPUS", &cpus.second.to_string());
            let vm = filter.into_iter().fold(vm, |vm, filter| vm.env("PIN_LOG", filter));
            let Some(mut vm) = vm.start() else { return };
            vm.burst();
            let left = vm.quit();
            assert!(!left.stderr.contains("pinshim"), "{left:?}");
        }
    }
}
