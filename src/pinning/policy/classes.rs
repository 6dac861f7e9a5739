//! Which thread has which scheduling class (`PIN_SCHED`).
//!
//! The library looks up as QEMU creates threads, so looking up neither allocates nor panics.

use super::placement::{IoThreadId, VcpuRange};
use crate::class::Class;
use crate::role::{Role, VcpuIndex};
use std::cmp::Ordering;

/// The classes that `PIN_SCHED` names, by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    /// `vcpus[1-3]`: sorted; no two ranges have a vCPU in common.
    pub(crate) some_vcpus: Vec<(VcpuRange, Class)>,
    /// `vcpus`: all others.
    pub(crate) vcpus: Option<Class>,
    /// `iothreads[io1]`: sorted, each once.
    pub(crate) some_iothreads: Vec<(IoThreadId, Class)>,
    /// `iothreads`: all others.
    pub(crate) iothreads: Option<Class>,
    /// `emulator`.
    pub(crate) emulator: Option<Class>,
    /// `workers`.
    pub(crate) workers: Option<Class>,
    /// `migration`.
    pub(crate) migration: Option<Class>,
    /// `all`: those that nothing else names.
    pub(crate) all: Option<Class>,
}

impl Classes {
    /// The class of a thread with this role; `None` if it keeps the one that QEMU was started with. The kernel's own threads
    /// do, and so do those that QEMU places itself.
    pub(crate) fn of(&self, role: Role<'_>) -> Option<Class> {
        let named = match role {
            Role::Vcpu(index) => self.of_vcpu(index).or(self.vcpus),
            Role::AllVcpus => self.vcpus,
            Role::IoThread(id) => self.of_iothread(id).or(self.iothreads),
            Role::Emulator => self.emulator,
            Role::Worker => self.workers,
            Role::Migration => self.migration,
            Role::Vhost | Role::Exempt => return None,
        };
        named.or(self.all)
    }

    fn of_vcpu(&self, index: VcpuIndex) -> Option<Class> {
        let at = self.some_vcpus.binary_search_by(|(range, _)| {
            if range.last < index {
                Ordering::Less
            } else if range.first > index {
                Ordering::Greater
            } else {
                Ordering::Equal
            }
        });
        self.some_vcpus.get(at.ok()?).map(|(_, class)| *class)
    }

    fn of_iothread(&self, id: &[u8]) -> Option<Class> {
        let at = self.some_iothreads.binary_search_by(|(named, _)| named.0.as_bytes().cmp(id)).ok()?;
        self.some_iothreads.get(at).map(|(_, class)| *class)
    }

    /// Whether any thread may get a real-time class.
    pub(crate) fn any_is_real_time(&self) -> bool {
        let some = self.some_vcpus.iter().map(|(_, class)| class);
        let some = some.chain(self.some_iothreads.iter().map(|(_, class)| class));
        let roles = [&self.vcpus, &self.iothreads, &self.emulator, &self.workers, &self.migration, &self.all];
        some.chain(roles.into_iter().flatten()).any(|class| class.kind.is_real_time())
    }
}
