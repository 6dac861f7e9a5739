//! Looking at the threads of this process again, and putting back what is off its set.

use crate::affinity::direct::Outcome;
use crate::affinity::record::record;
use crate::affinity::scan::{self, Astray, Scope, View};
use crate::placing::place::place;
use crate::placing::warn::{self, About};
use crate::state::current::Me;
use crate::state::shim::{self, Shim};
use crate::sys::thread;

/// The kernel has just made a vhost worker, or may have made another thread of its own.
#[cold]
pub(crate) fn look_for_kernel_threads() {
    if let Some(shim) = shim::shim() {
        look(shim, Scope::KernelThreads);
    }
}

/// Puts the calling vCPU back on its set, if somebody has moved it.
pub(crate) fn put_self(shim: &Shim, me: &Me) {
    let astray = Astray { tid: thread::gettid(), role: me.role, set: me.set };
    place_and_account(shim, &astray);
}

pub(crate) fn look(shim: &Shim, scope: Scope) {
    let Some(page) = shim::owned_page() else { return };
    let view = View { pid: thread::getpid(), policy: &shim.policy, page, proc_folder: libc::AT_FDCWD };
    // Without /proc (`-chroot`) there is nothing to look at.
    let _ = scan::look(&view, scope, |astray| place_and_account(shim, astray));
}

fn place_and_account(shim: &Shim, astray: &Astray) {
    let outcome = place(shim, astray.tid, astray.set);
    if matches!(outcome, Outcome::Placed { moved: false }) {
        return;
    }
    if let Some(page) = shim.page {
        record(page, astray.tid, &outcome);
    }
    let who = About { tid: astray.tid, role: astray.role, name: b"", set: astray.set };
    warn::report(shim, &who, &outcome);
}
