//! The CPUs of a host, and what each shares with others.

use pinning::{CpuId, CpuSet};
use std::collections::BTreeMap;

/// A host's CPUs that are online, lowest number first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    cpus: BTreeMap<CpuId, HostCpu>,
    is_amd: bool,
}

/// What a CPU shares with others, each named by a number that means nothing but "the same one".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCpu {
    /// The package (socket).
    pub package: u32,
    /// The NUMA node.
    pub node: u32,
    /// The last cache that several cores share, of level 3 on most hosts.
    pub cache: u32,
    /// The core. Its CPUs are SMT siblings.
    pub core: u32,
    /// How fast it is beside the host's other CPUs; 1024 is as fast as the fastest
    /// (`cpu_capacity` of the kernel's sysfs-devices-system-cpu).
    pub capacity: u32,
    /// Kept free of the scheduler's load balancing (`isolcpus=`, or an isolated cpuset partition).
    pub is_isolated: bool,
}

impl Topology {
    /// The topology of CPUs; of two with the same number the second counts.
    pub fn new(cpus: impl IntoIterator<Item = (CpuId, HostCpu)>) -> Self {
        Self { cpus: cpus.into_iter().collect(), is_amd: false }
    }

    /// The same, of processors that tell of siblings as AMD's do (CPUID leaf 8000001E, "topology extensions"). QEMU shows
    /// that leaf to a guest only with `topoext`, which `-cpu host` leaves out (no_autoenable_flags in its
    /// target/i386/cpu.c).
    #[must_use]
    pub fn of_amd(self, is_amd: bool) -> Self {
        Self { is_amd, ..self }
    }

    /// See [`Topology::of_amd`].
    pub fn is_amd(&self) -> bool {
        self.is_amd
    }

    /// A CPU, if it is online.
    pub fn get(&self, cpu: CpuId) -> Option<&HostCpu> {
        self.cpus.get(&cpu)
    }

    /// All CPUs, lowest number first.
    pub fn iter(&self) -> impl Iterator<Item = (CpuId, &HostCpu)> {
        self.cpus.iter().map(|(&cpu, about)| (cpu, about))
    }

    /// The numbers of all CPUs.
    pub fn cpus(&self) -> CpuSet {
        self.cpus.keys().copied().collect()
    }

    /// How many of something the given CPUs are in.
    pub fn spanned(&self, cpus: &CpuSet, of: impl Fn(&HostCpu) -> u32) -> usize {
        let mut seen: Vec<u32> = cpus.iter().filter_map(|cpu| self.get(cpu)).map(of).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    }

    /// The most SMT siblings that a core of this host has.
    pub fn threads_per_core(&self) -> u32 {
        let mut threads: BTreeMap<u32, u32> = BTreeMap::new();
        for about in self.cpus.values() {
            *threads.entry(about.core).or_default() += 1;
        }
        threads.values().copied().max().unwrap_or(1)
    }
}
