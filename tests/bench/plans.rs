//! How long it takes to choose CPUs on a large host.

use std::time::Instant;

use pinning::{CpuId, CpuSet};
use planning::{Free, HostCpu, Request, Taken, Topology, plan};

use crate::report::Report;

const ROUNDS: usize = 5;

pub(crate) fn measure(report: &mut Report) {
    report.at_most("planning a VM on a host with 1024 CPUs, the slowest", slowest(8), 100.0, " ms");
    report.at_most("the same with 2048 CPUs", slowest(16), 100.0, " ms");
}

/// The longest that a plan takes, in milliseconds, of VMs of several sizes on a host with so many NUMA nodes of 128 CPUs.
fn slowest(nodes: u32) -> f64 {
    let host = host(nodes);
    let all = host.cpus();
    // Whatever is already there makes the rest uneven: every seventh core is another VM's.
    let cores = nodes * CORES_OF_A_NODE;
    let taken: CpuSet = all.iter().filter(|cpu| cpu.0 % cores % 7 == 3).collect();
    let others = vec![Taken { cpus: taken, by: "another".to_owned(), is_leased: false }];
    let requests =
        [1, 2, 7, 16, 63, 64, 200, 256].map(|vcpus| Request { vcpus, iothreads: 2, ..Request::default() });
    let time = |free: &Free, request: &Request| {
        let times = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            let planned = plan(&host, free, request);
            let elapsed = start.elapsed().as_secs_f64() * 1e3;
            assert!(planned.is_ok(), "{} vCPUs: {planned:?}", request.vcpus);
            elapsed
        });
        times.fold(f64::INFINITY, f64::min)
    };
    let empty = Free { available: all, ..Free::default() };
    let uneven = Free { taken: others, ..empty.clone() };
    let times =
        [&empty, &uneven].into_iter().flat_map(|free| requests.iter().map(move |request| (free, request)));
    times.map(|(free, request)| time(free, request)).fold(0.0, f64::max)
}

const CORES_OF_A_NODE: u32 = 64;

/// Packages of two nodes, nodes of eight caches, caches of eight cores, cores of two CPUs, which are numbered after the
/// first CPUs of all cores.
fn host(nodes: u32) -> Topology {
    let cores = nodes * CORES_OF_A_NODE;
    let cpu = |cpu: u32| {
        let core = cpu % cores;
        let node = core / CORES_OF_A_NODE;
        let about =
            HostCpu { package: node / 2, node, cache: core / 8, core, capacity: 1024, is_isolated: false };
        (CpuId(cpu), about)
    };
    Topology::new((0..2 * cores).map(cpu))
}
