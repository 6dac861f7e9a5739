//! The chosen way is the best of all: compared with every way that there is, on small hosts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where something is missing")]

mod harness;

use harness::cpus;
use pinning::{CpuId, CpuSet};
use planning::{Free, HostCpu, Plan, Request, Topology, plan};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What makes a way better than another, as docs/command.md has it, worked out from the sets alone.
type Rank = [u32; 15];

/// A way to use a host: how many vCPUs each core has, and which cores are for the rest.
struct Way<'h> {
    host: &'h Topology,
    free: &'h Free,
    request: &'h Request,
    cores: &'h BTreeMap<u32, Vec<CpuId>>,
    vcpus: BTreeMap<u32, usize>,
    rest: BTreeSet<u32>,
}

impl Way<'_> {
    fn first(&self, core: u32) -> &HostCpu {
        self.host.get(self.cores[&core][0]).unwrap()
    }

    fn usable(&self, core: u32) -> usize {
        let free = self.free.cpus();
        self.cores[&core].iter().filter(|&&cpu| free.contains(cpu)).count()
    }

    fn different(&self, of: impl Fn(&HostCpu) -> u32) -> BTreeSet<u32> {
        self.vcpus.keys().map(|&core| of(self.first(core))).collect()
    }

    fn rank(&self) -> Rank {
        let used = || self.vcpus.keys().chain(&self.rest).copied();
        let number = |count: usize| count as u32;
        let vcpus_where = |holds: &dyn Fn(u32) -> bool| {
            number(self.vcpus.iter().filter(|(core, _)| holds(**core)).map(|(_, count)| count).sum())
        };
        let is_shared = |core: u32| self.usable(core) < self.cores[&core].len();
        let per_core = self.request.threads_per_core.unwrap() as usize;
        let whole = |core: u32| -> CpuSet { self.cores[&core].iter().copied().collect() };
        let nodes = self.different(|cpu| cpu.node);
        let cache = |core: u32| {
            let cpu = self.first(core);
            (cpu.package, cpu.node, cpu.cache)
        };
        let caches: BTreeSet<_> = self.vcpus.keys().map(|&core| cache(core)).collect();
        let used_caches: BTreeSet<_> = used().map(cache).collect();
        let needed = self.request.memory.unwrap_or(0);
        let lacking = nodes.iter().filter(|node| self.free.memory.get(node).is_some_and(|&has| has < needed));
        let away = self.rest.iter().filter(|&&core| !nodes.contains(&self.first(core).node));
        let half = self.vcpus.iter().filter(|(core, count)| **count < self.usable(**core).min(per_core));
        let near = self.request.near.as_ref();
        let far = used().filter(|&core| near.is_some_and(|near| !whole(core).is_subset(near)));
        let others: usize = used()
            .map(|core| {
                self.free.shared.iter().filter(|set| !set.intersection(&whole(core)).is_empty()).count()
            })
            .sum();
        let left_over = self.cores.keys().filter(|&&core| {
            self.usable(core) > 0
                && used_caches.contains(&cache(core))
                && !used().any(|other| other == core)
                && self.request.node.is_none_or(|node| node == self.first(core).node)
        });
        let fastest = self.host.iter().map(|(_, cpu)| cpu.capacity).max().unwrap();
        let slowness: u32 = (self.vcpus.iter())
            .map(|(core, count)| (fastest - self.first(*core).capacity) * number(*count))
            .sum();
        [
            vcpus_where(&is_shared),
            number(lacking.count()),
            number(self.different(|cpu| cpu.package).len()),
            number(nodes.len()),
            number(caches.len()),
            number(away.count()),
            number(half.count()),
            number(far.count()),
            vcpus_where(&|core| !self.first(core).is_isolated),
            number(self.rest.iter().filter(|&&core| self.first(core).is_isolated).count()),
            slowness,
            number(others),
            number(left_over.count()),
            number(self.vcpus.keys().filter(|core| self.cores[core][0] == CpuId(0)).count()),
            used().map(|core| self.cores[&core][0].0).sum(),
        ]
    }
}

fn cores(host: &Topology) -> BTreeMap<u32, Vec<CpuId>> {
    let mut cores: BTreeMap<u32, Vec<CpuId>> = BTreeMap::new();
    for (cpu, about) in host.iter() {
        cores.entry(about.core).or_default().push(cpu);
    }
    cores
}

/// The best rank of all ways with so many cores for the rest.
fn best(host: &Topology, free: &Free, request: &Request, rest: usize) -> Option<Rank> {
    let cores = cores(host);
    let mut way = Way { host, free, request, cores: &cores, vcpus: BTreeMap::new(), rest: BTreeSet::new() };
    let numbers: Vec<u32> = cores.keys().copied().collect();
    let mut best = None;
    try_all(&mut way, &numbers, request.vcpus as usize, rest, &mut best);
    best
}

