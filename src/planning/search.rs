//! The best of all ways to share out cores.
//!
//! Each part of the host has a table: for every number of vCPUs and of cores for the rest (the emulator and
//! IOThreads) the cheapest way to have them there. The table of a group is made of its parts' tables, one after the
//! other. As costs add up, the cheapest way of the whole consists of cheapest ways of the parts: no way is missed,
//! and none is tried twice.

use crate::cost::{Cost, Place};
use crate::domains::{Core, Domain, Level};

/// What a core is used for in the best way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// So many vCPUs.
    Vcpus(usize),
    /// The emulator, or IOThreads.
    TheRest,
}

/// The best way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Best<'d> {
    pub(crate) cost: Cost,
    /// The cores that are used, in the order of the tree.
    pub(crate) cores: Vec<(&'d Core, Use)>,
}

/// How much is wanted at most: vCPUs, cores for the rest, and vCPUs on one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) vcpus: usize,
    pub(crate) rest: usize,
    per_core: usize,
}

impl Limits {
    pub(crate) fn new(vcpus: u32, rest: u32, per_core: u32) -> Self {
        Self { vcpus: vcpus as usize, rest: rest as usize, per_core: per_core as usize }
    }
}

/// The tables of a whole host.
pub(crate) struct Search<'d> {
    root: Table<'d>,
}

/// A row for each number of cores for the rest, in it a place for each number of vCPUs.
struct Table<'d> {
    rows: Vec<Vec<Option<Cost>>>,
    made: Made<'d>,
}

/// How to find out which cores a place of a table stands for.
enum Made<'d> {
    Core(&'d Core),
    /// Nothing yet: no vCPU, no core.
    Nothing,
    /// What came before, and one part more. `split` has for each place how much of it is in the part.
    Joined {
        before: Box<Table<'d>>,
        part: Box<Table<'d>>,
        split: Vec<Vec<(usize, usize)>>,
    },
}

impl<'d> Search<'d> {
    pub(crate) fn new(host: &'d Domain, limits: Limits) -> Self {
        Self { root: Table::of(host, limits) }
    }

    /// The best way for exactly so many vCPUs and cores for the rest. `None`: there is not that much.
    pub(crate) fn best(&self, vcpus: usize, rest: usize) -> Option<Best<'d>> {
        let cost = self.root.get(vcpus, rest)?;
        let mut cores = Vec::new();
        self.root.collect(vcpus, rest, &mut cores);
        Some(Best { cost, cores })
    }
}

impl<'d> Table<'d> {
    /// The table of a domain.
    fn of(domain: &'d Domain, limits: Limits) -> Self {
        match domain {
            Domain::Core(core) => Self::of_core(core, limits),
            Domain::Group { level, lacks_memory, parts } => {
                let joined = parts
                    .iter()
                    .fold(Self::nothing(), |before, part| before.join(Self::of(part, limits), limits));
                match level {
                    Some(level) => joined.with_group(*level, *lacks_memory),
                    None => joined,
                }
            }
        }
    }

    fn of_core(core: &'d Core, limits: Limits) -> Self {
        let mut vcpus = vec![Some(Cost::of(Place::LeftOver, 1))];
        let most = core.room(limits.per_core).min(limits.vcpus);
        vcpus.extend((1..=most).map(|count| Some(core.for_vcpus(count, limits.per_core))));
        let mut rows = vec![vcpus];
        if limits.rest > 0 {
            rows.push(vec![Some(core.for_the_rest())]);
        }
        Self { rows, made: Made::Core(core) }
    }

    fn nothing() -> Self {
        Self { rows: vec![vec![Some(Cost::default())]], made: Made::Nothing }
    }

    fn get(&self, vcpus: usize, rest: usize) -> Option<Cost> {
        *self.rows.get(rest)?.get(vcpus)?
    }

    fn most_vcpus(&self) -> usize {
        self.rows.iter().map(|row| row.len().saturating_sub(1)).max().unwrap_or(0)
    }

    /// This and one part more.
    fn join(self, part: Self, limits: Limits) -> Self {
        let rest = (self.rows.len() + part.rows.len() - 2).min(limits.rest);
        let vcpus = (self.most_vcpus() + part.most_vcpus()).min(limits.vcpus);
        let mut rows = vec![vec![None::<Cost>; vcpus + 1]; rest + 1];
        let mut split = vec![vec![(0, 0); vcpus + 1]; rest + 1];
        for (rest_here, row_here) in self.rows.iter().enumerate() {
            for (rest_there, row_there) in part.rows.iter().enumerate() {
                let Some(row) = rows.get_mut(rest_here + rest_there) else { continue };
                let Some(splits) = split.get_mut(rest_here + rest_there) else { continue };
                for (here, cost_here) in row_here.iter().enumerate() {
                    let Some(cost_here) = *cost_here else { continue };
                    let places = row.iter_mut().zip(splits.iter_mut()).skip(here);
                    for ((place, from), (there, cost_there)) in places.zip(row_there.iter().enumerate()) {
                        let Some(cost_there) = *cost_there else { continue };
                        let cost = cost_here + cost_there;
                        if place.is_none_or(|best| cost < best) {
                            *place = Some(cost);
                            *from = (there, rest_there);
                        }
                    }
                }
            }
        }
        Self { rows, made: Made::Joined { before: Box::new(self), part: Box::new(part), split } }
    }

    /// Adds what the group costs as a whole.
    fn with_group(mut self, level: Level, lacks_memory: bool) -> Self {
        for (rest, row) in self.rows.iter_mut().enumerate() {
            for (vcpus, place) in row.iter_mut().enumerate() {
                let Some(cost) = place else { continue };
                if vcpus > 0 {
                    *cost = cost.and(level.place(), 1);
                    if lacks_memory {
                        *cost = cost.and(Place::LackingMemory, 1);
                    }
                } else if level == Level::Node {
                    *cost = cost.and(Place::Away, u32::try_from(rest).unwrap_or(u32::MAX));
                } else if level == Level::Cache && rest == 0 {
                    // Nothing of it is used, so that nothing is left over.
                    *cost = cost.without(Place::LeftOver);
                }
            }
        }
        self
    }

    /// Adds the cores that a place stands for.
    fn collect(&self, vcpus: usize, rest: usize, into: &mut Vec<(&'d Core, Use)>) {
        match &self.made {
            Made::Nothing => {}
            Made::Core(core) if vcpus > 0 => into.push((core, Use::Vcpus(vcpus))),
            Made::Core(core) if rest > 0 => into.push((core, Use::TheRest)),
            Made::Core(_) => {}
            Made::Joined { before, part, split } => {
                let from = split.get(rest).and_then(|row| row.get(vcpus)).copied();
                let (vcpus_there, rest_there) = from.unwrap_or((0, 0));
                before.collect(vcpus - vcpus_there, rest - rest_there, into);
                part.collect(vcpus_there, rest_there, into);
            }
        }
    }
}
