//! The distinct sets of a policy, each kept once.
//!
//! A thread's set travels as a number, so that nothing is copied or allocated as threads are created.

use std::collections::HashMap;

use crate::cpus::CpuSet;

/// The number of a set within its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u16);

/// The base is read first.
pub(crate) const BASE: SetId = SetId(0);

/// More distinct sets than these are no policy: QEMU has at most some thousand vCPUs. Well below what a
/// [`SetId`] can number.
pub(crate) const SETS_LIMIT: usize = 8_192;

/// The sets so far.
#[derive(Default)]
pub(crate) struct Sets {
    sets: Vec<CpuSet>,
    ids: HashMap<CpuSet, SetId>,
}

impl Sets {
    /// The number of this set, a new one if it is new. `None` where there are too many.
    pub(crate) fn id_of(&mut self, set: CpuSet) -> Option<SetId> {
        if self.sets.len() < SETS_LIMIT { self.always_id_of(set) } else { self.ids.get(&set).copied() }
    }

    /// The same for the few sets that are not counted against the limit.
    pub(crate) fn always_id_of(&mut self, set: CpuSet) -> Option<SetId> {
        if let Some(&id) = self.ids.get(&set) {
            return Some(id);
        }
        let id = SetId(u16::try_from(self.sets.len()).ok()?);
        self.sets.push(set.clone());
        self.ids.insert(set, id);
        Some(id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Forgets all but the first so many.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.sets.truncate(len);
        self.ids.retain(|_, id| usize::from(id.0) < len);
    }

    /// The set of a number.
    pub(crate) fn get(&self, id: SetId) -> Option<&CpuSet> {
        self.sets.get(usize::from(id.0))
    }

    /// All of them, by number.
    pub(crate) fn into_vec(self) -> Vec<CpuSet> {
        self.sets
    }
}
