//! Affinities: asking the kernel for a thread's affinity, and setting it, with the rights of the calling process.

pub(crate) mod direct;
#[forbid(unsafe_code)]
pub(crate) mod record;
#[forbid(unsafe_code)]
pub(crate) mod scan;
#[forbid(unsafe_code)]
pub(crate) mod threads;
