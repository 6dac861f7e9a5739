//! Who a thread is: its role, its set and its name. Its creator finds that out before the thread exists.

use crate::state::standing::Standing;
use pinning::status_page::NAME_BYTES;
use pinning::{Class, Policy, Role, RoleKind, SetId};

/// Who a thread is.
#[derive(Clone, Copy)]
pub(crate) struct ThreadIdentity {
    /// Its role.
    pub(crate) role: RoleKind,
    /// A vCPU's index, or an IOThread's number in the order of creation.
    pub(crate) index: Option<u32>,
    /// The set that it should run on.
    pub(crate) set: SetId,
    /// The set that its own workers follow.
    pub(crate) home: SetId,
    /// Whether its creator is on the same set, as far as that is known: then it begins there.
    pub(crate) begins_in_place: bool,
    /// What its role and its set come from.
    pub(crate) standing: Standing,
    /// The scheduling class that it should have; `None`: the one that the process was started with.
    pub(crate) class: Option<Class>,
    /// Whether its creator has asked for a class of his own for it (pthread_attr_setinheritsched(3)).
    pub(crate) has_own_class: bool,
    /// Whether QEMU's name for it could be read.
    pub(crate) named: bool,
    /// QEMU's name for it, cut to fit.
    name: [u8; NAME_BYTES],
    /// How many bytes of `name` are the name.
    name_bytes: u8,
}

impl ThreadIdentity {
    /// A thread of this role on this set, without a name.
    pub(crate) fn unnamed(role: RoleKind, set: SetId, home: SetId) -> Self {
        Self {
            role,
            index: None,
            set,
            home,
            begins_in_place: false,
            standing: Standing::of_role(role, set),
            class: None,
            has_own_class: false,
            named: false,
            name: [0; NAME_BYTES],
            name_bytes: 0,
        }
    }

    /// A thread that this decides about, without a name. An IOThread's workers follow it; `home` is the set that any other
    /// thread's follow.
    pub(crate) fn standing(standing: Standing, policy: &Policy, home: SetId) -> Self {
        let (role, set) = (standing.role(), standing.set(policy));
        let home = if role == RoleKind::IoThread { set } else { home };
        let class = match role {
            RoleKind::Emulator => policy.class_for(Role::Emulator),
            RoleKind::Worker => policy.class_for(Role::Worker),
            RoleKind::Migration => policy.class_for(Role::Migration),
            // Whose index or id is known has that of his own.
            RoleKind::Vcpu => policy.class_for(Role::AllVcpus),
            RoleKind::IoThread => policy.class_for(Role::IoThread(b"")),
            RoleKind::Vhost | RoleKind::Exempt => None,
        };
        Self { standing, class, ..Self::unnamed(role, set, home) }
    }

    /// The same with the scheduling class of the one vCPU or IOThread that it is.
    pub(crate) fn with_class(mut self, class: Option<Class>) -> Self {
        self.class = class;
        self
    }

    /// The same with QEMU's name for it.
    pub(crate) fn with_name(mut self, name: &[u8]) -> Self {
        let mut bytes = 0;
        for (to, from) in self.name.iter_mut().zip(name) {
            *to = *from;
            bytes += 1;
        }
        self.name_bytes = bytes;
        self.named = true;
        self
    }

    /// The same with a vCPU's index or an IOThread's number.
    pub(crate) fn numbered(mut self, index: Option<u32>) -> Self {
        self.index = index;
        self
    }

    /// QEMU's name, cut to fit.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..usize::from(self.name_bytes)).unwrap_or_default()
    }
}
