//! The vocabulary of pinshim: sets of CPUs, the roles of QEMU's threads, and the policy that the
//! environment names.
//!
//! The library inside QEMU and the command beside it both speak it. Nothing here hooks, pins, opens or
//! prints anything, and nothing panics, whatever the environment holds: the library runs inside
//! somebody else's process.

#![forbid(unsafe_code)]

mod cpus;
mod environment;
mod glob;
mod kernel_thread;
mod policy;
mod process;
mod role;
pub mod status_page;
mod tid;

pub use cpus::{CPU_LIMIT, CpuId, CpuList, CpuSet, KERNEL_CPU_LIMIT, MASK_WORDS, same_cpus};
pub use environment::{
    DEFAULT_TARGETS, Fault, Mistake, OnError, ParsedEnvironment, VARIABLES, Variable, acts_in,
};
#[doc(hidden)]
pub use environment::{Reading, Slip};
pub use glob::glob_matches;
pub use kernel_thread::KernelThread;
pub use policy::{Host, IoThreadId, Manager, Placement, Policy, SetId, VCPU_LIMIT, VcpuRange};
pub use process::{BROKER_NAME, DELETED, EX_CONFIG, strip_deleted};
#[doc(hidden)]
pub use role::UnknownRole;
pub use role::{Role, RoleKind, VcpuIndex};
pub use tid::Tid;
