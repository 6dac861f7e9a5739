//! What the preload library does inside QEMU.
//!
//! The crate `shim` is the library itself: the functions that it exports (its hooks), a few lines each, and
//! its constructor. They call what is in here. This is a crate of its own so that it can have unit tests: the
//! hooks would replace the test runner's own functions.
//!
//! # The life of a QEMU under the library
//! 1. The library's constructor, or the first hook if that is called earlier, reads the environment once
//!    ([`start`]). If the process is not a target or the environment has no placement, the library does
//!    nothing more. Else it puts the main thread on the emulator's set, before QEMU's `main`.
//! 2. `pthread_create` ([`calls::create`]): the creator reads QEMU's name for the new thread
//!    ([`identity::qemu`]), which gives its role and set ([`identity::role`]), and leaves both in a slot
//!    ([`state::slots`]). The new thread writes its entry on the status page and puts itself on its set
//!    ([`placing::enlist`]), and goes on to its own routine.
//! 3. `seccomp_load` ([`calls::sandbox`]): just before QEMU loads its filter, the library starts the [`broker`]
//!    outside it, which places threads from then on. Any filter that the program loads ([`calls::own_filter`]) says which
//!    system calls are left to the library ([`filters`]).
//! 4. `ioctl` ([`calls::ioctl`]): KVM_CREATE_VCPU shows that a thread is a vCPU. Before the first KVM_RUN all
//!    threads are rescanned ([`placing::rescan`]), since libvirt moves threads until then and the kernel
//!    makes some of its own.
//! 5. `io_uring_submit` ([`calls::io_uring`]): the kernel's io_uring workers are placed as QEMU's own workers
//!    are.
//! 6. `pthread_setaffinity_np` and `sched_setaffinity` ([`calls::setaffinity`]): other libraries' requests
//!    are cut to the set of the thread that they are about.
//! 7. All of it can be read from outside on the status page ([`state::page`]), until the process ends.
//!
//! # The floors
//! From the top: `calls`, `start`, `placing`, `broker`, `identity` and `affinity`, `state`, `report` and `leases`,
//! `sys`, `filters` and `hash`. A file imports only from its own floor or a lower one, and no two files import each other.
//!
//! # What must never happen in here
//! A panic, an abort, an exit (but for a faulty environment at the start), a wait without an end, a line on
//! stderr that `PIN_LOG` did not ask for, a changed errno; a lock or an allocation between a thread's first
//! instruction and its own routine, or around KVM_RUN. Unsafe code is in the few modules that do not forbid
//! it.

#![allow(rustdoc::private_intra_doc_links, reason = "who reads this works on the crate")]

mod affinity;
mod broker;
pub mod calls;
mod filters;
#[forbid(unsafe_code)]
mod hash;
mod identity;
mod leases;
#[forbid(unsafe_code)]
mod placing;
#[forbid(unsafe_code)]
mod report;
#[forbid(unsafe_code)]
mod start;
mod state;
mod sys;
#[cfg(test)]
mod testing;

pub use affinity::direct::real_pthread_setaffinity;
pub use start::shim_or_start;
pub use state::shim::Shim;
pub use sys::errno::{REAL_SYSCALL, set_errno};
pub use sys::symbol::Optional;
