//! Which thread goes on which of the chosen cores, and what a user should know about that.

use crate::choose::Chosen;
use crate::cost::Place;
use crate::domains::Core;
use crate::reason::Reason;
use crate::request::{Free, Request};
use crate::search::Use;
use crate::topology::Topology;
use pinning::{CpuId, CpuSet};
use std::cmp::Reverse;

/// The chosen cores' CPUs, shared out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arranged {
    pub(crate) vcpus: Vec<CpuId>,
    pub(crate) iothreads: Vec<CpuSet>,
    pub(crate) emulator: CpuSet,
    /// The siblings of the vCPUs' CPUs that nobody has.
    pub(crate) idle: CpuSet,
}

/// Shares out the CPUs of the chosen cores.
pub(crate) fn arrange(chosen: &Chosen, request: &Request) -> Arranged {
    let mut for_vcpus: Vec<(&Core, usize)> = Vec::new();
    let mut rest: Vec<&Core> = Vec::new();
    for (core, used) in &chosen.cores {
        match used {
            Use::Vcpus(count) => for_vcpus.push((core, *count)),
            Use::TheRest => rest.push(core),
        }
    }
    // A core with fewer vCPUs than the others comes last, so that siblings have numbers side by side.
    for_vcpus.sort_by_key(|(_, count)| Reverse(*count));
    let mut arranged = Arranged::default();
    for (core, count) in for_vcpus {
        arranged.vcpus.extend(core.cpus.iter().copied().take(count));
        core.cpus.iter().skip(count).for_each(|&cpu| arranged.idle.insert(cpu));
    }
    let mut rest = rest.into_iter();
    arranged.emulator = rest.next().into_iter().flat_map(|core| core.cpus.iter().copied()).collect();
    let cpus: Vec<CpuId> = rest.flat_map(|core| core.cpus.iter().copied()).collect();
    for number in 0..request.iothreads as usize {
        let own = cpus.get(number % cpus.len().max(1));
        let set = own.map_or_else(|| arranged.emulator.clone(), |&cpu| CpuSet::from_iter([cpu]));
        arranged.iothreads.push(set);
    }
    arranged
}

/// What a user should know about it.
pub(crate) fn reasons(
    chosen: &Chosen,
    arranged: &Arranged,
    host: &Topology,
    free: &Free,
    request: &Request,
) -> Vec<Reason> {
    let vcpus: CpuSet = arranged.vcpus.iter().copied().collect();
    let rest = arranged.iothreads.iter().fold(arranged.emulator.clone(), |all, set| all.union(set));
    let all = vcpus.union(&rest);
    let costs = |place| chosen.cost.get(place) > 0;
    let per_core: Vec<usize> = (chosen.cores.iter())
        .filter_map(|(_, used)| if let Use::Vcpus(count) = used { Some(*count) } else { None })
        .collect();
    let mut reasons = Vec::new();
    // One vCPU is together with nobody.
    if vcpus.len() > 1 {
        reasons.push(Reason::Together {
            packages: host.spanned(&vcpus, |cpu| cpu.package),
            nodes: host.spanned(&vcpus, |cpu| cpu.node),
            caches: host.spanned(&vcpus, |cpu| cpu.cache),
        });
    }
    if per_core.iter().any(|count| Some(count) != per_core.first()) {
        reasons.push(Reason::Odd);
    } else if per_core.first().is_some_and(|&count| count > 1) {
        reasons.push(Reason::Siblings);
    } else if !arranged.idle.is_empty() {
        reasons.push(Reason::WholeCores(arranged.idle.clone()));
    }
    if costs(Place::SharedCores) {
        let shared = chosen.cores.iter().filter(|(core, _)| core.is_shared);
        let cpus: CpuSet = shared.flat_map(|(core, _)| core.cpus.iter().copied()).collect();
        reasons.push(Reason::SharedCores(cpus.intersection(&vcpus)));
    }
    let speed = |cpu| host.get(cpu).map_or(0, |about| about.capacity);
    let fastest = vcpus.iter().map(speed).max().unwrap_or(0);
    let slower: CpuSet = vcpus.iter().filter(|&cpu| speed(cpu) < fastest).collect();
    if !slower.is_empty() {
        reasons.push(Reason::Slower(slower));
    }
    if !costs(Place::NotIsolated) {
        reasons.push(Reason::Isolated);
    }
    if let Some(near) = request.near.as_ref().filter(|_| costs(Place::Far)) {
        reasons.push(Reason::Far(all.difference(near)));
    }
    if costs(Place::LackingMemory) {
        reasons.push(Reason::LackingMemory);
    }
    if costs(Place::Away) {
        reasons.push(Reason::Away);
    }
    let own: CpuSet = rest.difference(&arranged.emulator);
    if own.len() < arranged.iothreads.len() {
        reasons.push(Reason::IoThreadsShare);
    }
    let others = free.shared.iter().fold(CpuSet::new(), |all, set| all.union(set)).intersection(&all);
    if !others.is_empty() {
        reasons.push(Reason::Others(others));
    }
    if costs(Place::CpuZero) {
        reasons.push(Reason::CpuZero);
    }
    reasons
}
