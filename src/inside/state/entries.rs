//! The entries of the status page: one for each listed thread, with the number of the thread's slot.
//!
//! They are for readers outside, for the broker and for rescans. Creating a thread does not depend on them.

use crate::state::page::Page;
use crate::state::thread_identity::ThreadIdentity;
use crate::sys::wait;
use pinning::status_page::{ENTRIES, Entry, NO_INDEX, State};
use pinning::{RoleKind, SetId, Tid};
use std::sync::atomic::Ordering;

/// Writes a thread's entry. The tid comes last, so that a reader who sees the tid sees the rest.
pub(crate) fn publish(page: Page, slot: u16, tid: Tid, identity: &ThreadIdentity) {
    let Some(entry) = page.entries.get(usize::from(slot)) else { return };
    entry.tid.store(0, Ordering::Relaxed);
    std::sync::atomic::fence(Ordering::Release);
    entry.state.store(State::Born as u8, Ordering::Relaxed);
    entry.role.store(identity.role as u8, Ordering::Relaxed);
    entry.set.store(identity.set.0, Ordering::Relaxed);
    entry.home.store(identity.home.0, Ordering::Relaxed);
    entry.index.store(identity.index.unwrap_or(NO_INDEX), Ordering::Relaxed);
    entry.born_ns.store(wait::monotonic_ns(), Ordering::Relaxed);
    entry.name_bytes.store(identity.name().len() as u16, Ordering::Relaxed);
    for (to, from) in entry.name.iter().zip(identity.name()) {
        to.store(*from, Ordering::Relaxed);
    }
    page.header.entries_used.fetch_max(u32::from(slot) + 1, Ordering::Relaxed);
    entry.tid.store(tid.0, Ordering::Release);
}

/// Writes the state of a thread's placement.
pub(crate) fn mark(page: Page, slot: u16, state: State) {
    if let Some(entry) = page.entries.get(usize::from(slot)) {
        entry.state.store(state as u8, Ordering::Release);
    }
}

/// The entry of a thread, if it is listed. Of two entries with the same tid it is the younger one: a thread
/// that ended without running its destructors (by a raw exit(2)) has left its entry behind.
pub(crate) fn entry_of(page: Page, tid: Tid) -> Option<&'static Entry> {
    let used = page.header.entries_used.load(Ordering::Relaxed) as usize;
    let entries = page.entries.get(..used.min(ENTRIES))?.iter();
    entries
        .filter(|entry| entry.tid.load(Ordering::Acquire) == tid.0)
        .max_by_key(|entry| entry.born_ns.load(Ordering::Relaxed))
}

/// The role and set that an entry names.
pub(crate) fn role_and_set(entry: &Entry) -> Option<(RoleKind, SetId)> {
    let role = RoleKind::from_number(entry.role.load(Ordering::Relaxed))?;
    Some((role, SetId(entry.set.load(Ordering::Relaxed))))
}

/// The role and set of a listed thread.
pub(crate) fn role_and_set_of(page: Page, tid: Tid) -> Option<(RoleKind, SetId)> {
    role_and_set(entry_of(page, tid)?)
}
