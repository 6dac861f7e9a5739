//! What is asked for, and what is free.

use pinning::CpuSet;
use std::collections::BTreeMap;

/// A VM that CPUs are chosen for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// How many vCPUs.
    pub vcpus: u32,
    /// How many IOThreads.
    pub iothreads: u32,
    /// How many vCPUs go on a core, at most; as many as it has SMT siblings where this says nothing.
    pub threads_per_core: Option<u32>,
    /// The NUMA node that all must be on.
    pub node: Option<u32>,
    /// The CPUs that are nearest to a device, which are better than others.
    pub near: Option<CpuSet>,
    /// The guest's memory in bytes, which the nodes of the vCPUs should have free.
    pub memory: Option<u64>,
}

/// What of a host may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Free {
    /// The CPUs that a program may be put on: those of the cpuset.
    pub available: CpuSet,
    /// The CPUs that the user keeps for something else.
    pub reserved: CpuSet,
    /// The CPUs that other VMs have for themselves.
    pub taken: Vec<Taken>,
    /// The CPUs that others may run on, though not they alone: better left to them, where there is a choice.
    pub shared: Vec<CpuSet>,
    /// Free memory in bytes, by NUMA node. A node that is not here is not known, and has enough.
    pub memory: BTreeMap<u32, u64>,
}

/// CPUs that a VM has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub cpus: CpuSet,
    /// Whose, for the user to read: `web (pid 1234)`.
    pub by: String,
    /// Whether it has leased them, so that nobody else gets them wherever its threads may run.
    pub is_leased: bool,
}

impl Free {
    /// The CPUs of all other VMs.
    pub fn taken_cpus(&self) -> CpuSet {
        self.taken.iter().fold(CpuSet::new(), |all, taken| all.union(&taken.cpus))
    }

    /// The CPUs that may be chosen.
    pub fn cpus(&self) -> CpuSet {
        self.available.difference(&self.reserved).difference(&self.taken_cpus())
    }
}
