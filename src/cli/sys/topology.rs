//! What the CPUs of a host share, from /sys (Documentation/ABI/stable/sysfs-devices-system-cpu of the kernel).

use crate::sys::host_tree::{CPUS, HostTree, NODES, cpu_folder};
use pinning::{CPU_LIMIT, CpuId, CpuSet};
use planning::{HostCpu, Topology};
use std::collections::BTreeMap;
use std::path::Path;

/// As fast as the fastest CPU of the host.
const FULL_CAPACITY: u32 = 1024;

/// The CPUs that are online, and what they share. What /sys does not say is taken to be one for all.
pub(crate) fn read(host: &HostTree<'_>) -> Topology {
    let online = online(host);
    let isolated = isolated(host);
    let capacities = Capacities::read(host);
    let nodes: BTreeMap<u32, CpuSet> =
        (host.numbered(NODES, "node").into_iter()).map(|node| (node, of_node(host, node))).collect();
    let cpu = |cpu: CpuId| {
        let folder = cpu_folder(cpu);
        let topology = folder.join("topology");
        let package_cpus = listed(host, &topology, &["package_cpus", "core_siblings"], &online);
        let siblings = listed(host, &topology, &["core_cpus", "thread_siblings"], &online);
        let node = nodes.iter().find(|(_, cpus)| cpus.contains(cpu)).map_or(0, |(&node, _)| node);
        let core = first(&siblings, cpu);
        let package = first(&package_cpus, CpuId(0));
        let cluster = host.cpus(topology.join("cluster_cpus_list")).intersection(&online);
        let cache = last_shared_cache(host, &folder, &siblings, &online)
            .or_else(|| (cluster.len() > siblings.len()).then(|| first(&cluster, cpu)))
            .unwrap_or_else(|| first(&package_cpus, CpuId(0)));
        let (capacity, is_isolated) = (capacities.of(host, cpu), isolated.contains(cpu));
        (cpu, HostCpu { package, node, cache, core, capacity, is_isolated })
    };
    let mut all: Vec<(CpuId, HostCpu)> = online.iter().map(cpu).collect();
    number_packages(host, &mut all);
    Topology::new(all).of_amd(vendor(host).is_some_and(|vendor| AMD.contains(&vendor.as_str())))
}

/// AMD, and Hygon, whose processors are AMD's.
const AMD: [&str; 2] = ["AuthenticAMD", "HygonGenuine"];

/// Who made the host's processors (cpuid(4)); `None` on another architecture than x86.
pub(crate) fn vendor(host: &HostTree<'_>) -> Option<String> {
    host.first_value(CPUINFO, VENDOR)
}

/// The file that says it, and how it is called there.
pub(crate) const CPUINFO: &str = "proc/cpuinfo";
pub(crate) const VENDOR: &str = "vendor_id";

/// Gives the packages the numbers that the host has for them, where these tell all packages apart: some firmware counts
/// anew in each NUMA node.
fn number_packages(host: &HostTree<'_>, all: &mut [(CpuId, HostCpu)]) {
    let id = |cpu: CpuId| host.number(cpu_folder(cpu).join("topology/physical_package_id"));
    let ids: Option<Vec<u32>> = all.iter().map(|&(cpu, _)| id(cpu)).collect();
    let Some(ids) = ids else { return };
    let mut packages = BTreeMap::new();
    let mut tells_apart = |package: u32, id: u32| *packages.entry(id).or_insert(package) == package;
    if all.iter().zip(&ids).all(|((_, about), &id)| tells_apart(about.package, id)) {
        all.iter_mut().zip(ids).for_each(|((_, about), id)| about.package = id);
    }
}

/// The CPUs that are online. Old kernels have no list of them, but a file for each CPU that can be taken offline.
fn online(host: &HostTree<'_>) -> CpuSet {
    let listed = host.cpus(format!("{CPUS}/online"));
    if !listed.is_empty() {
        return listed;
    }
    let all = host.numbered(CPUS, "cpu").into_iter().filter(|&cpu| cpu < CPU_LIMIT).map(CpuId);
    all.filter(|&cpu| host.number(cpu_folder(cpu).join("online")) != Some(0)).collect()
}

fn of_node(host: &HostTree<'_>, node: u32) -> CpuSet {
    let folder = Path::new(NODES).join(format!("node{node}"));
    host.cpus_of_either(folder.join("cpulist"), folder.join("cpumap"))
}

