//! The entries of the status page: one for each listed thread, with the number of the thread's slot.
//!
//! They are for readers outside, for the broker and for rescans. Creating a thread does not depend on them.

use crate::state::page::Page;
use crate::state::thread_identity::ThreadIdentity;
use crate::sys::wait;
use pinning::status_page::{ClassWord, ENTRIES, Entry, NO_INDEX, State};
use pinning::{COMM_BYTES, RoleKind, SetId, Tid};
use std::sync::atomic::Ordering;

/// Writes a thread's entry. The tid comes last, so that a reader who sees the tid sees the rest.
pub(crate) fn publish(page: Page, slot: u16, tid: Tid, identity: &ThreadIdentity) {
    let Some(entry) = page.entries.get(usize::from(slot)) else { return };
    if entry.tid.swap(0, Ordering::Relaxed) != tid.0 {
        rename(page, slot, b"");
    }
    std::sync::atomic::fence(Ordering::Release);
    entry.state.store(State::Born as u8, Ordering::Relaxed);
    entry.role.store(identity.role as u8, Ordering::Relaxed);
    entry.set.store(identity.set.0, Ordering::Relaxed);
    entry.home.store(identity.home.0, Ordering::Relaxed);
    entry.class.store(0, Ordering::Relaxed);
    entry.index.store(identity.index.unwrap_or(NO_INDEX), Ordering::Relaxed);
    entry.born_ns.store(wait::monotonic_ns(), Ordering::Relaxed);
    entry.name_bytes.store(identity.name().len() as u16, Ordering::Relaxed);
    for (to, from) in entry.name.iter().zip(identity.name()) {
        to.store(*from, Ordering::Relaxed);
    }
    page.header.entries_used.fetch_max(u32::from(slot) + 1, Ordering::Relaxed);
    entry.tid.store(tid.0, Ordering::Release);
}

/// Writes that a thread is to run elsewhere than before. Whoever reads the entry takes it for one that is not placed yet,
/// until the new placement is marked.
pub(crate) fn change(page: Page, slot: u16, identity: &ThreadIdentity) {
    let Some(entry) = page.entries.get(usize::from(slot)) else { return };
    entry.state.store(State::Born as u8, Ordering::Release);
    entry.role.store(identity.role as u8, Ordering::Relaxed);
    entry.home.store(identity.home.0, Ordering::Relaxed);
    entry.set.store(identity.set.0, Ordering::Release);
}

/// Writes the name that a thread has been given since it was created.
pub(crate) fn rename(page: Page, slot: u16, name: &[u8]) {
    let Some(entry) = page.entries.get(usize::from(slot)) else { return };
    let mut padded = [0u8; COMM_BYTES + 1];
    for (to, from) in padded.iter_mut().take(COMM_BYTES).zip(name) {
        *to = *from;
    }
    for (to, from) in entry.given_name.iter().zip(padded) {
        to.store(from, Ordering::Relaxed);
    }
}

/// The set that the workers of the thread in this slot follow.
pub(crate) fn home_of(page: Page, slot: u16) -> SetId {
    let entry = page.entries.get(usize::from(slot));
    SetId(entry.map_or(0, |entry| entry.home.load(Ordering::Relaxed)))
}

/// The thread in this slot: its id, and whether it is placed; `None` before it has written its entry.
pub(crate) fn tid_of(page: Page, slot: u16) -> Option<(Tid, bool)> {
    let entry = page.entries.get(usize::from(slot))?;
    let tid = Some(entry.tid.load(Ordering::Acquire)).filter(|tid| *tid != 0)?;
    Some((Tid(tid), entry.state.load(Ordering::Acquire) != State::Born as u8))
}

/// Writes the state of a thread's placement.
pub(crate) fn mark(page: Page, slot: u16, state: State) {
    if let Some(entry) = page.entries.get(usize::from(slot)) {
        entry.state.store(state as u8, Ordering::Release);
    }
}

/// Writes which scheduling class a thread should have, and what became of that.
pub(crate) fn mark_class(page: Page, slot: u16, class: ClassWord) {
    if let Some(entry) = page.entries.get(usize::from(slot)) {
        entry.class.store(class.to_word(), Ordering::Release);
    }
}

