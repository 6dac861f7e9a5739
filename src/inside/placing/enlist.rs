//! Listing a thread on the status page, and placing it.

use crate::affinity::direct::Outcome;
use crate::affinity::record::count_failure;
use crate::broker;
use crate::placing::class::{self, Moment};
use crate::placing::place::place_self;
use crate::placing::warn::{self, About};
use crate::report::targets;
use crate::state::current::{self, CurrentThread};
use crate::state::first_run::FIRST_RUN;
use crate::state::page::Page;
use crate::state::shim::Shim;
use crate::state::thread_identity::ThreadIdentity;
use crate::state::{end, entries, slots};
use crate::sys::errno::Errno;
use pinning::status_page::State;
use pinning::{RoleKind, Tid};
use std::sync::atomic::Ordering;

/// Writes the entry of a thread, places the thread, and marks in the entry what became of it. To be called by
/// the thread itself, which is `tid`; 0 if it may not ask for its id. One that is not `listed` is only placed.
pub(crate) fn enlist(shim: &Shim, tid: Tid, identity: &ThreadIdentity, slot: Option<u16>, listed: bool) {
    let page = shim.page.filter(|_| listed);
    let slot = slot.filter(|_| tid.0 != 0);
    let entry = page.zip(slot);
    match (entry, page) {
        (Some((page, slot)), _) => entries::publish(page, slot, tid, identity),
        (None, Some(page)) if page.header.unlisted.fetch_add(1, Ordering::Relaxed) == 0 => {
            // No fault of anybody's: the status page counts them, and the command says so.
            log::info!(target: targets::THREAD_START, "the register is full; further threads are placed, but not listed");
        }
        _ => {}
    }
    let who = About {
        tid,
        role: identity.role,
        name: identity.name(),
        set: identity.set,
        made_by_the_kernel: false,
    };
    let (state, in_place) =
        place(shim, page, &who, identity.begins_in_place, || place_self(shim, tid, identity.set));
    current::update(|current| current.in_place = in_place);
    if identity.has_own_class {
        class::leave_its_own(shim, entry);
    } else {
        class::take(shim, &who, identity.class, entry, state, Moment::Birth);
    }
    if let Some((page, slot)) = entry {
        entries::mark(page, slot, state);
    }
}

/// Lists and places the calling thread, of which so much was known until now, as somebody else. One that was created past
/// this library (by a clone(2) of its own, or another library's `pthread_create`) has no slot yet, and gets one.
pub(crate) fn enlist_as(shim: &'static Shim, tid: Tid, before: &CurrentThread, identity: &ThreadIdentity) {
    let slot = match before.slot {
        Some(slot) => {
            slots::change_identity(slot, identity);
            Some(slot)
        }
        None if before.known => None,
        None => slots::take_slot(identity),
    };
    if !before.known {
        end::give_back_without_trampoline();
    }
    current::identify(identity, slot);
    broker::start_where_it_is_needed(shim, identity.role);
    enlist(shim, tid, identity, slot, true);
    if identity.role == RoleKind::Vcpu {
        current::update(|current| FIRST_RUN.vcpu_arrives(current));
    }
    broker::watch_new_thread(shim, identity.role);
    if let Some(page) = shim.page.filter(|_| identity.named) {
        // QEMU names its threads itself (debug-threads=on), so none of them stays unknown.
        page.header.names_are_read.store(1, Ordering::Relaxed);
    }
}

/// Places a thread by `put`, unless it is exempt, and says and counts what became of it. Answers that, and whether the thread is
/// on its set as far as is known. `begins_in_place`: it was there before, as far as is known.
pub(super) fn place(
    shim: &Shim,
    page: Option<Page>,
    who: &About<'_>,
    begins_in_place: bool,
    put: impl FnOnce() -> Outcome,
) -> (State, bool) {
    if who.role == RoleKind::Exempt {
        return (State::LeftAlone, false);
    }
    let outcome = put();
    let filtered = matches!(outcome, Outcome::Refused(Errno::FILTERED));
    let in_place = matches!(outcome, Outcome::Placed { .. }) || filtered && begins_in_place;
    // A thread that may not even ask where it is, and began where it belongs, is no failure.
    let passes = filtered && in_place || warn::passes(shim, who, &outcome);
    if !passes {
        if let Some(page) = page {
            count_failure(page, &outcome);
        }
        warn::report(shim, who, &outcome);
    }
    (outcome.state(), in_place)
}
