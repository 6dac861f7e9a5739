//! Affinities: asking the kernel for a thread's affinity, and setting it, with the rights of the calling process.

pub(crate) mod direct;
pub(crate) mod record;
pub(crate) mod scan;
