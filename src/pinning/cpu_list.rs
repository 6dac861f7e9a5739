//! The text of a set.
use crate::{CpuSet, Slip};

/// What a text says.
pub(crate) struct SetRead {
    pub(crate) set: CpuSet,
    pub(crate) slips: Vec<Slip>,
}

pub(crate) fn read(_text: &str, _column: usize, _available: &CpuSet) -> SetRead {
    SetRead { set: CpuSet::new(), slips: vec![Slip::new(1, "sets are not read yet")] }
}
