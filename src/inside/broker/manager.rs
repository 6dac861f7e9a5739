//! What the broker does where a manager (libvirt) moves threads after their creation: it looks at them again.

use crate::broker::client::{self, CHANNEL};
use crate::broker::message::Kind;
use crate::broker::start::start;
use crate::state::shim::Shim;
use pinning::{Manager, RoleKind};

/// Tells the broker that a thread with this role was created, if a manager is going to move it.
pub(crate) fn watch_new_thread(shim: &Shim, role: RoleKind) {
    if is_moved_by_a_manager(shim, role) {
        client::tell(Kind::WatchNewThread);
    }
}

/// Starts the broker before a thread with this role is created, if a manager is going to move it. Only a process that
/// sleeps and looks can notice that. Where QEMU has no sandbox nobody else has started the broker.
pub(crate) fn start_where_a_manager_needs_it(shim: &'static Shim, role: RoleKind) {
    if is_moved_by_a_manager(shim, role) && CHANNEL.get().is_none() {
        start(shim);
    }
}

/// Whether a manager moves threads with this role: libvirt does so with vCPUs and IOThreads (qemuProcessSetupVcpus,
/// qemuProcessSetupIOThreads).
fn is_moved_by_a_manager(shim: &Shim, role: RoleKind) -> bool {
    shim.policy.manager() == Some(Manager::Libvirt) && matches!(role, RoleKind::Vcpu | RoleKind::IoThread)
}
