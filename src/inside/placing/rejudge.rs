//! Judging a thread anew that has been given another name: a rule of `PIN_THREADS` may name it now, or no longer.

use crate::affinity::threads::{OwnThreads, Threads};
use crate::identity::role;
use crate::placing::class::{self, Moment};
use crate::placing::enlist;
use crate::placing::place::{place_other, place_self};
use crate::placing::warn::About;
use crate::state::current::{self, RING_TRIES};
use crate::state::page::Page;
use crate::state::shim::Shim;
use crate::state::slots;
use crate::state::standing::Standing;
use crate::state::thread_identity::ThreadIdentity;
use crate::state::{entries, ownership};
use crate::sys::thread;
use pinning::Tid;
use pinning::status_page::State;

/// The calling thread has been given another name: this, as far as the kernel keeps it.
pub(crate) fn rejudge_self(shim: &'static Shim, name: &[u8]) {
    if !ownership::is_this_process() {
        return;
    }
    let before = slots::as_it_stands(&shim.policy, current::thread());
    if !before.known || (!before.named && role::names_are_all_there_is()) {
        return enlist::enlist_as(shim, thread::gettid(), &before, &role::by_own_name(&shim.policy, name));
    }
    let entry = shim.page.zip(before.slot);
    if let Some((page, slot)) = entry {
        entries::rename(page, slot, name);
    }
    let identity =
        ThreadIdentity::standing(before.standing.renamed(&shim.policy, name), &shim.policy, before.home);
    if let Some(slot) = before.slot {
        slots::change_identity(slot, &identity);
    }
    current::update(|current| {
        (current.role, current.set, current.home) = (identity.role, identity.set, identity.home);
        current.standing = identity.standing;
    });
    if (identity.role, identity.set) == (before.role, before.set) {
        return;
    }
    // Its io_uring workers follow it.
    current::update(|current| current.ring_tries = RING_TRIES);
    let tid = thread::gettid();
    let who = About { tid, role: identity.role, name, set: identity.set, made_by_the_kernel: false };
    replace(entry, &identity, || {
        let (state, in_place) =
            enlist::place(shim, shim.page, &who, false, || place_self(shim, tid, identity.set));
        current::update(|current| current.in_place = in_place);
        if identity.role != before.role {
            class::take(shim, &who, identity.class, entry, state, Moment::Later);
        }
        state
    });
}

/// The thread with this handle, which is not the calling one, has been given another name. It may have been created a
/// moment ago: then this waits until it is placed, for 100 ms at most, since it does not know of its new name.
pub(crate) fn rejudge_other(shim: &Shim, handle: libc::pthread_t) {
    let Some(page) = shim.page.filter(|_| ownership::is_this_process()) else { return };
    let mut found = None;
    slots::wait_for_threads(|all_were_placed| {
        // They were before this search: a thread that is counted off has a slot.
        found = placed_thread(page, handle);
        found.is_some() || all_were_placed
    });
    if let Some((slot, tid, standing)) = found {
        rejudge_placed(shim, page, slot, tid, standing);
    }
}

/// The slot and the id of the thread with this handle, if it is placed.
fn placed_thread(page: Page, handle: libc::pthread_t) -> Option<(u16, Tid, Standing)> {
    let (slot, standing) = slots::slot_of(handle)?;
    let (tid, is_placed) = entries::tid_of(page, slot)?;
    is_placed.then_some((slot, tid, standing))
}

fn rejudge_placed(shim: &Shim, page: Page, slot: u16, tid: Tid, before: Standing) {
    let mut room = [0u8; 32];
    let Ok(name) = OwnThreads::new().comm(tid, &mut room) else { return };
    entries::rename(page, slot, name);
    let policy = &shim.policy;
    let identity =
        ThreadIdentity::standing(before.renamed(policy, name), policy, entries::home_of(page, slot));
    slots::change_identity(slot, &identity);
    if (identity.role, identity.set) == (before.role(), before.set(policy)) {
        return;
    }
    let who = About { tid, role: identity.role, name, set: identity.set, made_by_the_kernel: false };
    replace(Some((page, slot)), &identity, || {
        enlist::place(shim, Some(page), &who, false, || place_other(shim, tid, identity.set)).0
    });
}

/// Writes down that a thread is to run elsewhere, has it placed, and writes down what became of it.
fn replace(entry: Option<(Page, u16)>, identity: &ThreadIdentity, place: impl FnOnce() -> State) {
    if let Some((page, slot)) = entry {
        entries::change(page, slot, identity);
    }
    let state = place();
    if let Some((page, slot)) = entry {
        entries::mark(page, slot, state);
    }
}
