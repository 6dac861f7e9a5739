//! What makes one way of sharing out cores better than another.

use std::ops::Add;

/// What a choice costs: the first place where two differ decides. Costs of parts add up to that of the whole, so
/// the cheapest whole is made of cheapest parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost([u32; PLACES]);

const PLACES: usize = 15;

/// The places, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// CPUs for vCPUs on cores of which somebody else has a sibling.
    SharedCores,
    /// Nodes with vCPUs and too little free memory.
    LackingMemory,
    /// Packages with vCPUs.
    Packages,
    /// NUMA nodes with vCPUs.
    Nodes,
    /// Caches with vCPUs.
    Caches,
    /// Cores for the emulator and IOThreads on nodes without vCPUs.
    Away,
    /// Cores that vCPUs use, but not with all of the siblings that they could.
    HalfUsed,
    /// Cores far from the device.
    Far,
    /// vCPUs on CPUs that are not isolated.
    NotIsolated,
    /// Cores for the emulator and IOThreads that are isolated: nothing spreads threads on them.
    Wasted,
    /// How much slower than the host's fastest the vCPUs' CPUs are.
    Slowness,
    /// On how many of the CPUs others may run, counted for each of them.
    Shared,
    /// Free cores left over in the caches that are used: the tightest fit leaves others whole.
    LeftOver,
    /// Whether vCPUs are on the core of CPU 0, which has the host's own work.
    CpuZero,
    /// The cores' lowest CPU numbers, added up.
    Numbers,
}

impl Cost {
    /// Nothing but this.
    pub(crate) fn of(place: Place, amount: u32) -> Self {
        Self::default().and(place, amount)
    }

    /// This, and more.
    pub(crate) fn and(mut self, place: Place, amount: u32) -> Self {
        if let Some(value) = self.0.get_mut(place as usize) {
            *value = value.saturating_add(amount);
        }
        self
    }

    /// This with none of that.
    pub(crate) fn without(mut self, place: Place) -> Self {
        if let Some(value) = self.0.get_mut(place as usize) {
            *value = 0;
        }
        self
    }

    /// How much of it there is.
    pub(crate) fn get(&self, place: Place) -> u32 {
        self.0.get(place as usize).copied().unwrap_or(0)
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
        self
    }
}
