//! Where vhost workers belong: all on one set, or each by the order in which they appear.

use super::placement::{Placement, VhostRange};
use super::sets::SetId;

/// `PIN_VHOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VhostPlacement {
    /// All on this set.
    All(SetId),
    /// By number. One that no entry names has the emulator's set.
    Map(Placement<VhostRange, SetId>),
}

impl VhostPlacement {
    /// The set of the `order`-th worker that appeared, from 0.
    pub(super) fn of(&self, order: u32, emulator: SetId) -> SetId {
        match self {
            VhostPlacement::All(set) => *set,
            VhostPlacement::Map(placement) => placement.of_vhost_worker(order).copied().unwrap_or(emulator),
        }
    }

    /// Every set that a worker may have for which there is an entry.
    pub(super) fn sets(&self) -> Vec<SetId> {
        match self {
            VhostPlacement::All(set) => vec![*set],
            VhostPlacement::Map(placement) => placement.sets().copied().collect(),
        }
    }

    /// The entries that name workers, in the order of their numbers.
    pub(super) fn named(&self) -> &[(VhostRange, SetId)] {
        match self {
            VhostPlacement::All(_) => &[],
            VhostPlacement::Map(placement) => placement.named(),
        }
    }

    /// Whether every worker, whichever may come, belongs on this set.
    pub(super) fn is_only(&self, set: SetId, emulator: SetId) -> bool {
        match self {
            VhostPlacement::All(all) => *all == set,
            VhostPlacement::Map(placement) => placement.sets().chain([&emulator]).all(|named| *named == set),
        }
    }
}
