//! Host CPUs: their numbers, sets of them, their masks, and the cpulist that names a set.

mod id;
mod list;
mod mask;
mod set;

pub use id::{CPU_LIMIT, CpuId};
pub use list::CpuList;
pub(crate) use list::write_run;
pub use mask::{MASK_WORDS, same_cpus};
pub use set::CpuSet;
