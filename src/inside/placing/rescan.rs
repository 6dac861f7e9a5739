//! Looking at the threads of this process again, and putting back what is off its set.

use crate::affinity::direct::Outcome;
use crate::affinity::scan::{self, Astray, Scope, View};
use crate::placing::place::place;
use crate::placing::warn::{self, About};
use crate::state::current::Me;
use crate::state::entries;
use crate::state::shim::{self, Shim};
use crate::sys::thread;
use std::sync::atomic::Ordering;

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
        if matches!(outcome, Outcome::Placed { .. }) {
            page.header.put_back.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(entry) = entries::entry_of(page, astray.tid) {
            entry.state.store(outcome.state() as u8, Ordering::Release);
        }
    }
    let who = About { tid: astray.tid, role: astray.role, name: b"", set: astray.set };
    warn::account(shim, shim.page, &who, &outcome);
}
