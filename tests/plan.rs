//! `pinshim plan`: what it reads of a host agrees with hwloc, and what it says places a real VM.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use harness::{
    Accel, Finished, HwlocHost, Program, Scratch, TimeLimit, VmBuilder, alone, command, cpus_of, or_skip,
    planned_groups, two_cpus,
};
use serde_json::Value;

/// Held by a test that plans on this host or runs a VM there: a plan leaves other VMs' CPUs to them.
static THIS_HOST: Mutex<()> = Mutex::new(());

fn plan(arguments: &[&str]) -> Finished {
    Program::new(command()).arg("plan").args(arguments).run()
}

/// A plan for this machine as if it ran no other VM, since a plan leaves those their CPUs: they are not seen from a PID
/// namespace of its own. Where there can be none, there had better be no other VM.
fn planned(arguments: &[&str]) -> Value {
    let program = match alone() {
        Some([first, rest @ ..]) => Program::new(first).args(rest).arg(command()),
        _ => Program::new(command()),
    };
    let finished = program.arg("plan").args(arguments).args(["--format", "json"]).run();
    serde_json::from_str(&finished.assert_clean().stdout).unwrap()
}

/// A host as /sys would describe it.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    packages: usize,
    nodes: usize,
    caches: usize,
    cores: usize,
    threads: usize,
    /// Every so manyth CPU is offline; 0: none is.
    offline: usize,
    /// How the siblings of a core are numbered: side by side, or after the first threads of all cores.
    is_side_by_side: bool,
}

/// A name, the packages, and of each kind how many there are in one of the kind before: nodes, caches, cores, threads.
const fn shape(name: &'static str, [packages, nodes, caches, cores, threads]: [usize; 5]) -> Shape {
    Shape { name, packages, nodes, caches, cores, threads, offline: 0, is_side_by_side: false }
}

const SHAPES: [Shape; 6] = [
    shape("a server", [2, 2, 4, 4, 2]),
    shape("a desktop without siblings", [1, 1, 1, 8, 1]),
    Shape { is_side_by_side: true, ..shape("siblings side by side", [2, 1, 2, 6, 2]) },
    Shape { offline: 5, ..shape("CPUs offline", [2, 2, 2, 3, 2]) },
    shape("an Arm server", [1, 2, 16, 4, 1]),
    shape("more than 1024 CPUs", [4, 4, 8, 5, 2]),
];

impl Shape {
    fn all_cores(&self) -> usize {
        self.packages * self.nodes * self.caches * self.cores
    }

    fn is_online(&self, cpu: usize) -> bool {
        self.offline == 0 || cpu % self.offline != 3
    }

    fn core_of(&self, cpu: usize) -> usize {
        if self.is_side_by_side { cpu / self.threads } else { cpu % self.all_cores() }
    }

    /// The online CPUs of which something is the same.
    fn alike(&self, of: impl Fn(usize) -> usize, number: usize) -> String {
        let all = 0..self.all_cores() * self.threads;
        let list: Vec<String> = all
            .filter(|&cpu| self.is_online(cpu) && of(self.core_of(cpu)) == number)
            .map(|cpu| cpu.to_string())
            .collect();
        list.join(",")
    }

    fn write(&self, root: &Path) {
        let write = |file: String, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("{text}\n")).unwrap();
        };
        let cpus = "sys/devices/system/cpu";
        let (cache, node) = (self.cores, self.caches * self.cores);
        let package = self.nodes * node;
        for name in ["online", "possible", "present"] {
            write(format!("{cpus}/{name}"), &self.alike(|_| 0, 0));
        }
        for number in 0..self.packages * self.nodes {
            let cpulist = self.alike(|core| core / node, number);
            write(format!("sys/devices/system/node/node{number}/cpulist"), &cpulist);
            write(format!("sys/devices/system/node/node{number}/cpumap"), &mask(&cpulist));
        }
        let nodes: Vec<String> = (0..self.packages * self.nodes).map(|node| node.to_string()).collect();
        write("sys/devices/system/node/online".to_owned(), &nodes.join(","));
        for cpu in (0..self.all_cores() * self.threads).filter(|&cpu| self.is_online(cpu)) {
            let core = self.core_of(cpu);
            let folder = format!("{cpus}/cpu{cpu}");
            let siblings = self.alike(|core| core, core);
            let in_package = self.alike(|core| core / package, core / package);
            write(format!("{folder}/topology/physical_package_id"), &(core / package).to_string());
            write(format!("{folder}/topology/core_id"), &core.to_string());
            for (names, list) in [
                (["core_cpus", "thread_siblings"], &siblings),
                (["package_cpus", "core_siblings"], &in_package),
            ] {
                for name in names {
                    write(format!("{folder}/topology/{name}_list"), list);
                    write(format!("{folder}/topology/{name}"), &mask(list));
                }
            }
            for (index, (level, list)) in
                [("2", siblings), ("3", self.alike(|core| core / cache, core / cache))]
                    .into_iter()
                    .enumerate()
            {
                let folder = format!("{folder}/cache/index{index}");
                write(format!("{folder}/level"), level);
                write(format!("{folder}/type"), "Unified");
                write(format!("{folder}/size"), "1024K");
                write(format!("{folder}/shared_cpu_list"), &list);
                write(format!("{folder}/shared_cpu_map"), &mask(&list));
            }
        }
    }
}

