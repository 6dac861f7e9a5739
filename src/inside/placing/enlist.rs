//! Listing a thread on the status page, and placing it.

use crate::affinity::direct::Outcome;
use crate::affinity::record::count_failure;
use crate::placing::place::place_self;
use crate::placing::warn::{self, About};
use crate::report::targets;
use crate::state::shim::Shim;
use crate::state::thread_identity::ThreadIdentity;
use crate::state::{current, entries};
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
    let state = if identity.role == RoleKind::Exempt {
        State::LeftAlone
    } else {
        let outcome = place_self(shim, tid, identity.set);
        let filtered = matches!(outcome, Outcome::Refused(Errno::FILTERED));
        let in_place = matches!(outcome, Outcome::Placed { .. }) || filtered && identity.begins_in_place;
        current::update(|current| current.in_place = in_place);
        let (role, name, set) = (identity.role, identity.name(), identity.set);
        let who = About { tid, role, name, set, made_by_the_kernel: false };
        // A thread that may not even ask where it is, and began where it belongs, is no failure.
        let passes = filtered && in_place || warn::passes(shim, &who, &outcome);
        if !passes {
            if let Some(page) = page {
                count_failure(page, &outcome);
            }
            warn::report(shim, &who, &outcome);
        }
        outcome.state()
    };
    if let Some((page, slot)) = entry {
        entries::mark(page, slot, state);
    }
}
