//! A cpulist that both `taskset -c` and pinshim accept means the same CPUs to both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test")]

use std::cell::Cell;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pinning::CpuSet;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The CPUs that `taskset -c LIST` gives to a process. `None` where it refuses the list.
fn taskset(list: &str) -> Option<CpuSet> {
    let mut child = Command::new("taskset")
        .args(["-c", list, "grep", "Cpus_allowed_list", "/proc/self/status"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("taskset -c {list} does not end");
        }
        sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let list = text.split_whitespace().nth(1).filter(|_| output.status.success())?;
    Some(CpuSet::parse(list, &CpuSet::new()).unwrap())
}

#[test]
fn a_list_means_what_it_means_to_taskset() {
    if Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no taskset here");
        return;
    }
    // Only these CPUs are compared: the kernel leaves out, without an error, what else a list names.
    let Some(available) = taskset("0-4095") else {
        println!("skipped: taskset may not set an affinity here");
        return;
    };
    let last = available.iter().last().unwrap().0;
    let number = prop_oneof![3 => 0..=last, 1 => 0..=last + 70].prop_map(|cpu| cpu.to_string());
    let number = prop_oneof![8 => number.clone(), 1 => number.prop_map(|cpu| format!("00{cpu}"))];
    let item =
        (number.clone(), prop::option::of((number, prop::option::of(0..4u32)))).prop_map(|(first, more)| {
            match more {
                None => first,
                Some((last, None)) => format!("{first}-{last}"),
                Some((last, Some(step))) => format!("{first}-{last}:{step}"),
            }
        });
    let list = prop::collection::vec(item, 1..5).prop_map(|items| items.join(","));
    let compared = Cell::new(0);
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&list, |list| {
            if list.split([',', '-', ':']).any(|number| number.starts_with("00")) {
                prop_assert!(CpuSet::parse(&list, &CpuSet::new()).is_err(), "{} may be a mask", list);
                return Ok(());
            }
            if let (Ok(ours), Some(theirs)) = (CpuSet::parse(&list, &CpuSet::new()), taskset(&list)) {
                compared.set(compared.get() + 1);
                prop_assert_eq!(ours.intersection(&available), theirs, "{}", list);
            }
            Ok(())
        })
        .unwrap();
    let compared = compared.get();
    assert!(compared > 20, "only {compared} lists were accepted by both");
}
