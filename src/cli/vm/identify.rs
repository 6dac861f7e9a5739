//! Who a thread is, as far as that can be found out from outside.
//!
//! The library's register knows. For a thread that it does not list, these are asked in turn: QEMU itself
//! (QMP), the names that the kernel gives its own threads, the names that QEMU gives its threads. Each answer
//! carries its [`Evidence`], so that an assumption never looks like knowledge.

use crate::sys::threads::Thread;
use crate::vm::page::Content;
use crate::vm::qmp::Ids;
use pinning::status_page::Listed;
use pinning::{KernelThread, Policy, Role, RoleKind, SetId, Tid, VcpuIndex};
use std::collections::HashMap;

/// How a thread's role is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The library lists the thread, or it is the main thread.
    Certain,
    /// QEMU said so over QMP.
    Qemu,
    /// The thread's name says so.
    Name,
    /// Nothing says so: a thread with no other role counts as an emulator thread.
    Assumed,
    /// Nothing can say so: another library created it past ours, so it may be any of QEMU's threads.
    Unseen,
}

/// All that may be known about a VM's threads, except for the threads themselves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sources<'a> {
    /// The id of QEMU's process as it sees it itself.
    pub(crate) inner_pid: i32,
    /// Whether the ids that the kernel writes into the names of its threads are not those that are seen here: this command
    /// runs in a container.
    pub(crate) names_have_other_ids: bool,
    /// QEMU's status page.
    pub(crate) page: Option<&'a Content>,
    /// QEMU's own answer.
    pub(crate) ids: Option<&'a Ids>,
    /// A policy in place of the page's.
    pub(crate) policy: Option<&'a Policy>,
    /// The ids of the IOThreads that QEMU's arguments create.
    pub(crate) iothreads: &'a [String],
}

impl<'a> Sources<'a> {
    /// The policy that decides where threads belong.
    pub(crate) fn policy(&self) -> Option<&'a Policy> {
        self.policy.or(self.page.map(|page| &page.policy))
    }

    /// The register's entries by thread, with the ids that QEMU's process sees itself.
    pub(crate) fn register(&self) -> HashMap<Tid, &'a Listed> {
        let listed = self.page.map(|page| page.snapshot.threads.as_slice()).unwrap_or_default();
        listed.iter().map(|listed| (listed.tid, listed)).collect()
    }

    /// Whether threads may have been created unseen, and it matters: not all of them belong on the same set. Under KVM, where
    /// a vCPU has run, each of the vCPUs is known nevertheless.
    fn threads_may_be_unseen(&self) -> bool {
        let (Some(page), Some(policy)) = (self.page, self.policy()) else { return false };
        let places_all_alike =
            policy.sets().len() == 1 || (page.snapshot.settled && policy.places_vcpus_alone());
        page.snapshot.threads_may_be_unseen && !places_all_alike
    }

    /// Whether the register lists every thread that the library placed: it was never full.
    fn register_is_complete(&self) -> bool {
        self.page.is_some_and(|page| page.snapshot.counters.unlisted == 0)
    }
}

/// Who a thread is, before it is known where it belongs.
#[derive(Debug, Clone)]
pub(crate) struct Identified {
    pub(crate) role: OwnedRole,
    pub(crate) evidence: Evidence,
    /// QEMU's name for it, or its comm.
    pub(crate) name: Vec<u8>,
    /// Its entry in the register.
    pub(crate) listed: Option<Listed>,
    /// The ids of IOThreads of which it is one, where only the beginning of its id is known and that is a doubt.
    pub(crate) may_be: Vec<String>,
}

impl Identified {
    /// The rule of a policy that places it, by any of its names. A name that a listed thread has only inherited from its
    /// creator is none of them; of one that is not listed the comm is all there is.
    pub(crate) fn rule(&self, policy: &Policy) -> Option<SetId> {
        // A comm has no room for the whole id of every IOThread.
        let whole_id = match &self.role {
            OwnedRole::IoThread(id) => Some([b"IO ", id.as_slice()].concat()),
            _ => None,
        };
        let names = match &self.listed {
            Some(listed) if listed.name.is_empty() => [&[][..], &listed.given_name],
            Some(listed) => [self.name.as_slice(), &listed.given_name],
            None => [self.name.as_slice(), whole_id.as_deref().unwrap_or_default()],
        };
        let names = names.into_iter().filter(|name| !name.is_empty());
        policy.first_rule_of(names).map(|rule| policy.set_of_rule(rule))
    }
}

/// A [`Role`] that owns its text, and that tells the kernel's threads from QEMU's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnedRole {
    Emulator,
    Vcpu(u32),
    AllVcpus,
    IoThread(Vec<u8>),
    Worker,
    Migration,
    Vhost,
    Exempt,
    /// A thread that the kernel made in QEMU's process.
    Kernel(KernelThread),
}

impl OwnedRole {
    fn from_role(role: Role<'_>) -> Self {
        match role {
            Role::Emulator => OwnedRole::Emulator,
            Role::Vcpu(VcpuIndex(index)) => OwnedRole::Vcpu(index),
            Role::AllVcpus => OwnedRole::AllVcpus,
            Role::IoThread(id) => OwnedRole::IoThread(id.to_vec()),
            Role::Worker => OwnedRole::Worker,
            Role::Migration => OwnedRole::Migration,
            Role::Vhost => OwnedRole::Vhost,
            Role::Exempt => OwnedRole::Exempt,
        }
    }

