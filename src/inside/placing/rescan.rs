//! Looking at the threads of this process again, and putting back what is off its set.

use crate::affinity::direct::Outcome;
use crate::affinity::record::record;
use crate::affinity::scan::{self, Misplaced, Scope, View};
use crate::placing::place::place;
use crate::placing::warn::{self, About};
use crate::state::current::CurrentThread;
use crate::state::shim::{self, Shim};
use crate::sys::thread;

/// The kernel has just made a vhost worker, or may have made another thread of its own.
#[cold]
pub(crate) fn look_for_kernel_threads() {
    if let Some(shim) = shim::shim() {
        rescan(shim, Scope::KernelThreads);
    }
}

/// Puts the calling vCPU back on its set, if somebody has moved it.
pub(crate) fn put_back_self(shim: &Shim, current: &CurrentThread) {
    let misplaced = Misplaced { tid: thread::gettid(), role: current.role, set: current.set };
    put_back(shim, &misplaced);
}

pub(crate) fn rescan(shim: &Shim, scope: Scope) {
    let Some(page) = shim::owned_page() else { return };
    let view = View { pid: thread::getpid(), policy: &shim.policy, page, proc_folder: libc::AT_FDCWD };
    // Without /proc (`-chroot`) there is nothing to look at.
    let _ = scan::scan(&view, scope, |misplaced| put_back(shim, misplaced));
}

fn put_back(shim: &Shim, misplaced: &Misplaced) {
    let outcome = place(shim, misplaced.tid, misplaced.set);
    if matches!(outcome, Outcome::Placed { moved: false }) {
        return;
    }
    if let Some(page) = shim.page {
        record(page, misplaced.tid, &outcome);
    }
    let who = About { tid: misplaced.tid, role: misplaced.role, name: b"", set: misplaced.set };
    warn::report(shim, &who, &outcome);
}
