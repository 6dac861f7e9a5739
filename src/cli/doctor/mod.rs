//! What on a host works against pinning, for a VM or for CPUs: one file for each thing that is looked at.
//!
//! `subject` is what is asked about and `host` what all subjects have in common; `examine` lists the examinations. Each
//! makes `finding`s of what it reads with `reading`; `shell` has the parts of the commands in them.

pub(crate) mod examine;
pub(crate) mod finding;
mod governor;
pub(crate) mod host;
mod interrupts;
mod kernel_threads;
mod leases;
mod other_vms;
mod own_threads;
mod quota;
mod reading;
#[cfg(test)]
mod sample;
mod shell;
mod siblings;
pub(crate) mod subject;
mod workqueues;