/// A cpulist as the kernel prints masks: groups of 32 bits, the highest first.
fn mask(list: &str) -> String {
    let mut words: Vec<u32> = vec![0];
    for cpu in list.split(',').filter_map(|cpu| cpu.parse::<usize>().ok()) {
        if words.len() <= cpu / 32 {
            words.resize(cpu / 32 + 1, 0);
        }
        words[cpu / 32] |= 1 << (cpu % 32);
    }
    words.iter().rev().map(|word| format!("{word:08x}")).collect::<Vec<_>>().join(",")
}

#[test]
fn hwloc_sees_the_same_packages_nodes_caches_and_cores() {
    let _limit = TimeLimit::seconds(120);
    for shape in SHAPES {
        let scratch = Scratch::new();
        shape.write(scratch.path());
        let root = scratch.path().to_str().unwrap();
        let document = planned(&["--sysfs", root, "--vcpus", "1"]);
        let Some(hwloc) = or_skip(HwlocHost::read(scratch.path())) else { return };
        for (kind, theirs) in
            [("package", "Package"), ("node", "NUMANode"), ("cache", "L3Cache"), ("core", "Core")]
        {
            let groups = hwloc.groups(theirs);
            assert!(!groups.is_empty(), "{}: hwloc finds no {theirs}", shape.name);
            assert_eq!(planned_groups(&document, kind), groups, "{}: {theirs}", shape.name);
        }
    }
}

#[test]
fn a_copy_of_this_host_is_planned_as_this_host_is() {
    let _limit = TimeLimit::seconds(120);
    let _alone = THIS_HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new();
    let copy = scratch.join("host");
    let copy = copy.to_str().unwrap();
    plan(&["--save-host", copy]).assert_clean();
    assert_eq!(planned(&["--sysfs", copy, "--vcpus", "1"])["host"], planned(&["--vcpus", "1"])["host"]);
    let again = plan(&["--save-host", copy]);
    assert_eq!(again.code(), 2, "{}", again.stderr);
    assert!(again.stderr.contains("there is a copy of a host already"), "{}", again.stderr);
}

#[test]
fn a_vm_runs_where_the_plan_says_and_the_next_plan_leaves_it_there() {
    let _limit = TimeLimit::seconds(120);
    let _alone = THIS_HOST.lock().unwrap_or_else(PoisonError::into_inner);
    if two_cpus().is_none() {
        return;
    }
    let document = planned(&["--vcpus", "1", "--iothreads", "1"]);
    let environment = document["plans"][0]["environment"].as_object().unwrap().clone();
    let vcpu = document["plans"][0]["vcpus"][0].as_u64().unwrap() as usize;
    let mut vm = VmBuilder::usual(Accel::Tcg).smp("1");
    for (name, value) in &environment {
        vm = vm.env(name, value.as_str().unwrap());
    }
    let Some(mut vm) = vm.start() else { return };
    vm.wait_visits(1);
    let pid = vm.pid();
    for (_, tid) in vm.qmp.vcpu_tids() {
        assert_eq!(cpus_of(&format!("{pid}/task/{tid}")), [vcpu]);
    }
    let full = plan(&["--vcpus", "1"]);
    assert_eq!(full.code(), 1, "{}", full.stdout);
    assert!(full.stderr.contains(&format!("(PID {pid}) has {vcpu}")), "{}", full.stderr);
}
