//! The status page as a reader sees it: what was written comes back, and nothing that a hostile writer
//! puts there is believed or brings the reader down.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

use pinning::status_page::{
    BadPage, ENTRIES, Entry, Header, MAGIC, MAX_BYTES, NO_INDEX, Plan, Snapshot, State, VERSION, text_of,
};
use pinning::{CpuId, CpuSet, RoleKind, SetId, Tid};
use proptest::prelude::*;
use std::mem::{offset_of, size_of};

struct Page {
    bytes: Vec<u8>,
    plan: Plan,
}

impl Page {
    /// A page with the base set 1 and the set 70, and this environment.
    fn new(environment: &[(String, String)]) -> Self {
        let sets = [set(&[1]), set(&[70])];
        let text = text_of(environment);
        let plan = Plan::new(&sets, &text).unwrap();
        let mut page = Self { bytes: vec![0; plan.page_bytes], plan };
        page.bytes[..8].copy_from_slice(&MAGIC);
        for (at, value) in [
            (offset_of!(Header, version), VERSION as usize),
            (offset_of!(Header, owner), 4242),
            (offset_of!(Header, sets_at), plan.sets_at),
            (offset_of!(Header, set_count), sets.len()),
            (offset_of!(Header, set_words), plan.set_words),
            (offset_of!(Header, text_at), plan.text_at),
            (offset_of!(Header, text_bytes), text.len()),
            (offset_of!(Header, entries_at), plan.entries_at),
            (offset_of!(Header, entry_count), ENTRIES),
            (offset_of!(Header, entry_bytes), size_of::<Entry>()),
        ] {
            page.put_u32(at, u32::try_from(value).unwrap());
        }
        for (i, set) in sets.iter().enumerate() {
            for (j, word) in set.words().iter().enumerate() {
                let at = plan.sets_at + (i * plan.set_words + j) * 8;
                page.bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
            }
        }
        page.bytes[plan.text_at..plan.text_at + text.len()].copy_from_slice(text.as_bytes());
        page
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_thread(&mut self, number: usize, tid: i32, role: u8, set: u16, name: &[u8]) {
        let entry = self.plan.entries_at + number * size_of::<Entry>();
        self.put_u32(entry + offset_of!(Entry, tid), tid as u32);
        self.put_u32(entry + offset_of!(Entry, index), NO_INDEX);
        self.bytes[entry + offset_of!(Entry, state)] = State::Placed as u8;
        self.bytes[entry + offset_of!(Entry, role)] = role;
        let at = entry + offset_of!(Entry, set);
        self.bytes[at..at + 2].copy_from_slice(&set.to_ne_bytes());
        let at = entry + offset_of!(Entry, name_bytes);
        self.bytes[at..at + 2].copy_from_slice(&(name.len() as u16).to_ne_bytes());
        let at = entry + offset_of!(Entry, name);
        self.bytes[at..at + name.len()].copy_from_slice(name);
    }
}

fn set(cpus: &[u32]) -> CpuSet {
    cpus.iter().copied().map(CpuId).collect()
}

fn entry(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn what_was_written_is_read_back() {
    let environment = [entry("PIN_CPUS", "1"), entry("PIN_WORKERS", "70\n71")];
    let mut page = Page::new(&environment);
    page.put_thread(3, 77, RoleKind::Worker as u8, 1, b"worker");
    let snapshot = Snapshot::parse(&page.bytes).unwrap();
    assert_eq!(snapshot.owner, 4242);
    assert_eq!(snapshot.broker, None);
    assert_eq!(snapshot.sets, [set(&[1]), set(&[70])]);
    assert_eq!(snapshot.environment, environment);
    let [thread] = &snapshot.threads[..] else { panic!("one thread: {:?}", snapshot.threads) };
    assert_eq!((thread.tid, thread.role, thread.set), (Tid(77), RoleKind::Worker, SetId(1)));
    assert_eq!((thread.state, thread.index, &*thread.name), (State::Placed, None, "worker"));
}

#[test]
fn an_entry_that_makes_no_sense_is_left_out() {
    let mut page = Page::new(&[]);
    page.put_thread(0, 1, 99, 0, b"no such role");
    page.put_thread(1, 2, RoleKind::Vcpu as u8, 2, b"no such set");
    page.put_thread(2, -5, RoleKind::Vcpu as u8, 0, b"no such tid");
    page.put_thread(3, 4, RoleKind::Vcpu as u8, 0, b"good");
    let names: Vec<_> = Snapshot::parse(&page.bytes).unwrap().threads.into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["good"]);
}

#[test]
fn a_name_cannot_speak_to_the_terminal() {
    let mut page = Page::new(&[]);
    page.put_thread(0, 1, RoleKind::Vcpu as u8, 0, b"\x1b[2J\xff\nCPU 0");
    let name = &Snapshot::parse(&page.bytes).unwrap().threads[0].name;
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

#[test]
fn a_page_that_lies_about_itself_is_refused() {
    let good = Page::new(&[]);
    let refusal = |change: &dyn Fn(&mut Page)| {
        let mut page = Page { bytes: good.bytes.clone(), plan: good.plan };
        change(&mut page);
        Snapshot::parse(&page.bytes).unwrap_err()
    };
    assert_eq!(refusal(&|p| p.bytes.truncate(4)), BadPage::Short);
    assert_eq!(refusal(&|p| p.bytes[0] = b'P'), BadPage::Magic);
    assert_eq!(refusal(&|p| p.put_u32(offset_of!(Header, version), 2)), BadPage::Version(2));
    assert_eq!(refusal(&|p| p.put_u32(offset_of!(Header, owner), 0)), BadPage::Unfinished);
    for (at, what) in [
        (offset_of!(Header, set_count), "sets"),
        (offset_of!(Header, text_bytes), "text"),
        (offset_of!(Header, entry_count), "entries"),
        (offset_of!(Header, entry_bytes), "entry_bytes"),
        (offset_of!(Header, entries_at), "entries"),
    ] {
        assert_eq!(refusal(&|p| p.put_u32(at, u32::MAX)), BadPage::Field(what));
    }
    assert_eq!(refusal(&|p| p.put_u32(offset_of!(Header, set_words), 0)), BadPage::Field("set_words"));
    assert_eq!(refusal(&|p| p.put_u32(offset_of!(Header, set_count), 0)), BadPage::Field("sets"));
}

#[test]
fn a_plan_that_would_be_too_large_is_none() {
    assert_eq!(Plan::new(&[set(&[0])], &"x".repeat(MAX_BYTES)), None);
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(
        changes in proptest::collection::vec((0usize..1 << 20, any::<u8>()), 0..64),
        header in proptest::collection::vec((0usize..size_of::<Header>(), any::<u8>()), 0..8),
        length in 0usize..1 << 20,
    ) {
        let mut page = Page::new(&[entry("PIN_CPUS", "1")]);
        page.put_thread(0, 7, RoleKind::Vcpu as u8, 0, b"CPU 0/KVM");
        let total = page.bytes.len();
        for (at, byte) in changes.into_iter().chain(header) {
            page.bytes[at % total] = byte;
        }
        page.bytes.truncate(length.max(total / 2));
        if let Ok(snapshot) = Snapshot::parse(&page.bytes) {
            for thread in snapshot.threads {
                prop_assert!(usize::from(thread.set.0) < snapshot.sets.len());
                prop_assert!(usize::from(thread.home.0) < snapshot.sets.len());
            }
        }
    }
}
