//! What on a host works against pinning, for a VM or for CPUs: one file for each thing that is looked at.
//!
//! `subject` is what is asked about and `host` what all subjects have in common; `examine` lists the examinations. Each
//! makes `finding`s of what it reads with `reading`; `shell` has the parts of the commands in them.

mod cpuset;
pub(crate) mod examine;
pub(crate) mod finding;
mod governor;
mod guest_cores;
mod halt_polling;
mod hidden;
pub(crate) mod host;
mod huge_pages;
mod idle_states;
mod interrupts;
mod irqbalance;
mod isolation;
mod kernel_threads;
mod ksm;
mod leases;
mod memory;
mod offline;
mod other_vms;
mod own_threads;
mod pinned;
mod quota;
mod reading;
mod real_time;
#[cfg(test)]
mod sample;
mod scheduler;
mod shell;
mod siblings;
mod steal;
pub(crate) mod subject;
mod tick;
mod turbo;
mod vhost;
pub(crate) mod words;
mod workqueues;
