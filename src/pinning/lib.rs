//! The vocabulary of pinshim: sets of CPUs, the roles of QEMU's threads, and the policy that the
//! environment names.
//!
//! The library inside QEMU and the command beside it both speak it. Nothing here hooks, pins, opens or
//! prints anything, and nothing panics, whatever the environment holds: the library runs inside
//! somebody else's process.

mod cpu_list;
mod cpu_set;
mod fault;
mod glob;
mod items;
mod log_filter;
mod placement;
mod placement_text;
mod policy;
mod reading;
mod role;
mod rules;
mod sets;
pub mod status_page;
mod target;
mod variables;

pub use cpu_set::{CPU_LIMIT, CpuId, CpuList, CpuSet, same_cpus};
pub use fault::{Fault, Slip};
pub use glob::glob_matches;
pub use placement::{IoThreadId, Placement, VCPU_LIMIT, VcpuRange};
pub use policy::{Host, Manager, Policy, SetId};
pub use reading::{OnError, Reading};
pub use role::{KernelThread, Role, RoleKind, UnknownRole, VcpuIndex};
pub use status_page::Tid;
pub use target::{DEFAULT_TARGETS, acts_in};
pub use variables::{VARIABLES, Variable};
