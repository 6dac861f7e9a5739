//! Who a thread was that came and went between two looks at the VM: its name and its creator are all there is.

use pinning::{CpuSet, KernelThread, Policy, Role, RoleKind, SetId};

/// Who a thread is, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) role: RoleKind,
    /// Nothing says it for certain.
    pub(crate) is_assumed: bool,
    pub(crate) index: Option<u32>,
    /// `None`: nothing says where.
    pub(crate) expected: Option<CpuSet>,
}

/// Its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// It was given this one.
    Own(&'a str),
    /// It has this one from its creator.
    Inherited(&'a str),
}

/// Tells a thread by its name and its creator.
pub(crate) fn tell(name: Name<'_>, policy: Option<&Policy>, creator: Option<&Told>) -> Told {
    let (comm, is_own) = match name {
        Name::Own(comm) => (comm.as_bytes(), true),
        Name::Inherited(comm) => (comm.as_bytes(), false),
    };
    let kernel_thread = KernelThread::from_comm(comm).filter(|_| is_own).map(KernelThread::role);
    // A worker that creates another one passes its name on. Whoever else does says nothing.
    let is_workers = creator.is_some_and(|creator| creator.role == RoleKind::Worker);
    let role = kernel_thread.or_else(|| Role::of_qemu_name(comm).filter(|_| is_own || is_workers));
    let rule = policy.and_then(|policy| policy.rule_for(comm)).filter(|_| is_own);
    let set = |set: SetId| policy.map(|policy| policy.set(set).clone());
    let Some(role) = role else {
        // It may be any of QEMU's threads: where all belong on one set, on that.
        let only = policy.filter(|policy| policy.sets().len() == 1).and_then(|_| set(policy?.emulator()));
        let expected = rule.map_or(only, set);
        return Told { role: RoleKind::Emulator, is_assumed: true, index: None, expected };
    };
    let index = match role {
        Role::Vcpu(index) => Some(index.0),
        _ => None,
    };
    let expected = match (rule, role) {
        (Some(rule), _) => set(rule),
        (None, Role::Exempt) => None,
        (None, Role::Worker) => match (policy.and_then(Policy::workers), creator) {
            (Some(workers), _) => set(workers),
            // The first worker of a pool is created by the thread that it works for, later ones by workers.
            (None, Some(Told { role: RoleKind::Worker | RoleKind::IoThread, expected, .. })) => {
                expected.clone()
            }
            (None, _) => policy.and_then(|policy| set(policy.emulator())),
        },
        (None, _) => policy.and_then(|policy| set(policy.cpus_for(role, 0, policy.emulator()))),
    };
    Told { role: role.kind(), is_assumed: false, index, expected }
}
