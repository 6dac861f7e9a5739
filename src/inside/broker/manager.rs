//! What the broker is for under a manager, which moves threads after their creation.

use crate::broker::client::{self, CHANNEL};
use crate::broker::message::Kind;
use crate::broker::start::start;
use crate::state::shim::Shim;
use pinning::{Manager, RoleKind};

/// Under a manager: tells the broker that a thread was born that the manager is going to move.
pub(crate) fn watch_new_thread(shim: &Shim, role: RoleKind) {
    if is_moved_by_a_manager(shim, role) {
        client::tell(Kind::WatchNewThread);
    }
}

/// A manager moves threads after their creation, and only a process that sleeps and looks can notice.
/// Without a sandbox there is no broker yet when QEMU creates the first such thread.
pub(crate) fn start_where_a_manager_needs_it(shim: &'static Shim, role: RoleKind) {
    if is_moved_by_a_manager(shim, role) && CHANNEL.get().is_none() {
        start(shim);
    }
}

/// libvirt places vCPUs and IOThreads (qemuProcessSetupVcpus, qemuProcessSetupIOThreads).
fn is_moved_by_a_manager(shim: &Shim, role: RoleKind) -> bool {
    shim.policy.manager() == Some(Manager::Libvirt) && matches!(role, RoleKind::Vcpu | RoleKind::IoThread)
}
