//! What two looks at a thread show.

/// One look has shown that a thread ran since the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) cpu: u32,
    pub(crate) ran: u64,
    pub(crate) runs: u64,
}