/// Writes that a thread is on its set, if the entry says that it could not be put there.
pub(crate) fn note_placed(entry: &Entry) {
    for failed in [State::Cut, State::Refused] {
        let placed = State::Placed as u8;
        // Another thread may get the entry meanwhile: its state stands.
        let _ = entry.state.compare_exchange(failed as u8, placed, Ordering::Release, Ordering::Relaxed);
    }
}

/// The entries up to the last that was ever used.
fn used_entries(page: Page) -> &'static [Entry] {
    let used = page.header.entries_used.load(Ordering::Relaxed) as usize;
    page.entries.get(..used.min(ENTRIES)).unwrap_or_default()
}

/// The entry of a thread, if it is listed. Of two entries with the same tid it is the younger one: a thread
/// that ended without running its destructors (by a raw exit(2)) has left its entry behind.
pub(crate) fn entry_of(page: Page, tid: Tid) -> Option<&'static Entry> {
    used_entries(page)
        .iter()
        .filter(|entry| entry.tid.load(Ordering::Acquire) == tid.0)
        .max_by_key(|entry| entry.born_ns.load(Ordering::Relaxed))
}

/// The entries of all listed threads, each with its thread's id.
pub(crate) fn all(page: Page) -> impl Iterator<Item = (Tid, &'static Entry)> {
    let with_tid = used_entries(page).iter().map(|entry| (Tid(entry.tid.load(Ordering::Acquire)), entry));
    with_tid.filter(|(tid, _)| tid.0 != 0)
}

/// The slot and id of each listed thread with this role.
pub(crate) fn of_role(page: Page, role: RoleKind) -> impl Iterator<Item = (u16, Tid)> {
    (0u16..).zip(used_entries(page)).filter_map(move |(slot, entry)| {
        let tid = entry.tid.load(Ordering::Acquire);
        (tid != 0 && entry.role.load(Ordering::Relaxed) == role as u8).then_some((slot, Tid(tid)))
    })
}

/// The thread in this slot has ended.
pub(crate) fn clear(page: Page, slot: u16) {
    if let Some(entry) = page.entries.get(usize::from(slot)) {
        entry.tid.store(0, Ordering::Release);
    }
}

