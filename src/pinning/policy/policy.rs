//! The policy: which CPUs each thread of the VM belongs on, read from the environment once.
//!
//! Asked as threads are created, inside QEMU: every question is answered without allocating, locking or
//! panicking.

use super::placement::{IoThreadId, Placement, VcpuRange};
use super::sets::{BASE, SetId};
use crate::cpus::CpuSet;
use crate::glob::glob_matches;
use crate::kernel_thread::KernelThread;
use crate::role::Role;

/// Somebody who arranges cgroups and affinities after QEMU's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// libvirt.
    Libvirt,
}

/// Which CPUs each thread of the VM belongs on.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) sets: Vec<CpuSet>,
    pub(crate) vcpus: Option<Placement<VcpuRange, SetId>>,
    pub(crate) all_vcpus: SetId,
    pub(crate) iothreads: Option<Placement<IoThreadId, SetId>>,
    pub(crate) emulator: SetId,
    pub(crate) workers: Option<SetId>,
    pub(crate) migration: SetId,
    pub(crate) vhost: SetId,
    pub(crate) rules: Vec<(String, SetId)>,
    pub(crate) manager: Option<Manager>,
    pub(crate) names_threads: bool,
    pub(crate) log_filter: String,
    pub(crate) entries: Vec<(String, String)>,
}

static NO_CPU: CpuSet = CpuSet::new();

impl Policy {
    /// The distinct sets of the policy; a [`SetId`] is an index into them, 0 is the base.
    pub fn sets(&self) -> &[CpuSet] {
        &self.sets
    }

    /// The set of this number; the base for a number that is none of this policy's.
    pub fn set(&self, id: SetId) -> &CpuSet {
        self.sets.get(usize::from(id.0)).or(self.sets.first()).unwrap_or(&NO_CPU)
    }

    /// The set of all threads that nothing else names.
    pub fn base(&self) -> SetId {
        BASE
    }

    /// The set of the main loop and of every thread with no role of its own.
    pub fn emulator(&self) -> SetId {
        self.emulator
    }

    /// The set of the kernel's vhost workers.
    pub fn vhost(&self) -> SetId {
        self.vhost
    }

    /// The set of all workers (`PIN_WORKERS`). `None` if the variable does not count: then the workers of a
    /// pool follow the pool's home.
    pub fn workers(&self) -> Option<SetId> {
        self.workers
    }

    /// The set of the workers of a pool, or of an io_uring, whose home runs on `home`.
    pub fn workers_of(&self, home: SetId) -> SetId {
        self.workers.unwrap_or(home)
    }

    /// The set of a thread by its role.
    ///
    /// `order` is an IOThread's place in the order of creation, from 0, and is of no interest to other roles.
    /// `home` is the set of the home of a worker's pool, and of no interest to other roles.
    pub fn cpus_for(&self, role: Role<'_>, order: u32, home: SetId) -> SetId {
        match role {
            Role::Emulator | Role::Exempt => self.emulator,
            Role::Vcpu(index) => self.vcpus.as_ref().and_then(|p| p.of_vcpu(index)).copied().unwrap_or(BASE),
            Role::AllVcpus => self.all_vcpus,
            Role::IoThread(id) => {
                self.iothreads.as_ref().and_then(|p| p.of_iothread(id, order)).copied().unwrap_or(BASE)
            }
            Role::Worker => self.workers_of(home),
            Role::Migration => self.migration,
            Role::Vhost => self.vhost,
        }
    }

    /// The set of a thread that the kernel made, which has this comm: that of the first rule that matches the
    /// comm, else of the first that matches the full name, else that of its role.
    ///
    /// `home` is the set of the thread that an io_uring worker serves ([`Policy::emulator`] where that thread
    /// is not known), and is of no interest to others.
    pub fn cpus_for_kernel_thread(&self, thread: KernelThread, comm: &[u8], home: SetId) -> SetId {
        let full_name = thread.full_name().map(str::as_bytes);
        self.rule_for(comm)
            .or_else(|| self.rule_for(full_name?))
            .unwrap_or_else(|| self.cpus_for(thread.role(), 0, home))
    }

    /// The set that `PIN_THREADS` gives to a thread of this (full) name: that of the first rule that matches.
    pub fn rule_for(&self, name: &[u8]) -> Option<SetId> {
        self.rules.iter().find(|(glob, _)| glob_matches(glob.as_bytes(), name)).map(|(_, set)| *set)
    }

    /// Whether an ordered list ends before this vCPU or IOThread, so that it gets the base set for want of an
    /// entry.
    pub fn list_too_short(&self, role: Role<'_>, order: u32) -> bool {
        match role {
            Role::Vcpu(index) => self.vcpus.as_ref().is_some_and(|p| p.is_too_short(index.0)),
            Role::IoThread(_) => self.iothreads.as_ref().is_some_and(|p| p.is_too_short(order)),
            _ => false,
        }
    }

    /// Whether threads are to be named after their QEMU name (`PIN_NAMES`).
    pub fn names_threads(&self) -> bool {
        self.names_threads
    }

    /// Who arranges cgroups and affinities after QEMU's start (`PIN_MANAGER`).
    pub fn manager(&self) -> Option<Manager> {
        self.manager
    }

    /// How much is said at run time, an env_logger filter (`PIN_LOG`).
    pub fn log_filter(&self) -> &str {
        &self.log_filter
    }

    /// The variables that made this policy, name and value, in the order of [`VARIABLES`](crate::VARIABLES).
    ///
    /// [`Policy::read`](crate::Policy::read) makes the same policy of them again, given the same host.
    pub fn entries(&self) -> &[(String, String)] {
        &self.entries
    }
}
