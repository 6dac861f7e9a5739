//! How long a VM's threads wait for their CPUs, as `show` and `check` say it: on a CPU of their own, and beside a process
//! that keeps the CPU busy.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Process, Program, TimeLimit, TwoCpus, Vm, VmBuilder, kvm_and_tcg, pinshim, root_missing, skip,
    two_cpus,
};
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// Held by a test that keeps a CPU busy: another one's would be in its way.
static ONE_HOG: Mutex<()> = Mutex::new(());

/// One vCPU on the second CPU, everything else on the first.
fn vm(accel: Accel, cpus: TwoCpus) -> Option<Vm> {
    if std::fs::read_to_string("/proc/self/schedstat").map_or(true, |text| text.trim() == "0 0 0") {
        skip("this kernel does not tell how long a thread waits (CONFIG_SCHED_INFO)");
        return None;
    }
    let vm = VmBuilder::new(accel).env("PIN_VCPUS", &cpus.second.to_string());
    let vm = vm.env("PIN_EMULATOR", &cpus.first.to_string()).start()?;
    vm.wait_visits(1);
    Some(vm)
}

/// A busy loop on a CPU, until it is dropped.
fn hog(cpu: usize) -> Process {
    Program::new("sh").args(["-c", "while :; do :; done"]).affinity(&[cpu]).start()
}

#[track_caller]
fn document(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn what_a_vcpu_waits_beside_a_busy_process_is_shown(accel: Accel) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let _alone = ONE_HOG.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(vm) = vm(accel, cpus) else { return };
    let pid = vm.pid().to_string();
    let _hogs = [hog(cpus.second), hog(cpus.second)];
    let checked = document(&pinshim(&["check", &pid, "--for", "1", "--json"]).assert_clean().stdout);
    let vcpus = checked["delays"].as_array().unwrap().iter().find(|delay| delay["role"] == "vcpu").unwrap();
    let (delay, longest) = (vcpus["delay_seconds"].as_f64(), vcpus["longest_at_most_seconds"].as_f64());
    assert!(delay > Some(0.0) && longest > Some(0.0) && longest <= delay, "{checked}");
    let shown = pinshim(&["show", &pid, "-o", "role,delay"]).assert_clean().stdout.clone();
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["ROLE", "DELAY"]);
    assert!(rows.iter().any(|row| row.first() == Some(&"vcpu") && row.last() != Some(&"-")), "{shown}");
    let shown = document(&pinshim(&["show", &pid, "--json"]).assert_clean().stdout);
    assert!(shown["vms"][0]["interval_seconds"].as_f64() >= Some(0.02), "{shown}");
    for thread in shown["vms"][0]["threads"].as_array().unwrap() {
        assert!(thread["delay_seconds"].as_f64() >= Some(0.0), "{thread}");
    }
}

kvm_and_tcg!(
    what_a_kvm_vcpu_waits_beside_a_busy_process_is_shown,
    what_a_tcg_vcpu_waits_beside_a_busy_process_is_shown,
    what_a_vcpu_waits_beside_a_busy_process_is_shown
);

fn a_busy_process_on_a_vcpus_cpu_is_named(accel: Accel) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let _alone = ONE_HOG.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(vm) = vm(accel, cpus) else { return };
    let pid = vm.pid().to_string();
    // It gets the most of its CPU, whatever else runs there: its own weight and that of its session's group (sched(7), "The
    // autogroup feature") are the largest.
    let script = "echo -20 2>/dev/null >/proc/self/autogroup; while :; do :; done";
    let hog = Program::new("nice").args(["-n", "-20", "sh", "-c", script]).affinity(&[cpus.second]).start();
    let words = ["check", &pid, "--for", "1.5", "--max-delay", "1ms"];
    let checked = pinshim(&words);
    assert_eq!((checked.code(), &*checked.stderr), (1, ""), "{checked:?}");
    assert!(
        checked.stdout.contains(" (vcpu 0) waited ") && checked.stdout.contains(" too long for a CPU (by "),
        "{checked:?}"
    );
    let name = format!("on CPU {} in these ", cpus.second);
    let named = checked.stdout.lines().find(|line| line.trim_start().starts_with(&name)).unwrap_or_default();
    match root_missing() {
        None => assert!(named.contains(&format!(" (PID {}) ", hog.pid())), "{checked:?}"),
        // It is one of several then, and others may have run longer.
        Some(_) => assert!(named.contains(" (PID "), "{checked:?}"),
    }
    let document = document(&pinshim(&[&words[..], &["--json"]].concat()).stdout);
    let late = &document["late"][0];
    assert_eq!((&late["role"], &late["cpu"]), (&"vcpu".into(), &cpus.second.into()), "{document}");
    assert!(late["waited_seconds"].as_f64() > Some(0.001) && document["ok"] == false, "{document}");
}

kvm_and_tcg!(
    a_busy_process_on_a_kvm_vcpus_cpu_is_named,
    a_busy_process_on_a_tcg_vcpus_cpu_is_named,
    a_busy_process_on_a_vcpus_cpu_is_named
);

fn a_vm_that_keeps_a_generous_limit_passes(accel: Accel) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let Some(vm) = vm(accel, cpus) else { return };
    let pid = vm.pid().to_string();
    let words = ["check", &pid, "--for", "1", "--max-delay", "100s", "--max-delay", "emulator=100s"];
    pinshim(&words).assert_clean();
}

kvm_and_tcg!(
    a_kvm_guest_that_keeps_a_generous_limit_passes,
    a_tcg_guest_that_keeps_a_generous_limit_passes,
    a_vm_that_keeps_a_generous_limit_passes
);
