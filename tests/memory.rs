//! `PIN_MEMORY`: every thread of a VM has the memory policy, which the kernel shows for each in `numa_maps`.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;

use harness::{
    Accel, LIBVIRT_SANDBOX, Program, TimeLimit, Vm, VmBuilder, command, kvm_and_tcg, library, qemu, skip,
    until,
};

/// A NUMA node that this process may have memory from. `None` after saying that the test is skipped.
fn node() -> Option<u32> {
    if !fs::exists("/proc/self/numa_maps").is_ok_and(|there| there) {
        skip("this kernel has no NUMA");
        return None;
    }
    let status = fs::read_to_string("/proc/self/status").expect("this process's status");
    let list =
        status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:\t")).expect("a list of nodes");
    Some(list.split(['-', ',']).next().expect("a first node").trim().parse().expect("a node's number"))
}

/// The policy of each thread's executable, a mapping which has none of its own, by the thread's name. The first line of
/// `numa_maps` is the executable's.
fn policies(vm: &Vm) -> BTreeMap<String, Vec<String>> {
    let mut policies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tid, name) in harness::threads(vm.pid()) {
        // A worker may have ended since.
        let Ok(maps) = fs::read_to_string(format!("/proc/{}/task/{tid}/numa_maps", vm.pid())) else {
            continue;
        };
        let Some(policy) = maps.lines().next().and_then(|line| line.split_whitespace().nth(1)) else {
            continue;
        };
        policies.entry(name).or_default().push(policy.to_owned());
    }
    policies
}

/// The policies of the VM's mappings of at least as many bytes as the guest's RAM has: that one, or what it lies in.
fn policies_of_the_guests_ram(vm: &Vm) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", vm.pid())).expect("the mappings");
    let policies = fs::read_to_string(format!("/proc/{}/numa_maps", vm.pid())).expect("their policies");
    let is_large = |range: &str| {
        let (first, end) = range.split_once('-')?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        (number(end)? - number(first)? >= 16 << 20).then(|| first.trim_start_matches('0').to_owned())
    };
    // Guard pages and reserved ranges may not be accessed at all.
    let writable = maps.lines().filter(|line| line.contains(" rw-"));
    let large: Vec<String> = writable.filter_map(|line| is_large(line.split(' ').next()?)).collect();
    let of_one = |begin: &String| {
        let line = policies.lines().find(|line| line.split(' ').next() == Some(begin))?;
        line.split(' ').nth(1).map(str::to_owned)
    };
    large.iter().filter_map(of_one).collect()
}

fn every_thread_has_the_policy(accel: Accel) {
    let _limit = TimeLimit::seconds(300);
    let Some(node) = node() else { return };
    for (word, shown, sandbox) in [
        ("strict", "bind", Some(LIBVIRT_SANDBOX)),
        ("preferred", "prefer", None),
        ("interleave", "interleave", Some(LIBVIRT_SANDBOX)),
        ("local", "local", None),
    ] {
        let (value, shown) = match word {
            "local" => ("local".to_owned(), "local".to_owned()),
            _ => (format!("{word}:{node}"), format!("{shown}:{node}")),
        };
        let vm = VmBuilder::usual(accel).env("PIN_MEMORY", &value);
        let vm = match sandbox {
            Some(sandbox) => vm.sandbox(sandbox),
            None => vm,
        };
        let Some(mut vm) = vm.start() else { return };
        vm.wait_visits(1);
        vm.burst();
        let policies = until(60, "a look at workers too", || {
            let policies = policies(&vm);
            policies.contains_key("worker").then_some(policies)
        });
        assert!(policies.len() >= 4, "{policies:?}");
        assert!(policies.values().flatten().all(|policy| *policy == shown), "{value}: {policies:?}");
        let ram = policies_of_the_guests_ram(&vm);
        assert!(!ram.is_empty() && ram.iter().all(|policy| *policy == shown), "{value}: {ram:?}");
        let pid = vm.pid().to_string();
        Program::new(command()).args(["check", &pid]).run().assert_clean();
        let said = Program::new(command()).args(["show", &pid]).run();
        assert!(said.assert_clean().stdout.contains(&format!("PIN_MEMORY={value}")), "{said:?}");
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
        assert!(vm.quit().status.success());
    }
}

kvm_and_tcg!(kvm_every_thread_has_the_policy, tcg_every_thread_has_the_policy, every_thread_has_the_policy);

#[test]
fn memory_that_qemu_binds_itself_stays_where_qemu_binds_it() {
    let _limit = TimeLimit::seconds(100);
    let Some(node) = node() else { return };
    let memory = format!("memory-backend-ram,id=ram,size=32M,host-nodes={node},policy=bind");
    let vm = VmBuilder::new(Accel::Tcg).env("PIN_MEMORY", "local").args(&[
        "-machine",
        "memory-backend=ram",
        "-m",
        "32",
        "-object",
        &memory,
    ]);
    let Some(vm) = vm.start() else { return };
    let ram = policies_of_the_guests_ram(&vm);
    assert!(ram.contains(&format!("bind:{node}")), "{ram:?}");
    assert!(policies(&vm).values().flatten().all(|policy| policy == "local"));
}

#[test]
fn a_node_that_does_not_exist_keeps_qemu_from_starting_and_those_that_do_are_named() {
    let _limit = TimeLimit::seconds(60);
    let Some(node) = node() else { return };
    let Some(qemu) = qemu().ok() else { return skip("there is no QEMU") };
    let said = |value: &str| {
        let finished = Program::new(&qemu).with_library().arg("-version").env("PIN_MEMORY", value).run();
        (finished.code(), finished.stderr)
    };
    let (status, text) = said("strict:1023");
    assert_eq!(status, 78, "{text}");
    let begin = format!("pinshim: PIN_MEMORY=strict:1023: column 8: node 1023 is not available here ({node}");
    assert!(text.starts_with(&begin) && text.lines().count() == 1, "{text}");
    assert_eq!(said("bind:0").0, 78);
    assert_eq!(said(&format!("strict:{node}")).0, 0);
    let tried = Program::new(command())
        .env("PINSHIM_LIB", library())
        .args(["run", "--memory", "strict:1023", "--dry-run", "--"])
        .arg(&qemu)
        .run();
    assert!(tried.stderr.contains("node 1023 is not available here"), "{tried:?}");
    let tried = Program::new(command())
        .env("PINSHIM_LIB", library())
        .args(["run", "--memory", &format!("preferred:{node}"), "--dry-run", "--"])
        .arg(&qemu)
        .run();
    assert!(tried.assert_clean().stdout.contains(&format!("memory of QEMU itself         preferred:{node}")));
}
