//! Hosts for the tests.

#![allow(dead_code, reason = "each test file uses some of it")]

use pinning::{CpuId, CpuSet};
use planning::{Free, HostCpu, Request, Topology};

/// A set of CPUs from its numbers.
pub(crate) fn cpus(numbers: impl IntoIterator<Item = u32>) -> CpuSet {
    numbers.into_iter().map(CpuId).collect()
}

/// Packages of nodes of caches of cores of threads. CPUs are numbered as Linux does it on most hosts: first one thread
/// of each core, then the siblings.
pub(crate) fn regular(packages: u32, nodes: u32, caches: u32, cores: u32, threads: u32) -> Topology {
    let all = packages * nodes * caches * cores;
    let of_core = |core: u32| HostCpu {
        package: core / (nodes * caches * cores),
        node: core / (caches * cores),
        cache: core / cores,
        core,
        capacity: 1024,
        is_isolated: false,
    };
    let each = |thread: u32| (0..all).map(move |core| (CpuId(thread * all + core), of_core(core)));
    Topology::new((0..threads).flat_map(each))
}

/// The same host with some CPUs changed.
pub(crate) fn changed(host: &Topology, change: impl Fn(CpuId, &mut HostCpu)) -> Topology {
    Topology::new(host.iter().map(|(cpu, about)| {
        let mut about = *about;
        change(cpu, &mut about);
        (cpu, about)
    }))
}

/// A host of which everything is free.
pub(crate) fn all_free(host: &Topology) -> Free {
    Free { available: host.cpus(), ..Free::default() }
}

/// A VM with so many vCPUs and IOThreads.
pub(crate) fn request(vcpus: u32, iothreads: u32) -> Request {
    Request { vcpus, iothreads, ..Request::default() }
}
