//! Which cores: tries what a user would want most, then what would do.

use crate::cost::{Cost, Place};
use crate::domains::{self, Core, Domain};
use crate::reason::NoPlan;
use crate::request::{Free, Request};
use crate::search::{Best, Limits, Search, Use};
use crate::topology::Topology;

/// IOThreads of one VM get this many cores at most, and share them if there are more IOThreads than CPUs in them.
const MOST_CORES_FOR_IOTHREADS: u32 = 16;

/// The cores that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
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
    let tree = domains::tree(host, free, request);
    let cores_for_iothreads = request.iothreads.div_ceil(siblings).min(MOST_CORES_FOR_IOTHREADS);
    let best = |threads| best(&tree, request.vcpus, 1 + cores_for_iothreads, threads);
    if let Some(chosen) = best(threads) {
        return Ok(chosen);
    }
    if request.threads_per_core.is_none() {
        if let Some(chosen) = best(siblings) {
            return Ok(chosen);
        }
    }
    let mut cores = Vec::new();
    tree.collect(&mut cores);
    Err(NoPlan::Room {
        vcpus: request.vcpus,
        threads_per_core: threads,
        could: most(&tree, request.vcpus, threads),
        could_with_siblings: most(&tree, request.vcpus, siblings),
        cores: request.vcpus.div_ceil(threads) + 1,
        free_cores: u32::try_from(cores.len()).unwrap_or(u32::MAX),
        free: cores.iter().flat_map(|core| core.cpus.iter().copied()).collect(),
        taken: free.taken.clone(),
        outside: host.cpus().difference(&free.available),
        reserved: free.reserved.intersection(&host.cpus()),
    })
}

/// The best cores for so many vCPUs, with so many of them on a core at most, and so many cores for the rest, or fewer.
fn best(tree: &Domain, vcpus: u32, rest: u32, threads_per_core: u32) -> Option<Chosen> {
    let limits = Limits::new(vcpus, rest, threads_per_core);
    let search = Search::new(tree, limits);
    let ways: Vec<Best<'_>> =
        (1..=limits.rest).rev().filter_map(|rest| search.best(limits.vcpus, rest)).collect();
    // IOThreads rather share a core with the emulator than leave the vCPUs' node.
    let near = ways.iter().find(|way| way.cost.get(Place::Away) == 0);
    near.or(ways.first()).map(|way| Chosen {
        cores: way.cores.iter().map(|(core, used)| ((*core).clone(), *used)).collect(),
        cost: way.cost,
    })
}

/// The most vCPUs up to so many that there is room for, with a core for the emulator.
fn most(tree: &Domain, vcpus: u32, threads_per_core: u32) -> u32 {
    let search = Search::new(tree, Limits::new(vcpus, 1, threads_per_core));
    (0..=vcpus).rev().find(|&vcpus| search.best(vcpus as usize, 1).is_some()).unwrap_or(0)
}
