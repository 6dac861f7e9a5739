//! Real-time classes that would hang QEMU: a thread of such a class runs for as long as it wants to, and a thread of a usual
//! class that may run on no other CPU waits for ever. A vCPU always wants to run.
//!
//! Which vCPUs and IOThreads a VM has is not known yet. So of these only those count that a variable names, by their place or
//! by their class.

use super::classes::Classes;
use super::placement::Placement;
use super::policy::Policy;
use super::sets::SetId;
use crate::cpus::CpuSet;
use crate::role::{Role, VcpuIndex};

/// Threads that have CPUs and a class in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    who: Who,
    set: SetId,
    is_real_time: bool,
}

/// Which threads, in the order in which they are named to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Emulator,
    IoThreads,
    Workers,
    Migration,
    Vhost,
    Vcpus,
}

impl Who {
    /// What to call them.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Who::Emulator => "the emulator's threads",
            Who::IoThreads => "the IOThreads",
            Who::Workers => "the workers",
            Who::Migration => "the migration threads",
            Who::Vhost => "the vhost workers",
            Who::Vcpus => "the vCPUs",
        }
    }

    /// The variable that says where they run.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Who::Emulator => "PIN_EMULATOR",
            Who::IoThreads => "PIN_IOTHREADS",
            Who::Workers => "PIN_WORKERS",
            Who::Migration => "PIN_MIGRATION",
            Who::Vhost => "PIN_VHOST",
            Who::Vcpus => "PIN_VCPUS",
        }
    }
}

/// Why a real-time class would hang QEMU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hang {
    /// Threads with such a class share CPUs with threads that have none.
    Shared { real_time: Who, other: Who, cpus: CpuSet },
    /// Threads with such a class have every CPU of the VM.
    EveryCpu(CpuSet),
}

/// Why the classes of a policy would hang QEMU; `None` if they would not.
pub(crate) fn hang(policy: &Policy, classes: &Classes) -> Option<Hang> {
    if !classes.any_is_real_time() {
        return None;
    }
    let groups = groups(policy, classes);
    let of = |is_real_time: bool| groups.iter().filter(move |group| group.is_real_time == is_real_time);
    let union =
        |is_real_time| of(is_real_time).fold(CpuSet::new(), |all, group| all.union(policy.set(group.set)));
    let taken = union(true);
    for other in of(false) {
        let cpus = policy.set(other.set).intersection(&taken);
        let shares = |group: &&Group| !policy.set(group.set).intersection(&cpus).is_empty();
        if let Some(real_time) = of(true).find(shares) {
            let cpus = policy.set(real_time.set).intersection(&cpus);
            return Some(Hang::Shared { real_time: real_time.who, other: other.who, cpus });
        }
    }
    (!taken.is_empty() && union(false).is_empty()).then_some(Hang::EveryCpu(taken))
}

/// The threads that the VM has for certain, and those that a variable names.
fn groups(policy: &Policy, classes: &Classes) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut add = |who: Who, set: SetId, role: Role<'_>| {
        let is_real_time = classes.of(role).is_some_and(|class| class.kind.is_real_time());
        groups.push(Group { who, set, is_real_time });
    };
    add(Who::Emulator, policy.emulator, Role::Emulator);
    add(Who::Migration, policy.migration, Role::Migration);
    let mut homes = vec![policy.emulator];
    match &policy.iothreads {
        // In a list an id has no place, so only the class of all IOThreads is known.
        Some(Placement::List(sets)) => {
            for set in sets {
                add(Who::IoThreads, *set, Role::IoThread(b""));
                homes.push(*set);
            }
        }
        Some(Placement::Map { named, rest }) => {
            for (id, set) in named {
                add(Who::IoThreads, *set, Role::IoThread(id.0.as_bytes()));
                homes.push(*set);
            }
            if let Some(set) = rest {
                add(Who::IoThreads, *set, Role::IoThread(b""));
                homes.push(*set);
            }
        }
        None => {
            let named = classes.some_iothreads.iter().map(|(id, _)| id.0.as_bytes());
            let others = classes.iothreads.map(|_| &b""[..]);
            named.chain(others).for_each(|id| add(Who::IoThreads, policy.base(), Role::IoThread(id)));
        }
    }
    for set in policy.workers.map_or(homes, |set| vec![set]) {
        add(Who::Workers, set, Role::Worker);
    }
    if policy.has("PIN_VHOST") {
        policy.vhost.sets().into_iter().for_each(|set| add(Who::Vhost, set, Role::Vhost));
    }
    let mut vcpu = |index: u32| {
        let role = Role::Vcpu(VcpuIndex(index));
        add(Who::Vcpus, policy.cpus_for(role, 0, policy.emulator), role);
    };
    classes.some_vcpus.iter().for_each(|(range, _)| (range.first.0..=range.last.0).for_each(&mut vcpu));
    match &policy.vcpus {
        Some(Placement::List(sets)) => (0u32..).zip(sets).for_each(|(index, _)| vcpu(index)),
        Some(Placement::Map { named, rest }) => {
            named.iter().for_each(|(range, _)| (range.first.0..=range.last.0).for_each(&mut vcpu));
            if let Some(set) = rest {
                add(Who::Vcpus, *set, Role::AllVcpus);
            }
        }
        None => add(Who::Vcpus, policy.base(), Role::AllVcpus),
    }
    groups.sort();
    groups.dedup();
    groups
}
