//! Whether the VM's memory is on the NUMA nodes of its vCPUs, and whether the kernel moves it about.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, of_file, read};
use crate::doctor::subject::Subject;
use crate::sys::host_tree::{HostTree, NODES};
use crate::sys::numa_maps::kilobytes_by_node;
use std::collections::BTreeMap;

const TOPIC: &str = "memory";

/// Less than this part of the memory on other nodes does not matter: libraries that other programs use too are there.
const PART: u64 = 20;

/// Whether the kernel moves memory to the node of the CPU that uses it (admin-guide/sysctl/kernel of its Documentation).
const BALANCING: &str = "/proc/sys/kernel/numa_balancing";

/// Looks at the pages of QEMU on each node (`numa_maps` in proc_pid_numa_maps(5)), on a host that has several. The kernel walks
/// over all of QEMU's memory for it, as it does for numastat(8).
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let nodes = HostTree::here(subject.kernel()).numbered(NODES, "node");
    if nodes.len() < 2 {
        return vec![Finding::ok(TOPIC, "the host has one NUMA node")];
    }
    let place = subject.vm.map(|seen| place(subject, seen.vm.process.file("numa_maps"), seen.vm.process.pid));
    place.into_iter().chain(balancing(subject)).collect()
}

fn place(subject: &Subject<'_, '_>, file: std::path::PathBuf, pid: i32) -> Finding {
    let text = match read(subject.kernel(), &file) {
        Reading::Text(text) => text,
        Reading::Absent => return Finding::ok(TOPIC, "the kernel has no NUMA"),
        Reading::Failed(error) => return Finding::unread(TOPIC, file, &error),
    };
    let topology = &subject.host.topology;
    let own: Vec<u32> = subject.cpus.iter().filter_map(|cpu| Some(topology.get(cpu)?.node)).collect();
    let mut near: Vec<u32> = own.clone();
    near.sort_unstable();
    near.dedup();
    let by_node = kilobytes_by_node(&text);
    let all = by_node.values().fold(0u64, |all, kilobytes| all.saturating_add(*kilobytes));
    let far: BTreeMap<u32, u64> = by_node.into_iter().filter(|(node, _)| !near.contains(node)).collect();
    let away = far.values().fold(0u64, |all, kilobytes| all.saturating_add(*kilobytes));
    let list = |nodes: &[u32]| nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let (near, far) = (list(&near), list(&far.into_keys().collect::<Vec<_>>()));
    let amounts = format!("{} of {} MiB on other nodes", away / 1024, all / 1024);
    if away <= all / PART {
        return Finding::ok(TOPIC, format!("it is on the vCPUs' NUMA nodes ({near})")).read(file, amounts);
    }
    let what = format!("{} MiB are on NUMA nodes {far}, and the vCPUs on {near}", away / 1024);
    let to_do = format!(
        "now, as root: migratepages {pid} {far} {near}; for good: start it with PIN_MEMORY=strict:{near}, and a memory \
         backend with host-nodes={near},policy=bind if it has one"
    );
    Finding::fix(TOPIC, what, to_do).read(file, amounts)
}

fn balancing(subject: &Subject<'_, '_>) -> Option<Finding> {
    const TOPIC: &str = "numa-balancing";
    of_file(subject.kernel(), TOPIC, BALANCING, None, |text| {
        if text == "0" {
            return Finding::ok(TOPIC, "the kernel moves no memory about");
        }
        let what = "the kernel takes pages away for a moment to see who uses them, and each stops a vCPU";
        Finding::note(TOPIC, what).and_do(format!("as root: echo 0 > {BALANCING}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    fn two_nodes() -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.write(format!("/{NODES}/node0/cpulist"), "0-2\n");
        kernel.write(format!("/{NODES}/node1/cpulist"), "3\n");
        kernel
    }

    fn maps(far: u32) -> String {
        format!(
            "55d0c8a00000 default file=/usr/bin/q\\040x mapped=9 N0=100 N1={far} kernelpagesize_kB=4\n\
             7f0000000000 bind:0 anon=512 dirty=512 N0=4 N1=0 kernelpagesize_kB=2048\n"
        )
    }

    #[test]
    fn memory_on_another_node_is_to_be_moved() {
        let kernel = two_nodes();
        let vm = web(&kernel).write("numa_maps", maps(1));
        let ok =
            "ok memory: it is on the vCPUs' NUMA nodes (0) (/proc/100/numa_maps: 0 of 8 MiB on other nodes)";
        assert_eq!(said(&kernel, examine), [ok]);
        let _ = vm.write("numa_maps", maps(1024));
        let fix = "fix memory: 4 MiB are on NUMA nodes 1, and the vCPUs on 0 (/proc/100/numa_maps: 4 of 12 MiB on other \
                   nodes) -> now, as root: migratepages 100 1 0; for good: start it with PIN_MEMORY=strict:0, and a memory \
                   backend with host-nodes=0,policy=bind if it has one";
        assert_eq!(said(&kernel, examine), [fix]);
        // vCPUs on both nodes.
        kernel.move_to(101, "3");
        assert!(said(&kernel, examine)[0].starts_with("ok memory: it is on the vCPUs' NUMA nodes (0,1)"));
        kernel.deny("/proc/100/numa_maps");
        assert!(said(&kernel, examine)[0].contains("(/proc/100/numa_maps: permission denied)"));
    }

    #[test]
    fn a_host_with_one_node_has_no_other() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.write(format!("/{NODES}/node0/cpulist"), "0-3\n");
        assert_eq!(said(&kernel, examine), ["ok memory: the host has one NUMA node"]);
    }

    #[test]
    fn balancing_is_noted_where_there_are_several_nodes() {
        let kernel = two_nodes();
        let said = || said_of_cpus(&kernel, "1", examine);
        assert_eq!(said(), [""; 0]);
        kernel.write(BALANCING, "1\n");
        assert!(
            said()[0].starts_with("note numa-balancing: ")
                && said()[0].ends_with(&format!("echo 0 > {BALANCING}"))
        );
        kernel.write(BALANCING, "0\n");
        assert!(said()[0].starts_with("ok numa-balancing: "));
        kernel.deny(BALANCING);
        assert!(said()[0].starts_with("note numa-balancing: not known"));
    }
}