fn try_all(way: &mut Way<'_>, cores: &[u32], vcpus: usize, rest: usize, best: &mut Option<Rank>) {
    let Some((&core, later)) = cores.split_first() else {
        if vcpus == 0 && rest == 0 {
            let rank = way.rank();
            *best = Some(best.map_or(rank, |known| known.min(rank)));
        }
        return;
    };
    try_all(way, later, vcpus, rest, best);
    let usable = way.usable(core);
    if usable == 0 || way.request.node.is_some_and(|node| node != way.first(core).node) {
        return;
    }
    let room = usable.min(way.request.threads_per_core.unwrap() as usize);
    for count in 1..=room.min(vcpus) {
        way.vcpus.insert(core, count);
        try_all(way, later, vcpus - count, rest, best);
        way.vcpus.remove(&core);
    }
    if rest > 0 {
        way.rest.insert(core);
        try_all(way, later, vcpus, rest - 1, best);
        way.rest.remove(&core);
    }
}

/// The rank of a plan, and how many cores it has for the rest.
fn rank(plan: &Plan, host: &Topology, free: &Free, request: &Request) -> (Rank, usize) {
    let core = |cpu| host.get(cpu).unwrap().core;
    let mut vcpus = BTreeMap::new();
    for &cpu in &plan.vcpus {
        *vcpus.entry(core(cpu)).or_default() += 1;
    }
    let all = plan.iothreads.iter().fold(plan.emulator.clone(), |all, set| all.union(set));
    // An IOThread has one CPU of its core; a core without IOThread that was chosen for one is not in the plan, but
    // there is none: they share cores only where there are too few.
    let rest: BTreeSet<u32> = all.iter().map(core).collect();
    let count = rest.len();
    let cores = cores(host);
    (Way { host, free, request, cores: &cores, vcpus, rest }.rank(), count)
}

/// Small hosts of every shape: up to six cores, in groups that need not be nested in the usual way.
fn hosts() -> impl Strategy<Value = Topology> {
    let core = (0..2u32, 0..2u32, 0..2u32, 1..3u32, prop_oneof![Just(512u32), Just(1024)], any::<bool>());
    (prop::collection::vec(core, 2..6), any::<bool>(), any::<bool>()).prop_map(
        |(cores, by_node, siblings_after)| {
            let total = cores.len() as u32;
            let mut cpus = Vec::new();
            for (core, &(package, node, cache, threads, capacity, is_isolated)) in (0u32..).zip(&cores) {
                // Nodes within packages, or packages within nodes.
                let (package, node) =
                    if by_node { (node * 2 + package, node) } else { (package, package * 2 + node) };
                let cache = (package * 4 + node) * 2 + cache;
                for thread in 0..threads {
                    let number = if siblings_after { thread * total + core } else { core * 2 + thread };
                    cpus.push((CpuId(number), HostCpu { package, node, cache, core, capacity, is_isolated }));
                }
            }
            Topology::new(cpus)
        },
    )
}

fn some_cpus() -> impl Strategy<Value = CpuSet> {
    prop::collection::vec(0..12u32, 0..4).prop_map(cpus)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_way_is_better(
        host in hosts(),
        reserved in some_cpus(),
        shared in prop::collection::vec(some_cpus(), 0..3),
        near in prop::option::of(some_cpus()),
        node in prop::option::weighted(0.2, 0..2u32),
        memory in prop::option::of(0..3u64),
        has in prop::collection::btree_map(0..4u32, 0..3u64, 0..4),
        vcpus in 1..5u32, iothreads in 0..3u32, threads_per_core in 1..3u32,
    ) {
        let free = Free { available: host.cpus(), reserved, shared, memory: has, ..Free::default() };
        let request = Request { vcpus, iothreads, threads_per_core: Some(threads_per_core), node, near, memory };
        prop_assume!(node.is_none_or(|node| host.iter().any(|(_, cpu)| cpu.node == node)));
        match plan(&host, &free, &request) {
            Ok(plan) => {
                let (rank, rest) = rank(&plan, &host, &free, &request);
                prop_assert_eq!(Some(rank), best(&host, &free, &request, rest));
            }
            Err(_) => prop_assert_eq!(best(&host, &free, &request, 1), None),
        }
    }

    #[test]
    fn nobody_gets_what_another_has(
        host in hosts(), reserved in some_cpus(), vcpus in 1..9u32, iothreads in 0..4u32,
    ) {
        let free = Free { available: host.cpus(), reserved, ..Free::default() };
        let request = harness::request(vcpus, iothreads);
        if let Ok(plan) = plan(&host, &free, &request) {
            let own: CpuSet = plan.vcpus.iter().copied().collect();
            prop_assert_eq!(own.len(), vcpus as usize);
            prop_assert_eq!(plan.iothreads.len(), iothreads as usize);
            prop_assert!(!plan.emulator.is_empty());
            let rest = plan.iothreads.iter().fold(plan.emulator.clone(), |all, set| all.union(set));
            // Nor is anything else on a vCPU's core.
            let core = |cpu| host.get(cpu).unwrap().core;
            let cores: BTreeSet<u32> = own.iter().map(core).collect();
            prop_assert!(rest.iter().all(|cpu| !cores.contains(&core(cpu))));
            prop_assert!(own.union(&rest).is_subset(&free.cpus()));
            prop_assert_eq!(plan.guest.vcpus(), vcpus);
            prop_assert_eq!(Ok(plan), planning::plan(&host, &free, &request));
        }
    }
}