/// The lowest CPU of a set stands for what its CPUs share.
fn first(cpus: &CpuSet, otherwise: CpuId) -> u32 {
    cpus.iter().next().unwrap_or(otherwise).0
}

/// The first of these files that can be read, the one of today's kernels before that of older ones.
fn listed(host: &HostTree<'_>, folder: &Path, files: &[&str], online: &CpuSet) -> CpuSet {
    let list_and_mask = |name: &&str| {
        host.cpus_of_either(folder.join(format!("{name}_list")), folder.join(name)).intersection(online)
    };
    let mut lists = files.iter().map(list_and_mask);
    lists.find(|list| !list.is_empty()).unwrap_or_default()
}

/// The lowest CPU that shares the cache of the highest level with this one, if other cores share it too.
fn last_shared_cache(host: &HostTree<'_>, folder: &Path, siblings: &CpuSet, online: &CpuSet) -> Option<u32> {
    let caches = folder.join("cache");
    let shared = host.numbered(&caches, "index").into_iter().filter_map(|index| {
        let cache = caches.join(format!("index{index}"));
        let level = host.number(cache.join("level"))?;
        let cpus = host.cpus_of_either(cache.join("shared_cpu_list"), cache.join("shared_cpu_map"));
        let cpus = cpus.intersection(online);
        (cpus.len() > siblings.len()).then_some((level, cpus))
    });
    let (_, cpus) = shared.max_by_key(|(level, _)| *level)?;
    cpus.iter().next().map(|cpu| cpu.0)
}

/// The CPUs on which the scheduler balances no load: since the start (`isolcpus=`), or in an isolated partition of the
/// cgroup v2 hierarchy (cpuset.cpus.isolated of the kernel's admin-guide/cgroup-v2).
fn isolated(host: &HostTree<'_>) -> CpuSet {
    let partitions = ["sys/fs/cgroup/cpuset.cpus.isolated", "sys/fs/cgroup/unified/cpuset.cpus.isolated"];
    let partitions = partitions.iter().map(|file| host.cpus(file));
    partitions.fold(host.cpus(format!("{CPUS}/isolated")), |all, partition| all.union(&partition))
}

/// How fast CPUs are beside one another.
struct Capacities {
    /// The slow cores of a hybrid processor of Intel's, and how fast they are.
    slow: CpuSet,
    slow_capacity: u32,
}

impl Capacities {
    fn read(host: &HostTree<'_>) -> Self {
        // A hybrid processor has a PMU for each kind of core (Documentation/admin-guide/perf of the kernel).
        let slow = host.cpus("sys/devices/cpu_atom/cpus");
        let fast = host.cpus("sys/devices/cpu_core/cpus");
        let most = |cpus: &CpuSet| -> Option<u32> {
            cpus.iter().filter_map(|cpu| host.number(cpu_folder(cpu).join("cpufreq/cpuinfo_max_freq"))).max()
        };
        // Half as fast, where /sys does not say: only the order counts.
        let ratio =
            |slow: u32, fast: u32| u64::from(slow) * u64::from(FULL_CAPACITY) / u64::from(fast.max(1));
        let slow_capacity = match (most(&slow), most(&fast)) {
            (Some(slow), Some(fast)) if slow < fast => u32::try_from(ratio(slow, fast)).ok(),
            _ => None,
        };
        Self { slow, slow_capacity: slow_capacity.unwrap_or(FULL_CAPACITY / 2) }
    }

    fn of(&self, host: &HostTree<'_>, cpu: CpuId) -> u32 {
        match host.number(cpu_folder(cpu).join("cpu_capacity")) {
            Some(capacity) => capacity.min(FULL_CAPACITY),
            None if self.slow.contains(cpu) => self.slow_capacity,
            None => FULL_CAPACITY,
        }
    }
}

