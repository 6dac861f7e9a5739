//! Who a thread is, as far as that can be told from outside.
//!
//! The library's register knows; where it has nothing, QEMU's own answer (QMP), the kernel's names and
//! QEMU's names speak, in this order. What is only assumed is marked so: it must never look like
//! knowledge.

use crate::output::text::harmless;
use crate::sys::threads::Thread;
use crate::vm::page::Content;
use crate::vm::qmp::Ids;
use pinning::status_page::Listed;
use pinning::{KernelThread, Policy, Role, RoleKind, Tid, VcpuIndex};
use std::collections::HashMap;

/// How a thread's role is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The library lists it, or it is the main thread.
    Surely,
    /// QEMU said so itself.
    FromQemu,
    /// Its name says so.
    ByName,
    /// Nothing says so: what has no other role counts as the emulator's.
    Assumed,
}

/// All that may be known of a VM's threads, but for the threads themselves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sources<'a> {
    /// The process's id as it sees it itself.
    pub(crate) inner_pid: i32,
    /// Its status page.
    pub(crate) page: Option<&'a Content>,
    /// QEMU's own answer.
    pub(crate) ids: Option<&'a Ids>,
    /// A policy in place of the page's.
    pub(crate) policy: Option<&'a Policy>,
}

/// Who a thread is, without where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) who: Who,
    pub(crate) known: Known,
    /// QEMU's name, or the comm.
    pub(crate) name: Vec<u8>,
    pub(crate) listed: Option<Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Emulator,
    Vcpu(u32),
    AllVcpus,
    IoThread(Vec<u8>),
    Worker,
    /// A worker of the kernel's, with the thread it serves.
    IoUringWorker(Tid),
    Migration,
    Vhost,
    Exempt,
}

impl Who {
    fn of_role(role: Role<'_>) -> Self {
        match role {
            Role::Emulator => Who::Emulator,
            Role::Vcpu(VcpuIndex(index)) => Who::Vcpu(index),
            Role::AllVcpus => Who::AllVcpus,
            Role::IoThread(id) => Who::IoThread(id.to_vec()),
            Role::Worker => Who::Worker,
            Role::Migration => Who::Migration,
            Role::Vhost => Who::Vhost,
            Role::Exempt => Who::Exempt,
        }
    }

    /// The register keeps a name's beginning, and the role without whom it is about.
    fn of_listed(listed: &Listed) -> Self {
        match (listed.role, listed.index) {
            (RoleKind::Emulator, _) => Who::Emulator,
            (RoleKind::Vcpu, Some(index)) => Who::Vcpu(index),
            (RoleKind::Vcpu, None) => Who::AllVcpus,
            (RoleKind::IoThread, _) => {
                let id = listed.name.strip_prefix("IO ").unwrap_or(&listed.name);
                Who::IoThread(id.as_bytes().to_vec())
            }
            (RoleKind::Worker, _) => Who::Worker,
            (RoleKind::Migration, _) => Who::Migration,
            (RoleKind::Vhost, _) => Who::Vhost,
            (RoleKind::Exempt, _) => Who::Exempt,
        }
    }

    pub(crate) fn role(&self) -> Role<'_> {
        match self {
            Who::Emulator => Role::Emulator,
            Who::Vcpu(index) => Role::Vcpu(VcpuIndex(*index)),
            Who::AllVcpus => Role::AllVcpus,
            Who::IoThread(id) => Role::IoThread(id),
            Who::Worker | Who::IoUringWorker(_) => Role::Worker,
            Who::Migration => Role::Migration,
            Who::Vhost => Role::Vhost,
            Who::Exempt => Role::Exempt,
        }
    }
}

pub(crate) fn tell(thread: &Thread, sources: &Sources<'_>, listed: &HashMap<Tid, &Listed>) -> Told {
    let comm = thread.comm.clone();
    let told = |who, known| Told { who, known, name: comm.clone(), listed: None };
    if let Some(listed) = listed.get(&thread.inner) {
        let name = if listed.name.is_empty() { comm } else { listed.name.clone().into_bytes() };
        let who = Who::of_listed(listed);
        return Told { who, known: Known::Surely, name, listed: Some((*listed).clone()) };
    }
    if thread.inner.0 == sources.inner_pid {
        return told(Who::Emulator, Known::Surely);
    }
    if let Some(ids) = sources.ids {
        if let Some(who) = by_qemu(ids, thread.inner) {
            return told(who, Known::FromQemu);
        }
    }
    if let Some(kernels) = Role::of_kernel_comm(&thread.comm) {
        let who = match kernels {
            KernelThread::NxRecovery => Who::Emulator,
            KernelThread::Vhost => Who::Vhost,
            KernelThread::IoUringWorker { submitter } => {
                Who::IoUringWorker(Tid(i32::try_from(submitter).unwrap_or(0)))
            }
        };
        return told(who, Known::ByName);
    }
    // Where there is a register, a thread that it does not have is one that a library made by a clone(2) of its
    // own, and whose comm may be its creator's; unless the register was full.
    let register_is_whole = sources.page.is_some_and(|page| page.snapshot.counters.unlisted == 0);
    match Role::of_qemu_name(&thread.comm).filter(|_| !register_is_whole) {
        Some(role) => told(Who::of_role(role), Known::ByName),
        None => told(Who::Emulator, Known::Assumed),
    }
}

fn by_qemu(ids: &Ids, tid: Tid) -> Option<Who> {
    let mut vcpus = ids.vcpus.iter().filter(|(_, thread)| *thread == tid);
    if let Some((index, _)) = vcpus.next() {
        let one_for_all = vcpus.next().is_some();
        return Some(if one_for_all { Who::AllVcpus } else { Who::Vcpu(*index) });
    }
    let (id, _) = ids.iothreads.iter().find(|(_, thread)| *thread == tid)?;
    Some(Who::IoThread(id.clone().into_bytes()))
}

/// The policy that counts.
pub(crate) fn policy<'a>(sources: &Sources<'a>) -> Option<&'a Policy> {
    sources.policy.or(sources.page.map(|page| &page.policy))
}

/// An IOThread by its whole id, which a comm has no room for.
pub(crate) fn name_shown(told: &Told) -> String {
    match (&told.who, told.known) {
        (Who::IoThread(id), Known::FromQemu) => format!("IO {}", harmless(id)),
        (Who::Vcpu(index), Known::FromQemu) if Role::of_qemu_name(&told.name).is_none() => {
            format!("CPU {index}")
        }
        _ => harmless(&told.name),
    }
}
