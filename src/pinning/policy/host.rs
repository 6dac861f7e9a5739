//! What a policy depends on beside the environment.

use crate::cpus::CpuSet;

/// What the policy must know of the machine it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The online CPUs of the process's cpuset: what limits a set, and what `all` stands for.
    pub available: CpuSet,
    /// The affinity that QEMU was started with: the base where `PIN_CPUS` is not set.
    pub start: CpuSet,
}