/// The free memory of each NUMA node, in bytes.
pub(crate) fn free_memory(host: &HostTree<'_>) -> BTreeMap<u32, u64> {
    let of = |node: u32| {
        let text = host.text(format!("{NODES}/node{node}/meminfo"))?;
        // `Node 0 MemFree:        12345 kB`
        let line = text.lines().find(|line| line.contains(" MemFree:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
        Some((node, kilobytes.saturating_mul(1024)))
    };
    host.numbered(NODES, "node").into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};

    /// A CPU's files: package, siblings, and the CPUs that share its caches of level 2 and 3.
    fn cpu(kernel: &FakeKernel, number: u32, package: &str, siblings: &str, level_2: &str, level_3: &str) {
        let write = |file: &str, text: &str| kernel.write(format!("/{CPUS}/cpu{number}/{file}"), text);
        write("topology/physical_package_id", &format!("{package}\n"));
        write("topology/core_cpus_list", siblings);
        for (index, (level, list)) in
            [("1", siblings), ("2", level_2), ("3", level_3)].into_iter().enumerate()
        {
            if !list.is_empty() {
                write(&format!("cache/index{index}/level"), level);
                write(&format!("cache/index{index}/shared_cpu_list"), list);
            }
        }
    }

    #[test]
    fn what_cpus_share_is_read() {
        let kernel = FakeKernel::new();
        kernel.write(format!("/{CPUS}/online"), "0-2,4-7\n");
        for (number, siblings) in
            [(0, "0,4"), (1, "1,5"), (2, "2,6"), (4, "0,4"), (5, "1,5"), (6, "2,6"), (7, "3,7")]
        {
            let (package, cache) = if number % 4 < 2 { ("0", "0-1,4-5") } else { ("1", "2-3,6-7") };
            cpu(&kernel, number, package, siblings, siblings, cache);
        }
        kernel.write(format!("/{NODES}/node0/cpulist"), "0-1,4-5\n");
        kernel.write(format!("/{NODES}/node1/cpulist"), "2-3,6-7\n");
        kernel.write(format!("/{NODES}/node1/meminfo"), "Node 1 MemTotal: 9 kB\nNode 1 MemFree:   4 kB\n");
        kernel.write(format!("/{CPUS}/isolated"), "5\n");
        kernel.write("/sys/fs/cgroup/cpuset.cpus.isolated", "6\n");
        let host = HostTree::here(&kernel);
        let topology = read(&host);
        assert_eq!(topology.cpus(), cpus("0-2,4-7"));
        let about = |cpu| *topology.get(CpuId(cpu)).unwrap();
        let expected = HostCpu { package: 0, node: 0, cache: 0, core: 0, capacity: 1024, is_isolated: false };
        assert_eq!((about(0), about(4)), (expected, expected));
        assert_eq!(about(5), HostCpu { core: 1, is_isolated: true, ..expected });
        let second = HostCpu { package: 1, node: 1, cache: 2, core: 2, ..expected };
        assert_eq!((about(2), about(6)), (second, HostCpu { is_isolated: true, ..second }));
        // Its sibling 3 is offline.
        assert_eq!(about(7), HostCpu { core: 7, ..second });
        assert_eq!(free_memory(&host), [(1, 4096)].into());
    }

    #[test]
    fn a_cache_that_only_siblings_share_makes_no_neighbours() {
        let kernel = FakeKernel::new();
        kernel.write(format!("/{CPUS}/online"), "0-3");
        for (number, siblings) in [(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")] {
            cpu(&kernel, number, "-1", siblings, siblings, "");
            kernel.write(format!("/{CPUS}/cpu{number}/topology/package_cpus_list"), "0-3");
        }
        let topology = read(&HostTree::here(&kernel));
        assert_eq!(topology.spanned(&cpus("0-3"), |cpu| cpu.cache), 1);
        assert_eq!(topology.spanned(&cpus("0-3"), |cpu| cpu.package), 1);
        assert_eq!(topology.threads_per_core(), 2);
        // Clusters, as some Arm servers have them instead.
        for number in 0..4 {
            let cluster = if number < 2 { "0-1" } else { "2-3" };
            kernel.write(format!("/{CPUS}/cpu{number}/topology/core_cpus_list"), number.to_string());
            kernel.write(format!("/{CPUS}/cpu{number}/cache/index0/shared_cpu_list"), number.to_string());
            kernel.write(format!("/{CPUS}/cpu{number}/cache/index1/shared_cpu_list"), number.to_string());
            kernel.write(format!("/{CPUS}/cpu{number}/topology/cluster_cpus_list"), cluster);
        }
        let topology = read(&HostTree::here(&kernel));
        assert_eq!(topology.spanned(&cpus("0-3"), |cpu| cpu.cache), 2);
    }

    #[test]
    fn hybrid_processors_tell_which_cores_are_fast() {
        let kernel = FakeKernel::new();
        kernel.write(format!("/{CPUS}/online"), "0-2");
        kernel.write("/sys/devices/cpu_core/cpus", "0-1");
        kernel.write("/sys/devices/cpu_atom/cpus", "2");
        let capacity = |cpu| read(&HostTree::here(&kernel)).get(CpuId(cpu)).unwrap().capacity;
        assert_eq!((capacity(0), capacity(2)), (1024, 512));
        kernel.write(format!("/{CPUS}/cpu0/cpufreq/cpuinfo_max_freq"), "5000000");
        kernel.write(format!("/{CPUS}/cpu2/cpufreq/cpuinfo_max_freq"), "4000000");
        assert_eq!((capacity(1), capacity(2)), (1024, 819));
        // Arm's own words come first.
        kernel.write(format!("/{CPUS}/cpu1/cpu_capacity"), "446");
        assert_eq!(capacity(1), 446);
    }

    #[test]
    fn packages_of_one_number_are_told_apart_by_their_cpus() {
        let kernel = FakeKernel::new();
        kernel.write(format!("/{CPUS}/online"), "0-3");
        let packages = |ids: [&str; 4]| {
            for (number, id) in (0..).zip(ids) {
                cpu(&kernel, number, id, &number.to_string(), "", "");
                let siblings = if number < 2 { "0-1" } else { "2-3" };
                kernel.write(format!("/{CPUS}/cpu{number}/topology/core_siblings_list"), siblings);
            }
            let topology = read(&HostTree::here(&kernel));
            [0, 1, 2, 3].map(|cpu| topology.get(CpuId(cpu)).unwrap().package)
        };
        assert_eq!(packages(["36", "36", "3", "3"]), [36, 36, 3, 3]);
        assert_eq!(packages(["0", "0", "0", "0"]), [0, 0, 2, 2]);
        assert_eq!(packages(["-1", "-1", "-1", "-1"]), [0, 0, 2, 2]);
    }

    /// As Linux 2.6.24 has it: masks without lists, and no list of the CPUs that are online.
    #[test]
    fn an_old_kernel_that_has_masks_alone_is_understood() {
        let kernel = FakeKernel::new();
        for (number, siblings) in [(0, "0000,00000003"), (1, "0000,00000003"), (2, "4"), (3, "8")] {
            let write = |file: &str, text: &str| kernel.write(format!("/{CPUS}/cpu{number}/{file}"), text);
            write("topology/physical_package_id", "0");
            write("topology/thread_siblings", siblings);
            write("topology/core_siblings", "f");
            write("cache/index2/level", "2");
            write("cache/index2/shared_cpu_map", if number < 2 { "3" } else { "c" });
        }
        kernel.write(format!("/{CPUS}/online"), "");
        kernel.write(format!("/{CPUS}/cpu3/online"), "0\n");
        kernel.write(format!("/{CPUS}/cpuidle/current_driver"), "none\n");
        kernel.write(format!("/{NODES}/node0/cpumap"), "00000003");
        kernel.write(format!("/{NODES}/node1/cpumap"), "0000000c");
        let topology = read(&HostTree::here(&kernel));
        let cpu = |node, core| HostCpu { node, core, capacity: 1024, ..HostCpu::default() };
        let expected = [(CpuId(0), cpu(0, 0)), (CpuId(1), cpu(0, 0)), (CpuId(2), cpu(1, 2))];
        assert_eq!(topology, Topology::new(expected));
    }

    #[test]
    fn amds_processors_are_known_by_their_vendor() {
        let kernel = FakeKernel::new();
        let is_amd = || read(&HostTree::here(&kernel)).is_amd();
        assert!(!is_amd());
        for (vendor, expected) in [("AuthenticAMD", true), ("HygonGenuine", true), ("GenuineIntel", false)] {
            let of_cpu = |cpu: u32| format!("processor\t: {cpu}\nvendor_id\t: {vendor}\nflags\t\t: fpu\n\n");
            kernel.write("/proc/cpuinfo", (0..1000).map(of_cpu).collect::<String>());
            assert_eq!(is_amd(), expected, "{vendor}");
        }
        kernel.write("/proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n");
        assert!(!is_amd());
    }

    #[test]
    fn a_host_that_says_nothing_has_one_of_everything() {
        let kernel = FakeKernel::new();
        kernel.write(format!("/{CPUS}/online"), "0,3");
        let topology = read(&HostTree::here(&kernel));
        let cpu = |core| HostCpu { core, capacity: 1024, ..HostCpu::default() };
        assert_eq!(topology, Topology::new([(CpuId(0), cpu(0)), (CpuId(3), cpu(3))]));
        assert!(free_memory(&HostTree::here(&kernel)).is_empty());
    }
}
