//! The host as a tree: packages, NUMA nodes, caches, and at its leaves the cores that may be used.

use crate::cost::{Cost, Place};
use crate::request::{Free, Request};
use crate::topology::{HostCpu, Topology};
use pinning::{CpuId, CpuSet};
use std::collections::BTreeMap;

/// A part of the host.
#[derive(Debug)]
pub(crate) enum Domain {
    /// A package, node or cache with its parts; or the host, which is no level.
    Group { level: Option<Level>, lacks_memory: bool, parts: Vec<Domain> },
    /// A core of which at least one CPU is free.
    Core(Core),
}

/// What the CPUs of a group share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Package,
    Node,
    Cache,
}

/// A core, as far as it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Core {
    /// Its free CPUs, lowest number first.
    pub(crate) cpus: Vec<CpuId>,
    /// Somebody else has, or may have, one of its siblings.
    pub(crate) is_shared: bool,
    is_near: bool,
    is_isolated: bool,
    slowness: u32,
    /// How many others may run on it.
    others: u32,
    has_cpu_zero: bool,
    number: u32,
}

impl Domain {
    /// Adds its cores.
    pub(crate) fn collect<'d>(&'d self, into: &mut Vec<&'d Core>) {
        match self {
            Self::Core(core) => into.push(core),
            Self::Group { parts, .. } => parts.iter().for_each(|part| part.collect(into)),
        }
    }
}

impl Level {
    const ALL: [Self; 3] = [Self::Package, Self::Node, Self::Cache];

    fn of(self, cpu: &HostCpu) -> u32 {
        match self {
            Self::Package => cpu.package,
            Self::Node => cpu.node,
            Self::Cache => cpu.cache,
        }
    }

    /// What a group of this level costs that has vCPUs.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Package => Place::Packages,
            Self::Node => Place::Nodes,
            Self::Cache => Place::Caches,
        }
    }
}

impl Core {
    /// How many vCPUs it takes, where a core may have so many at most.
    pub(crate) fn room(&self, per_core: usize) -> usize {
        self.cpus.len().min(per_core)
    }

    /// What it costs to put so many vCPUs here, at least one.
    pub(crate) fn for_vcpus(&self, count: usize, per_core: usize) -> Cost {
        let each = |yes: bool| if yes { u32::try_from(count).unwrap_or(u32::MAX) } else { 0 };
        self.for_anything()
            .and(Place::SharedCores, each(self.is_shared))
            .and(Place::HalfUsed, u32::from(count < self.room(per_core)))
            .and(Place::NotIsolated, each(!self.is_isolated))
            .and(Place::Slowness, each(true).saturating_mul(self.slowness))
            .and(Place::CpuZero, u32::from(self.has_cpu_zero))
    }

    /// What it costs to put the emulator or IOThreads here.
    pub(crate) fn for_the_rest(&self) -> Cost {
        self.for_anything().and(Place::Wasted, u32::from(self.is_isolated))
    }

    fn for_anything(&self) -> Cost {
        Cost::of(Place::Far, u32::from(!self.is_near))
            .and(Place::Shared, self.others)
            .and(Place::Numbers, self.number)
    }
}

/// The tree of a host, of the cores that may be used.
pub(crate) fn tree(host: &Topology, free: &Free, request: &Request) -> Domain {
    let fastest = host.iter().map(|(_, about)| about.capacity).max().unwrap_or(0);
    let cpus = free.cpus();
    let mut cores: BTreeMap<u32, Vec<CpuId>> = BTreeMap::new();
    for (cpu, about) in host.iter() {
        cores.entry(about.core).or_default().push(cpu);
    }
    let cores: Vec<(HostCpu, Core)> = cores
        .into_values()
        .filter_map(|siblings| {
            let first = *siblings.first()?;
            let about = *host.get(first)?;
            if request.node.is_some_and(|node| node != about.node) {
                return None;
            }
            let usable: Vec<CpuId> = siblings.iter().copied().filter(|&cpu| cpus.contains(cpu)).collect();
            let whole: CpuSet = siblings.iter().copied().collect();
            let others = free.shared.iter().filter(|set| !set.intersection(&whole).is_empty()).count();
            let core = Core {
                is_shared: usable.len() < siblings.len(),
                is_near: request.near.as_ref().is_none_or(|near| whole.is_subset(near)),
                is_isolated: about.is_isolated,
                slowness: fastest - about.capacity,
                others: u32::try_from(others).unwrap_or(u32::MAX),
                has_cpu_zero: first == CpuId(0),
                number: first.0,
                cpus: usable,
            };
            (!core.cpus.is_empty()).then_some((about, core))
        })
        .collect();
    // The level with the fewest groups is the widest. On most hosts that is package, node, cache; but a node may be
    // wider than a package, and a cache wider than a node.
    let mut levels = Level::ALL.map(|level| (host.spanned(&host.cpus(), |cpu| level.of(cpu)), level));
    levels.sort_by_key(|(groups, _)| *groups);
    let parts = split(cores, &levels.map(|(_, level)| level), free, request);
    Domain::Group { level: None, lacks_memory: false, parts }
}

/// Cores in groups of the first level, each split further by the others.
fn split(cores: Vec<(HostCpu, Core)>, levels: &[Level], free: &Free, request: &Request) -> Vec<Domain> {
    let Some((&level, finer)) = levels.split_first() else {
        return cores.into_iter().map(|(_, core)| Domain::Core(core)).collect();
    };
    let mut groups: BTreeMap<u32, Vec<(HostCpu, Core)>> = BTreeMap::new();
    for (about, core) in cores {
        groups.entry(level.of(&about)).or_default().push((about, core));
    }
    let group = |(number, cores)| {
        let has = if level == Level::Node { free.memory.get(&number) } else { None };
        let lacks_memory = has.is_some_and(|&has| request.memory.is_some_and(|needed| has < needed));
        Domain::Group { level: Some(level), lacks_memory, parts: split(cores, finer, free, request) }
    };
    groups.into_iter().map(group).collect()
}
