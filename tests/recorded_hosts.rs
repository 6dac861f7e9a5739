//! `pinshim plan` on recordings of real hosts, old and new, of many architectures: hwloc, whose tests they are from, finds
//! the same packages, nodes, caches and cores in each.
//!
//! tests/recorded_hosts fetches them. They are kept outside of the tree, and are no part of it.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use harness::{
    Finished, Groups, HwlocHost, Program, Scratch, TimeLimit, command, long, or_skip, planned_groups,
};
use serde_json::Value;

/// What is not compared, and why it cannot agree.
const DIFFERENT: [(&str, &str, &str); 4] = [
    ("64fake-4n2s2ca2c2t", "cache", "shared_cpu_map and shared_cpu_list contradict each other"),
    ("64intel64-fakeKNL-A2A-cache", "cache", "a file of hwloc's own says that memory serves as a cache"),
    ("64intel64-fakeKNL-SNC4-hybrid", "cache", "a file of hwloc's own says that memory serves as a cache"),
    (
        "64amd64-4s2n4ca2co",
        "core",
        "the kernel has the two halves of a Bulldozer module as siblings, hwloc as cores",
    ),
];

/// The folder with a folder for each host, fetched if the long tests are asked for.
fn recorded() -> Result<PathBuf, String> {
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from("/var/cache"), PathBuf::from);
    let folder = env::var_os("PINSHIM_HOSTS").map_or_else(|| cache.join("pinshim-hosts"), PathBuf::from);
    if !folder.exists() {
        if !long() {
            return Err(format!(
                "there are no recorded hosts in {}; PINSHIM_LONG=1 fetches them",
                folder.display()
            ));
        }
        let fetch = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded_hosts");
        let fetched = Program::new(fetch).arg(&folder).run();
        if fetched.code() != 0 {
            return Err(format!("recorded hosts cannot be fetched: {}", fetched.stderr.trim()));
        }
    }
    Ok(folder)
}

fn hosts() -> Option<Vec<(String, PathBuf)>> {
    let folder = or_skip(recorded())?;
    let mut all: Vec<(String, PathBuf)> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    all.sort();
    assert!(all.len() >= 40, "only {} recordings", all.len());
    Some(all)
}

fn plan(root: &Path, arguments: &[&str]) -> Finished {
    Program::new(command()).args(["plan", "--sysfs", root.to_str().unwrap()]).args(arguments).run()
}

/// The groups, as far as the CPUs are concerned of which the others know.
fn within(groups: &Groups, others: &Groups) -> Groups {
    let known: BTreeSet<u64> = others.iter().flatten().copied().collect();
    groups.iter().map(|group| group & &known).filter(|group| !group.is_empty()).collect()
}

/// In what a plan and hwloc differ about a host, and how many things they agree about.
fn compare(name: &str, root: &Path, document: &Value, hwloc: &HwlocHost) -> (Vec<String>, usize) {
    let mut different = Vec::new();
    let mut compared = 0;
    for (kind, theirs) in [
        ("cpu", hwloc.groups("PU")),
        ("core", hwloc.groups("Core")),
        ("cache", hwloc.last_shared_caches()),
        ("node", hwloc.nodes(root)),
        ("package", hwloc.groups("Package")),
    ] {
        let ours = planned_groups(document, kind);
        let may_differ = DIFFERENT.iter().any(|(of, what, _)| *of == name && *what == kind);
        // Old kernels, and some architectures, do not say all of it; then hwloc knows none, or none for some CPUs.
        match (within(&ours, &theirs) == theirs, may_differ) {
            (true, false) => compared += theirs.len(),
            (true, true) => different.push(format!("{name}: {kind} agrees by now")),
            (false, true) => {}
            (false, false) => different.push(format!("{name}: {kind}: {ours:?}, and hwloc {theirs:?}")),
        }
    }
    (different, compared)
}

/// What /sys says of a virtual machine with two CPUs under Linux 6.18, as `pinshim plan --save-host` has written it.
#[test]
fn two_cores_of_a_virtual_machine() {
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    for line in include_str!("hosts/two-cores").lines() {
        let (file, text) = line.split_once(": ").unwrap();
        let file = scratch.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{text}\n")).unwrap();
    }
    let document = plan(scratch.path(), &["--vcpus", "1", "--format", "json"]);
    let document: Value = serde_json::from_str(&document.assert_clean().stdout).unwrap();
    assert_eq!(document["plans"][0]["environment"], serde_json::json!({"PIN_CPUS": "0", "PIN_VCPUS": "1"}));
    let Some(hwloc) = or_skip(HwlocHost::read(scratch.path())) else { return };
    assert_eq!(compare("two-cores", scratch.path(), &document, &hwloc), (Vec::new(), 7));
}

#[test]
fn hwloc_sees_the_same_in_every_recorded_host() {
    let _limit = TimeLimit::seconds(300);
    let Some(hosts) = hosts() else { return };
    let mut different = Vec::new();
    let mut compared = 0;
    for (name, root) in hosts {
        let Some(hwloc) = or_skip(HwlocHost::read(&root)) else { return };
        // Of one that has no room for a VM it says what the host is all the same.
        let finished = plan(&root, &["--vcpus", "1", "--format", "json"]);
        match serde_json::from_str(&finished.stdout) {
            Ok(document) => {
                let (more, count) = compare(&name, &root, &document, &hwloc);
                different.extend(more);
                compared += count;
            }
            Err(_) => different.push(format!("{name}: {finished:?}")),
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(compared > 2000, "only {compared} things were compared");
}

#[test]
fn every_recorded_host_is_planned_and_no_cpu_is_given_twice() {
    let _limit = TimeLimit::seconds(300);
    let Some(hosts) = hosts() else { return };
    let mut planned = 0;
    for (name, root) in hosts {
        let document = plan(&root, &["--vcpus", "1", "--format", "json"]);
        let document: Value = serde_json::from_str(&document.stdout).unwrap();
        let online: BTreeSet<u64> = planned_groups(&document, "cpu").into_iter().flatten().collect();
        for vcpus in [1, 2, online.len() / 4, online.len() / 2, online.len()].map(|count| count.max(1)) {
            let vcpus = vcpus.to_string();
            for more in [&["--vms", "1"][..], &["--vms", "2", "--iothreads", "1"]] {
                let finished = plan(&root, &[&["--vcpus", &vcpus, "--format", "json"], more].concat());
                assert!([0, 1].contains(&finished.code()), "{name}, {vcpus} vCPUs: {finished:?}");
                let document: Value = serde_json::from_str(&finished.stdout).unwrap();
                let plans = document["plans"].as_array().unwrap();
                let given: Vec<u64> = plans
                    .iter()
                    .flat_map(|plan| plan["vcpus"].as_array().unwrap())
                    .filter_map(Value::as_u64)
                    .collect();
                let once: BTreeSet<u64> = given.iter().copied().collect();
                assert!(
                    once.len() == given.len() && once.is_subset(&online),
                    "{name}, {vcpus} vCPUs: {given:?}"
                );
                planned += plans.len();
            }
        }
        for format in ["table", "env", "libvirt", "qemu"] {
            let finished = plan(&root, &["--vcpus", "1", "--format", format]);
            assert!([0, 1].contains(&finished.code()), "{name}, {format}: {finished:?}");
        }
    }
    assert!(planned > 200, "only {planned} plans");
}
