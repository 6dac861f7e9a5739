//! Host CPUs: their numbers, sets of them, and cpulists.

mod set;

pub(crate) use set::write_run;
pub use set::{CPU_LIMIT, CpuId, CpuList, CpuSet, same_cpus};
