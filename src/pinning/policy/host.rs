//! What a policy depends on besides the environment.

use crate::cpus::CpuSet;

/// The CPUs that a process had when its environment was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The online CPUs of its cpuset: no set may hold another CPU, and `all` stands for these.
    pub available: CpuSet,
    /// The affinity that it was started with: the base where `PIN_CPUS` is not set.
    pub start: CpuSet,
}
