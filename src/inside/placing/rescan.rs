//! Putting threads of this process back that are off their set: the kernel made them, or somebody has moved them.

use crate::affinity::direct::Outcome;
use crate::affinity::record::record;
use crate::affinity::scan::{self, Misplaced, Scope, View};
use crate::affinity::threads::OwnThreads;
use crate::placing::class;
use crate::placing::place::{place_other, place_self};
use crate::placing::warn::{self, About};
use crate::state::current::CurrentThread;
use crate::state::shim::{self, Shim};
use crate::sys::errno::Errno;
use crate::sys::thread;

/// Puts the calling thread back on its set, if somebody has moved it, and gives it its scheduling class again, if somebody has
/// changed that.
pub(crate) fn put_back_self(shim: &Shim, current: &CurrentThread) {
    let misplaced =
        Misplaced { tid: thread::gettid(), role: current.role, set: current.set, made_by_the_kernel: false };
    let outcome = place_self(shim, misplaced.tid, misplaced.set);
    note(shim, &misplaced, &outcome);
    class::take_again(shim, current, outcome.state());
}

/// Puts back the threads in scope that are off their set.
pub(crate) fn rescan(shim: &Shim, scope: Scope) {
    let Some(page) = shim::owned_page() else { return };
    let view = View {
        threads: &OwnThreads::new(),
        policy: &shim.policy,
        page,
        knows_submitters: shim.knows_submitters,
    };
    // Where there is no /proc (with `-chroot`) threads cannot be found.
    let _ = scan::scan(&view, scope, |misplaced| {
        let outcome = place_other(shim, misplaced.tid, misplaced.set);
        // A thread that has ended since is on no set.
        if !matches!(outcome, Outcome::Refused(Errno(libc::ESRCH))) {
            note(shim, misplaced, &outcome);
        }
    });
}

/// Writes to the status page and the log what became of a thread that was off its set.
pub(super) fn note(shim: &Shim, misplaced: &Misplaced, outcome: &Outcome) {
    let Misplaced { tid, role, set, made_by_the_kernel } = *misplaced;
    let who = About { tid, role, name: b"", set, made_by_the_kernel };
    if warn::passes(shim, &who, outcome) {
        return;
    }
    if let Some(page) = shim.page {
        record(page, tid, outcome);
    }
    if !matches!(outcome, Outcome::Placed { moved: false }) {
        warn::report(shim, &who, outcome);
    }
}
