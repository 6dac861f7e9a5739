//! What the integration tests use: they run real programs and a real QEMU, and observe both from outside.
//!
//! Nothing in here knows how the library works. What a thread may do is read from `/proc`, which
//! thread is which is asked of QEMU over QMP, and no verdict rests on what the library says of
//! itself. A test runs under a [`TimeLimit`], makes files only in a [`Scratch`] folder, and ends
//! the processes it started, by pid, also when it fails.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the harness fails a test by panicking"
)]

mod broker;
mod compiler;
mod cpus;
mod cpuset;
mod daemon;
mod expect;
mod filtered;
pub mod floors;
mod guest;
mod hwloc;
mod judge;
mod kvm;
mod library;
mod long;
mod observer;
mod pipe;
mod process;
mod qemu;
mod qmp;
mod qtest;
mod scheduling;
mod scratch;
mod skip;
mod threads;
mod time_limit;
mod twins;
mod user;
mod vm;

pub use broker::{Companion, Halted, LeftRunning, brokers_of};
pub use compiler::{Source, compile, compile_library};
pub use cpus::{TwoCpus, available, cpus_of, cpus_of_thread, move_thread, outer_mask, two_cpus};
pub use cpuset::ChildCpuset;
pub use daemon::Daemon;
pub use expect::until;
pub use filtered::Filtered;
pub use guest::{assemble, visits};
pub use hwloc::{Groups, HwlocHost, planned_groups};
pub use judge::{Expected, Offence, Rule, judge};
pub use kvm::kvm_missing;
pub use library::{command, library, pinshim};
pub use long::long;
pub use observer::{Observation, Observer, Run, ThreadSeen};
pub use pipe::{pipe, pipe_without_reader};
pub use process::{Finished, Process, Program};
pub use qemu::{always_named, object_missing, qemu, run_as};
pub use qmp::Qmp;
pub use qtest::Qtest;
pub use scheduling::{Scheduling, give_usual_class, scheduling_of};
pub use scratch::Scratch;
pub use skip::{or_skip, skip};
pub use threads::{children_of, threads};
pub use time_limit::TimeLimit;
pub use user::{NOBODY, Uid, alone, have_as_run, hide_other_users, own_mounts_missing, root_missing};
pub use vm::{Accel, Aio, Bus, Drive, LIBVIRT_SANDBOX, Vm, VmBuilder};

/// How a target ends that was given a bad value: `EX_CONFIG` of sysexits.h.
pub const EX_CONFIG: i32 = 78;