    /// The role of an entry of the register. An entry has the kind of role alone: an IOThread's id is read
    /// out of its name, of which the entry keeps the beginning.
    fn from_listed(listed: &Listed) -> Self {
        match (listed.role, listed.index) {
            (RoleKind::Emulator, _) => OwnedRole::Emulator,
            (RoleKind::Vcpu, Some(index)) => OwnedRole::Vcpu(index),
            (RoleKind::Vcpu, None) => OwnedRole::AllVcpus,
            (RoleKind::IoThread, _) => {
                let id = listed.name.strip_prefix("IO ").unwrap_or(&listed.name);
                OwnedRole::IoThread(id.as_bytes().to_vec())
            }
            (RoleKind::Worker, _) => OwnedRole::Worker,
            (RoleKind::Migration, _) => OwnedRole::Migration,
            (RoleKind::Vhost, _) => OwnedRole::Vhost,
            (RoleKind::Exempt, _) => OwnedRole::Exempt,
        }
    }

    /// The same for a policy to look up.
    pub(crate) fn as_role(&self) -> Role<'_> {
        match self {
            OwnedRole::Emulator => Role::Emulator,
            OwnedRole::Vcpu(index) => Role::Vcpu(VcpuIndex(*index)),
            OwnedRole::AllVcpus => Role::AllVcpus,
            OwnedRole::IoThread(id) => Role::IoThread(id),
            OwnedRole::Worker => Role::Worker,
            OwnedRole::Migration => Role::Migration,
            OwnedRole::Vhost => Role::Vhost,
            OwnedRole::Exempt => Role::Exempt,
            OwnedRole::Kernel(thread) => thread.role(),
        }
    }
}

/// Who a thread is. `register` is [`Sources::register`].
pub(crate) fn identify(
    thread: &Thread,
    sources: &Sources<'_>,
    register: &HashMap<Tid, &Listed>,
) -> Identified {
    let comm = thread.comm.clone();
    if let Some(listed) = register.get(&thread.inner) {
        let is_main = thread.inner.0 == sources.inner_pid;
        // A thread that was created with a routine of another library's, and has not named itself either.
        let may_be_any = listed.role == RoleKind::Emulator
            && (&*listed.name, &*listed.given_name) == ("", b"")
            && !is_main
            && sources.threads_may_be_unseen();
        return Identified {
            role: OwnedRole::from_listed(listed),
            evidence: if may_be_any { Evidence::Unseen } else { Evidence::Certain },
            name: if listed.name.is_empty() { comm } else { listed.name.clone().into_bytes() },
            listed: Some((*listed).clone()),
            may_be: Vec::new(),
        };
    }
    let (role, evidence) = role_of_unlisted(thread, sources);
    Identified { role, evidence, name: comm, listed: None, may_be: Vec::new() }
}

fn role_of_unlisted(thread: &Thread, sources: &Sources<'_>) -> (OwnedRole, Evidence) {
    if thread.inner.0 == sources.inner_pid {
        return (OwnedRole::Emulator, Evidence::Certain);
    }
    if let Some(role) = sources.ids.and_then(|ids| role_by_qemu(ids, thread.inner)) {
        return (role, Evidence::Qemu);
    }
    if let Some(kernel_thread) = KernelThread::from_comm(&thread.comm) {
        return (OwnedRole::Kernel(kernel_thread), Evidence::Name);
    }
    // Where the register is complete, a thread that it does not list was made by a library with a clone(2)
    // of its own: its comm may be its creator's and says nothing.
    match Role::of_qemu_name(&thread.comm).filter(|_| !sources.register_is_complete()) {
        Some(role) => (OwnedRole::from_role(role), Evidence::Name),
        None if sources.threads_may_be_unseen() => (OwnedRole::Emulator, Evidence::Unseen),
        None => (OwnedRole::Emulator, Evidence::Assumed),
    }
}

fn role_by_qemu(ids: &Ids, tid: Tid) -> Option<OwnedRole> {
    let mut vcpus = ids.vcpus.iter().filter(|(_, thread)| *thread == tid);
    if let Some((index, _)) = vcpus.next() {
        let one_for_all = vcpus.next().is_some();
        return Some(if one_for_all { OwnedRole::AllVcpus } else { OwnedRole::Vcpu(*index) });
    }
    let (id, _) = ids.iothreads.iter().find(|(_, thread)| *thread == tid)?;
    Some(OwnedRole::IoThread(id.clone().into_bytes()))
}

/// The name to show for a thread. For an IOThread that QEMU named it is the whole id, which a comm has no room
/// for.
pub(crate) fn name_shown(identified: &Identified) -> String {
    match (&identified.role, identified.evidence) {
        (OwnedRole::IoThread(id), Evidence::Qemu) => format!("IO {}", String::from_utf8_lossy(id)),
        (OwnedRole::Vcpu(index), Evidence::Qemu) if Role::of_qemu_name(&identified.name).is_none() => {
            format!("CPU {index}")
        }
        _ => String::from_utf8_lossy(&identified.name).into_owned(),
    }
}
