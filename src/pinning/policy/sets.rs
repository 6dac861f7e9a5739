//! The distinct sets of a policy, each kept once and numbered.
//!
//! A thread's set is passed on as its number, so that nothing is copied or allocated as threads are created.

use std::collections::HashMap;

use crate::cpus::CpuSet;

/// The number of a set within its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u16);

/// The number of the base, which is the first set of every policy.
pub(crate) const BASE: SetId = SetId(0);

/// At most so many distinct sets, and the few of [`Sets::always_id_of`], make a policy. QEMU has no more than
/// some thousand vCPUs, and a [`SetId`] can number more sets than these.
pub(crate) const SETS_LIMIT: usize = 8_192;

/// No policy has more sets: [`SETS_LIMIT`], and those of the six variables and roles that [`Sets::always_id_of`]
/// is for.
pub(crate) const ALL_SETS_LIMIT: usize = SETS_LIMIT + 6;

/// The sets so far.
#[derive(Default)]
pub(crate) struct Sets {
    sets: Vec<CpuSet>,
    ids: HashMap<CpuSet, SetId>,
}

impl Sets {
    /// The number of this set: a new one if the set is new. `None` if there are too many sets.
    pub(crate) fn id_of(&mut self, set: CpuSet) -> Option<SetId> {
        if self.sets.len() < SETS_LIMIT { self.always_id_of(set) } else { self.ids.get(&set).copied() }
    }

    /// The number of one of the few sets that may pass the limit: those of variables that have one set each.
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

    /// Forgets all but the first `len` sets.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.sets.truncate(len);
        self.ids.retain(|_, id| usize::from(id.0) < len);
    }

    /// The set with this number.
    pub(crate) fn get(&self, id: SetId) -> Option<&CpuSet> {
        self.sets.get(usize::from(id.0))
    }

    /// All sets, in the order of their numbers.
    pub(crate) fn into_vec(self) -> Vec<CpuSet> {
        self.sets
    }
}
