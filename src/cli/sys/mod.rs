//! What the kernel tells and does: processes, threads, affinities, cpusets.

pub(crate) mod affinity;
pub(crate) mod cpuset;
pub(crate) mod host;
pub(crate) mod process;
pub(crate) mod threads;
pub(crate) mod user;
