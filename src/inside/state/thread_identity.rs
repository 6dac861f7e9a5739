//! Who a thread is: what its creator finds out before the thread exists.

use pinning::status_page::NAME_BYTES;
use pinning::{RoleKind, SetId};

/// What the creator knows of the thread it creates.
#[derive(Clone, Copy)]
pub(crate) struct ThreadIdentity {
    /// What it does.
    pub(crate) role: RoleKind,
    /// vCPU index or IOThread order.
    pub(crate) index: Option<u32>,
    /// Where it should be.
    pub(crate) set: SetId,
    /// What its own workers follow.
    pub(crate) home: SetId,
    /// QEMU's name could be read.
    pub(crate) named: bool,
    /// The name, cut to fit, and how much of it counts.
    name: [u8; NAME_BYTES],
    name_bytes: u8,
}

impl ThreadIdentity {
    /// A thread of this role on this set, without a name.
    pub(crate) fn unnamed(role: RoleKind, set: SetId, home: SetId) -> Self {
        Self { role, index: None, set, home, named: false, name: [0; NAME_BYTES], name_bytes: 0 }
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

    /// The same with a number: a vCPU's index, an IOThread's order.
    pub(crate) fn numbered(mut self, index: Option<u32>) -> Self {
        self.index = index;
        self
    }

    /// QEMU's name, cut to fit.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..usize::from(self.name_bytes)).unwrap_or_default()
    }
}
