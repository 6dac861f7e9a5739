//! vhost workers that belong on sets of their own. The kernel makes them, and all have one name, so they are told apart by
//! the order in which they appear: worker N is the Nth, and no later one has its number.
//!
//! One that has a number is listed on the status page, where the broker and the command find it.

use crate::affinity::direct::Outcome;
use crate::affinity::scan::{self, Misplaced};
use crate::affinity::threads::OwnThreads;
use crate::placing::place::place_other;
use crate::placing::rescan::note;
use crate::state::page::Page;
use crate::state::shim::{self, Shim};
use crate::state::thread_identity::ThreadIdentity;
use crate::state::{entries, slots};
use crate::sys::errno::Errno;
use crate::sys::{thread, wait};
use pinning::{KernelThread, RoleKind, Tid};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The number of the next worker that appears.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Stands for a worker that has no number, since the register is full.
const NO_NUMBER: u32 = u32::MAX;

/// Whether a thread is counting: two at a time would give two numbers to one worker.
static COUNTING: AtomicBool = AtomicBool::new(false);

/// Gives each worker that has appeared its number, and puts it on its set. To be called when the kernel has made one, or may
/// have.
pub(crate) fn place_new(shim: &Shim) {
    let Some(page) = shim::owned_page().filter(|_| shim.policy.tells_vhost_workers_apart()) else { return };
    // Who waits has a worker of its own to be placed, which the other may have missed. Counting takes no millisecond.
    let is_free = (0..1000).any(|_| {
        let is_free = !COUNTING.swap(true, Ordering::Acquire);
        if !is_free {
            wait::sleep_us(100);
        }
        is_free
    });
    if !is_free {
        return;
    }
    forget_ended(page);
    // Where there is no /proc (with `-chroot`) threads cannot be found.
    let _ = scan::unlisted_vhost_workers(&OwnThreads::new(), page, |tid, comm| place(shim, page, tid, comm));
    COUNTING.store(false, Ordering::Release);
}

/// Gives a worker the next number, lists it, and puts it on its set.
fn place(shim: &Shim, page: Page, tid: Tid, comm: &[u8]) {
    let policy = &shim.policy;
    let slot = slots::take_slot_for_another();
    // Where it cannot be listed it would be counted again and again.
    let order = slot.map_or(NO_NUMBER, |_| NEXT.fetch_add(1, Ordering::Relaxed));
    let set = policy.cpus_for_kernel_thread(KernelThread::Vhost, comm, order, None);
    let set = set.unwrap_or_else(|| policy.vhost(order));
    if let Some(slot) = slot {
        let identity = ThreadIdentity::unnamed(RoleKind::Vhost, set, set);
        entries::publish(page, slot, tid, &identity.with_name(comm).numbered(Some(order)));
    }
    let outcome = place_other(shim, tid, set);
    if !matches!(outcome, Outcome::Refused(Errno(libc::ESRCH))) {
        note(shim, &Misplaced { tid, role: RoleKind::Vhost, set, made_by_the_kernel: true }, &outcome);
    }
    if let Some(slot) = slot {
        entries::mark(page, slot, outcome.state());
    }
}

/// Gives the slots of workers back that have ended: the kernel does not say so.
fn forget_ended(page: Page) {
    let pid = thread::getpid();
    for (slot, tid) in entries::of_role(page, RoleKind::Vhost) {
        if !thread::is_thread_of(pid, tid) {
            entries::clear(page, slot);
            slots::release(slot);
        }
    }
}
