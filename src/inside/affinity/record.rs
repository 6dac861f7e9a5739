//! Writing to the status page what became of a thread. Both QEMU and the broker do that.

use crate::affinity::direct::Outcome;
use crate::state::entries;
use crate::state::page::Page;
use crate::sys::errno::Errno;
use pinning::Tid;
use pinning::status_page::Entry;
use std::sync::atomic::Ordering;

/// Counts that a thread could not be put on its set, or only on a part of it.
pub(crate) fn count_failure(page: Page, outcome: &Outcome) {
    let counter = match outcome {
        Outcome::Placed { .. } => return,
        Outcome::Cut(_) => &page.header.cut,
        Outcome::Refused(Errno::FILTERED) => &page.header.filtered,
        Outcome::Refused(_) | Outcome::Unanswered => &page.header.refused,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Writes what became of a thread that was to be put back on its set: counts it, and marks the thread's entry if it has
/// one. A thread that was on its set after all is not counted.
pub(crate) fn record(page: Page, tid: Tid, outcome: &Outcome) {
    match outcome {
        Outcome::Placed { moved: false } => {}
        Outcome::Placed { moved: true } => {
            page.header.put_back.fetch_add(1, Ordering::Relaxed);
        }
        failure => count_failure(page, failure),
    }
    if let Some(entry) = entries::entry_of(page, tid) {
        entry.state.store(outcome.state() as u8, Ordering::Release);
    }
}

/// Whether the status page does not say yet what became of a thread. Of one without an entry only success is news.
pub(crate) fn is_news(page: Page, tid: Tid, outcome: &Outcome) -> bool {
    let is_said = |entry: &Entry| entry.state.load(Ordering::Acquire) == outcome.state() as u8;
    let is_placed = matches!(outcome, Outcome::Placed { .. });
    is_placed || entries::entry_of(page, tid).is_some_and(|entry| !is_said(entry))
}
