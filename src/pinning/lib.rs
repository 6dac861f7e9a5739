//! The vocabulary of pinshim: sets of CPUs, the roles of QEMU's threads, scheduling classes, and the policy that
//! the environment states.
//!
//! The library inside QEMU and the command beside it share it. It is pure: it makes no system call and prints
//! nothing. It never panics, whatever the environment or a status page holds, because the library runs inside
//! somebody else's process.
//!
//! | module | holds |
//! |---|---|
//! | `environment` | the text of the `PIN_*` variables, and the policy that it makes |
//! | [`status_page`] | what the library writes for the command: its layout, making it, reading it |
//! | `policy` | on which CPUs each thread belongs |
//! | `cpus` | CPU numbers, sets, masks, cpulists |
//! | `class`, `sched_attributes` | how a thread is scheduled, and the kernel's form of that |
//! | `role`, `kernel_thread` | what a thread is for, by its name |
//! | `process` | what the library and the command must agree on about processes |
//! | `memory` | NUMA nodes, and the policy by which memory is taken from them |
//! | `tid`, `glob`, `harmful` | thread ids; globs on names; characters that must not reach a terminal |

#![forbid(unsafe_code)]

mod class;
mod cpus;
mod environment;
mod glob;
mod harmful;
mod kernel_thread;
mod memory;
mod policy;
mod process;
mod role;
mod sched_attributes;
pub mod status_page;
mod tid;

pub use class::{Class, ClassKind};
pub use cpus::{CPU_LIMIT, CpuId, CpuList, CpuSet, MASK_WORDS, same_cpus};
pub use environment::{
    DEFAULT_TARGETS, Fault, MAX_VALUE_BYTES, Mistake, OnError, ParsedEnvironment, VARIABLES, Variable,
    acts_in,
};
pub use glob::glob_matches;
pub use harmful::is_harmful;
pub use kernel_thread::KernelThread;
pub use memory::{MemoryPolicy, NODE_LIMIT, NodeSet};
pub use policy::{
    COMM_BYTES, Host, IoThreadId, Manager, Placement, Policy, RuleIndex, SetId, Unmet, VCPU_LIMIT, VcpuRange,
    VhostRange,
};
pub use process::{BROKER_NAME, DELETED, EX_CONFIG, LEASES_VARIABLE, strip_deleted};
pub use role::{Role, RoleKind, VcpuIndex};
pub use sched_attributes::SchedAttributes;
pub use tid::Tid;
