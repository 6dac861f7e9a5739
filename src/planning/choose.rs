//! Which cores: tries what a user would want most, then what would do.

use crate::cost::{Cost, Place};
use crate::domains::{self, Core};
use crate::reason::NoPlan;
use crate::request::{Free, Request};
use crate::search::{Best, Limits, Search, Use};
use crate::topology::Topology;

/// IOThreads of one VM get this many cores at most, and share them if there are more IOThreads than CPUs in them.
const MOST_CORES_FOR_IOTHREADS: u32 = 16;

/// The cores that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// How many vCPUs are on a core, at most.
    pub(crate) threads_per_core: u32,
    /// The cores in the order of the host's tree, with what each is for.
    pub(crate) cores: Vec<(Core, Use)>,
    /// What they cost.
    pub(crate) cost: Cost,
}

/// Chooses the cores for a VM.
///
/// # Errors
/// [`NoPlan::Room`].
pub(crate) fn choose(host: &Topology, free: &Free, request: &Request) -> Result<Chosen, NoPlan> {
    let siblings = host.threads_per_core();
    let threads = match request.threads_per_core {
        Some(threads) => threads,
        None if request.vcpus % siblings == 0 => siblings,
        // The last core would be half used, and the guest could not be told of siblings.
        None => 1,
    };
    let with = |threads| Request { threads_per_core: Some(threads), ..request.clone() };
    if let Some(chosen) = best(host, free, &with(threads), siblings) {
        return Ok(Chosen { threads_per_core: threads, ..chosen });
    }
    if request.threads_per_core.is_none() {
        if let Some(chosen) = best(host, free, &with(siblings), siblings) {
            return Ok(Chosen { threads_per_core: siblings, ..chosen });
        }
    }
    Err(NoPlan::Room {
        vcpus: request.vcpus,
        threads_per_core: threads,
        could: most(host, free, &with(threads)),
        could_with_siblings: most(host, free, &with(siblings)),
        free: free.cpus().intersection(&host.cpus()),
        taken: free.taken.clone(),
        outside: host.cpus().difference(&free.available),
        reserved: free.reserved.intersection(&host.cpus()),
    })
}

/// The best cores; `siblings` is how many CPUs a core has.
fn best(host: &Topology, free: &Free, request: &Request, siblings: u32) -> Option<Chosen> {
    let for_iothreads = request.iothreads.div_ceil(siblings).min(MOST_CORES_FOR_IOTHREADS);
    let limits = Limits { vcpus: request.vcpus as usize, rest: 1 + for_iothreads as usize };
    let tree = domains::tree(host, free, request);
    let search = Search::new(&tree, request, limits);
    let ways: Vec<Best<'_>> =
        (1..=limits.rest).rev().filter_map(|rest| search.best(limits.vcpus, rest)).collect();
    // IOThreads rather share a core with the emulator than leave the vCPUs' node.
    let near = ways.iter().find(|way| way.cost.get(Place::Away) == 0);
    near.or(ways.first()).map(|way| Chosen {
        threads_per_core: request.threads_per_core.unwrap_or(siblings),
        cores: way.cores.iter().map(|(core, used)| ((*core).clone(), *used)).collect(),
        cost: way.cost,
    })
}

/// The most vCPUs that there is room for, with a core for the emulator.
fn most(host: &Topology, free: &Free, request: &Request) -> u32 {
    let tree = domains::tree(host, free, request);
    let search = Search::new(&tree, request, Limits { vcpus: request.vcpus as usize, rest: 1 });
    (0..=request.vcpus).rev().find(|&vcpus| search.best(vcpus as usize, 1).is_some()).unwrap_or(0)
}
