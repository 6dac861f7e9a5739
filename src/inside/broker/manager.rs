//! When the broker is needed without a sandbox: where a manager (libvirt) moves threads after their creation, or where
//! the user wants all threads to be held where they belong (`PIN_WATCH`), it looks at them again.

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

/// Starts the broker before a thread with this role is created, if a manager is going to move it, or if any thread is to
/// be held where it belongs. Only a process that sleeps and looks can notice that it is not. Where QEMU has no sandbox
/// nobody else has started the broker.
pub(crate) fn start_where_it_is_needed(shim: &'static Shim, role: RoleKind) {
    let is_needed = shim.policy.watch().is_some() || is_moved_by_a_manager(shim, role);
    if is_needed && CHANNEL.get().is_none() {
        start(shim);
    }
}

/// Whether a manager moves threads with this role: libvirt does so with vCPUs and IOThreads (qemuProcessSetupVcpus,
/// qemuProcessSetupIOThreads).
fn is_moved_by_a_manager(shim: &Shim, role: RoleKind) -> bool {
    shim.policy.manager() == Some(Manager::Libvirt) && matches!(role, RoleKind::Vcpu | RoleKind::IoThread)
}