/// The index of each listed thread with this role; `None` for one that has none.
pub(crate) fn indices_of(page: Page, role: RoleKind) -> impl Iterator<Item = Option<u32>> {
    let listed = used_entries(page).iter().filter(move |entry| {
        entry.tid.load(Ordering::Acquire) != 0 && entry.role.load(Ordering::Relaxed) == role as u8
    });
    listed.map(|entry| Some(entry.index.load(Ordering::Relaxed)).filter(|index| *index != NO_INDEX))
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

#[cfg(test)]
mod tests {
    use super::{clear, entry_of, mark, of_role, publish, role_and_set_of};
    use crate::state::page::Page;
    use crate::state::thread_identity::ThreadIdentity;
    use crate::testing;
    use pinning::status_page::{ENTRIES, NAME_BYTES, NO_INDEX, State};
    use pinning::{RoleKind, SetId, Tid};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn page() -> Page {
        testing::page(&testing::policy(&[("PIN_CPUS", "0")]))
    }

    fn identity(role: RoleKind, set: u16) -> ThreadIdentity {
        ThreadIdentity::unnamed(role, SetId(set), SetId(set + 1))
    }

    #[test]
    fn what_is_published_is_found_by_the_tid() {
        let page = page();
        let named = identity(RoleKind::Vcpu, 3).with_name(b"CPU 7/KVM").numbered(Some(7));
        publish(page, 5, Tid(100), &named);
        publish(page, 2, Tid(200), &identity(RoleKind::Worker, 4));
        assert_eq!(page.header.entries_used.load(Ordering::Relaxed), 6);

        let entry = entry_of(page, Tid(100)).unwrap();
        let name: Vec<_> = entry.name.iter().map(|byte| byte.load(Ordering::Relaxed)).take(9).collect();
        assert_eq!((name, entry.name_bytes.load(Ordering::Relaxed)), (b"CPU 7/KVM".to_vec(), 9));
        assert_eq!(entry.index.load(Ordering::Relaxed), 7);
        assert_eq!(entry.home.load(Ordering::Relaxed), 4);
        assert_eq!(entry.state.load(Ordering::Relaxed), State::Born as u8);
        assert_ne!(entry.born_ns.load(Ordering::Relaxed), 0);
        assert_eq!(role_and_set_of(page, Tid(100)), Some((RoleKind::Vcpu, SetId(3))));

        let entry = entry_of(page, Tid(200)).unwrap();
        assert_eq!(entry.index.load(Ordering::Relaxed), NO_INDEX);
        assert_eq!(entry.name_bytes.load(Ordering::Relaxed), 0);
        assert!(entry_of(page, Tid(300)).is_none());

        mark(page, 2, State::Cut);
        assert_eq!(entry.state.load(Ordering::Relaxed), State::Cut as u8);
    }

    #[test]
    fn the_threads_of_a_role_are_found_until_they_are_cleared() {
        let page = page();
        for (slot, tid, role) in
            [(1, 100, RoleKind::Vhost), (2, 200, RoleKind::Vcpu), (4, 300, RoleKind::Vhost)]
        {
            publish(page, slot, Tid(tid), &identity(role, 3));
        }
        let found = || of_role(page, RoleKind::Vhost).collect::<Vec<_>>();
        assert_eq!(found(), [(1, Tid(100)), (4, Tid(300))]);
        clear(page, 1);
        assert_eq!(found(), [(4, Tid(300))]);
        assert!(entry_of(page, Tid(100)).is_none());
    }

    #[test]
    fn a_name_is_cut_to_what_an_entry_holds() {
        let page = page();
        publish(page, 0, Tid(100), &identity(RoleKind::Vcpu, 3).with_name(&[b'n'; 2 * NAME_BYTES]));
        assert_eq!(usize::from(page.entries[0].name_bytes.load(Ordering::Relaxed)), NAME_BYTES);
        assert!(page.entries[0].name.iter().all(|byte| byte.load(Ordering::Relaxed) == b'n'));
        publish(page, 0, Tid(101), &identity(RoleKind::Vcpu, 3).with_name(b"short"));
        assert_eq!(page.entries[0].name_bytes.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn of_two_entries_with_one_tid_the_younger_is_the_thread_s() {
        for (older, younger) in [(0, 1), (1, 0), (0, 4095)] {
            let page = page();
            publish(page, older, Tid(100), &identity(RoleKind::Worker, 1));
            publish(page, younger, Tid(100), &identity(RoleKind::Vcpu, 2));
            page.entries[usize::from(older)].born_ns.store(1000, Ordering::Relaxed);
            page.entries[usize::from(younger)].born_ns.store(1001, Ordering::Relaxed);
            assert_eq!(role_and_set_of(page, Tid(100)), Some((RoleKind::Vcpu, SetId(2))));
        }
    }

    #[test]
    fn what_a_hostile_qemu_writes_leads_nowhere() {
        let page = page();
        publish(page, 0, Tid(100), &identity(RoleKind::Worker, 1));
        page.header.entries_used.store(u32::MAX, Ordering::Relaxed);
        assert!(entry_of(page, Tid(100)).is_some() && entry_of(page, Tid(101)).is_none());
        page.entries[0].role.store(0, Ordering::Relaxed);
        assert_eq!(role_and_set_of(page, Tid(100)), None);
        page.header.entries_used.store(0, Ordering::Relaxed);
        assert!(entry_of(page, Tid(100)).is_none());
    }

    #[test]
    fn a_slot_that_has_no_entry_is_left_out() {
        let page = page();
        publish(page, ENTRIES as u16, Tid(100), &identity(RoleKind::Worker, 1));
        mark(page, ENTRIES as u16, State::Placed);
        assert_eq!(page.header.entries_used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn whoever_sees_the_tid_sees_the_rest_of_the_entry() {
        let (page, stop) = (page(), AtomicBool::new(false));
        let set_of = |tid: i32| tid as u16 % 1000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) || seen == 0 {
                    let entry = &page.entries[0];
                    let before = entry.tid.load(Ordering::Acquire);
                    let set = entry.set.load(Ordering::Relaxed);
                    let name = entry.name[0].load(Ordering::Relaxed);
                    std::sync::atomic::fence(Ordering::Acquire);
                    if before != 0 && before == entry.tid.load(Ordering::Relaxed) {
                        assert_eq!((set, name), (set_of(before), before as u8));
                        seen += 1;
                    }
                }
            });
            for tid in 1..100_000 {
                publish(page, 0, Tid(tid), &identity(RoleKind::Worker, set_of(tid)).with_name(&[tid as u8]));
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
