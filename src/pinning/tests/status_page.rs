//! The status page as a reader sees it: what was written is read back, and no bytes that a hostile writer
//! puts there are believed or cause a panic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test"
)]

use pinning::status_page::{
    BadPage, ClassState, ClassWord, ENTRIES, Entry, Header, MAX_BYTES, NewPage, Snapshot, State,
};
use pinning::{
    Class, ClassKind, CpuId, CpuSet, Host, MAX_VALUE_BYTES, Policy, RoleKind, SetId, Tid, VARIABLES,
};
use proptest::prelude::*;
use std::mem::offset_of;

/// A page in memory, complete and with an owner. The offsets are numbers, not those of the structs: they must
/// not change with the structs.
#[derive(Clone)]
struct Page {
    bytes: Vec<u8>,
    entries_at: usize,
}

impl Page {
    /// What the library makes for this environment, read on this host.
    fn new(environment: &[(&str, &str)], host: &Host) -> Self {
        let policy = Policy::parse(environment.iter().copied(), host).policy.unwrap();
        let new = NewPage::new(&policy, host).unwrap();
        let mut bytes = new.beginning().to_vec();
        bytes.resize(new.page_bytes(), 0);
        let mut page = Self { bytes, entries_at: new.entries_at() };
        page.put_u32(12, 4242);
        page
    }

    /// A page as a library made it that knew layout 1: the sets 1 and 70, `PIN_CPUS=1`, room for two threads.
    fn of_layout_1() -> Self {
        let mut page = Self { bytes: vec![0; 512], entries_at: 256 };
        page.bytes[..8].copy_from_slice(b"pinshim\n");
        for (at, value) in [
            (8, 1),     // version
            (12, 4242), // owner
            (24, 120),  // sets_at: right behind the header
            (28, 2),    // set_count
            (32, 2),    // set_words
            (36, 152),  // text_at
            (40, 11),   // text_bytes
            (44, 256),  // entries_at
            (48, 2),    // entry_count
            (52, 128),  // entry_bytes
            (56, 4243), // broker
            (60, 1),    // settled
            (64, 1),    // sandboxed
            (68, 3),    // unlisted
            (72, 1),    // entries_used
        ] {
            page.put_u32(at, value);
        }
        for (at, value) in [
            (16, 512), // page_bytes
            (80, 5),   // created
            (88, 6),   // brokered
            (96, 7),   // cut
            (104, 8),  // refused
            (112, 9),  // put_back
        ] {
            page.put_u64(at, value);
        }
        page.put_u64(120, 1 << 1);
        page.put_u64(144, 1 << (70 - 64));
        page.bytes[152..163].copy_from_slice(b"PIN_CPUS=1\0");
        page
    }

    fn put_u64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_u16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    }

    fn put_thread(&mut self, number: usize, tid: i32, role: u8, set: u16, name: &[u8]) {
        let entry = self.entries_at + number * 128;
        self.put_u32(entry, tid as u32);
        self.bytes[entry + 4] = State::Placed as u8;
        self.bytes[entry + 5] = role;
        self.put_u16(entry + 6, set);
        self.put_u32(entry + 8, u32::MAX); // no index
        self.put_u16(entry + 14, name.len() as u16);
        self.bytes[entry + 24..entry + 24 + name.len()].copy_from_slice(name);
    }

    fn read(&self) -> Snapshot {
        Snapshot::parse(&self.bytes).unwrap()
    }
}

fn set(cpus: &[u32]) -> CpuSet {
    cpus.iter().copied().map(CpuId).collect()
}

fn host() -> Host {
    Host { available: (0..80).map(CpuId).collect(), start: set(&[1, 2]) }
}

fn page() -> Page {
    Page::new(&[("PIN_CPUS", "1"), ("PIN_WORKERS", "70\n71")], &host())
}

#[test]
fn what_was_written_is_read_back() {
    let mut page = page();
    page.put_thread(3, 77, RoleKind::Worker as u8, 1, b"worker");
    let snapshot = page.read();
    assert_eq!((snapshot.owner, snapshot.broker), (4242, None));
    assert_eq!((snapshot.settled, snapshot.sandboxed), (false, false));
    assert_eq!(snapshot.sets, [set(&[1]), set(&[70, 71])]);
    assert_eq!(snapshot.host, Some(host()));
    let environment = [("PIN_CPUS", "1"), ("PIN_WORKERS", "70\n71")];
    assert_eq!(snapshot.environment, environment.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let [thread] = &snapshot.threads[..] else { panic!("one thread: {:?}", snapshot.threads) };
    assert_eq!((thread.tid, thread.role, thread.set), (Tid(77), RoleKind::Worker, SetId(1)));
    assert_eq!((thread.state, thread.index, &*thread.name), (State::Placed, None, "worker"));
}

#[test]
fn classes_are_read_back_and_what_makes_no_sense_is_none() {
    let mut page = page();
    page.put_thread(3, 77, RoleKind::Worker as u8, 1, b"worker");
    let (entry, class) = (page.entries_at + 3 * 128, offset_of!(Entry, class));
    assert_eq!((page.read().start_class, page.read().threads[0].class), (None, None));
    let batch = Class { kind: ClassKind::Batch, value: Some(-7), slice_us: 3000 };
    let refused = ClassWord { class: batch, state: ClassState::Refused };
    page.put_u64(entry + class, refused.to_word());
    page.put_u64(offset_of!(Header, start_class), ClassWord { class: Class::USUAL, ..refused }.to_word());
    page.put_u64(offset_of!(Header, class_refused), 4);
    let snapshot = page.read();
    assert_eq!((snapshot.start_class, snapshot.threads[0].class), (Some(Class::USUAL), Some(refused)));
    assert_eq!(snapshot.counters.class_refused, 4);
    // Priority 100; nice value -21; no such class; no such state.
    for word in [0x1_6402, 0x1_EB01, 0x1_0005, 0x9_0001] {
        page.put_u64(entry + class, word);
        assert_eq!(page.read().threads[0].class, None, "{word:x}");
    }
    assert_eq!(Page::of_layout_1().read().start_class, None);
}

#[test]
fn a_page_of_layout_1_is_read() {
    let mut page = Page::of_layout_1();
    page.put_thread(1, 77, RoleKind::Worker as u8, 1, b"worker");
    let snapshot = page.read();
    assert_eq!((snapshot.owner, snapshot.broker), (4242, Some(4243)));
    assert_eq!((snapshot.settled, snapshot.sandboxed), (true, true));
    assert_eq!(snapshot.sets, [set(&[1]), set(&[70])]);
    assert_eq!(snapshot.host, None);
    assert_eq!(snapshot.environment, [("PIN_CPUS".to_owned(), "1".to_owned())]);
    let counters = snapshot.counters;
    assert_eq!((counters.unlisted, counters.created, counters.brokered), (3, 5, 6));
    assert_eq!((counters.cut, counters.refused, counters.put_back), (7, 8, 9));
    let [thread] = &snapshot.threads[..] else { panic!("one thread: {:?}", snapshot.threads) };
    assert_eq!((thread.tid, thread.set, &*thread.name), (Tid(77), SetId(1), "worker"));
}

#[test]
fn entries_have_cache_lines_of_their_own_and_fill_the_page() {
    for values in [[("PIN_CPUS", "1")], [("PIN_VCPUS", "0-40,[1-70]")]] {
        let page = Page::new(&values, &host());
        assert_eq!(page.entries_at % 128, 0);
        assert_eq!(page.bytes.len(), page.entries_at + ENTRIES * 128);
    }
}

#[test]
fn what_other_programs_know_of_the_layout_stays_where_it_is() {
    let header =
        [offset_of!(Header, entries_at), offset_of!(Header, broker), offset_of!(Header, entries_used)];
    assert_eq!(header, [44, 56, 72]);
    let entry = [offset_of!(Entry, state), offset_of!(Entry, role), offset_of!(Entry, set)];
    assert_eq!(entry, [4, 5, 6]);
    assert_eq!([offset_of!(Entry, home), offset_of!(Entry, born_ns), size_of::<Entry>()], [12, 16, 128]);
}

/// The environments that a reader could not parse right without knowing the host.
#[test]
fn one_call_makes_the_policy_of_a_page_again() {
    let host = Host { available: set(&[0, 1, 2, 3, 4, 5, 6, 7]), start: set(&[0, 1]) };
    for environment in [
        &[("PIN_CPUS", "1")][..],
        &[("PIN_CPUS", "all,^3")],
        &[("PIN_CPUS", "5,^5,0")],
        &[("PIN_VCPUS", "*@[all,^0-1]"), ("PIN_EMULATOR", "0")],
        &[("PIN_VCPUS", "2,[3-4]"), ("PIN_IOTHREADS", "io1@5,*@6"), ("PIN_THREADS", "worker@[0,1]")],
        &[("PIN_EMULATOR", "0x6"), ("PIN_MANAGER", "libvirt")],
        &[("PIN_MANAGER", "libvirt"), ("PIN_CPUS", "1,40"), ("PIN_WORKERS", "all")],
        &[("PIN_MANAGER", "libvirt"), ("PIN_CPUS", "40,^40,all,^7")],
        &[("PIN_ERRORS", "warn"), ("PIN_CPUS", "9"), ("PIN_VCPUS", "[all]")],
    ] {
        let policy = Policy::parse(environment.iter().copied(), &host).policy.unwrap();
        let snapshot = Page::new(environment, &host).read();
        assert_eq!(snapshot.host.as_ref(), Some(&host));
        let variables = snapshot.environment.iter().map(|(name, value)| (name, value));
        let again = Policy::parse(variables, &snapshot.host.unwrap()).policy.unwrap();
        assert_eq!(again.sets(), snapshot.sets);
        assert_eq!(format!("{again:?}"), format!("{policy:?}"));
    }
}

#[test]
fn an_entry_that_makes_no_sense_is_left_out() {
    for mut page in [page(), Page::of_layout_1()] {
        page.put_thread(0, 1, 99, 0, b"no such role");
        assert_eq!(page.read().threads, []);
        page.put_thread(0, 2, RoleKind::Vcpu as u8, 2, b"no such set");
        assert_eq!(page.read().threads, []);
        page.put_thread(0, -5, RoleKind::Vcpu as u8, 0, b"no such tid");
        assert_eq!(page.read().threads, []);
        page.put_thread(0, 4, RoleKind::Vcpu as u8, 0, b"no such state");
        page.bytes[page.entries_at + 4] = 7;
        assert_eq!(page.read().threads, []);
        page.put_thread(0, 4, RoleKind::Vcpu as u8, 0, b"no such home");
        page.put_u16(page.entries_at + 12, 2);
        assert_eq!(page.read().threads, []);
        page.put_u16(page.entries_at + 12, 1);
        page.put_thread(1, 5, RoleKind::Vcpu as u8, 0, b"good");
        page.put_u16(page.entries_at + 128 + 14, u16::MAX);
        let threads = page.read().threads;
        assert_eq!(threads.len(), 2);
        assert_eq!(threads[1].name.len(), 64, "a name is not longer than its place");
    }
}

#[test]
fn a_name_cannot_speak_to_the_terminal() {
    let mut page = page();
    page.put_thread(0, 1, RoleKind::Vcpu as u8, 0, b"\x1b[2J\xff\nCPU 0");
    let name = &page.read().threads[0].name;
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

#[test]
fn a_page_that_lies_about_itself_is_refused() {
    for good in [page(), Page::of_layout_1()] {
        let refusal = |change: &dyn Fn(&mut Page)| {
            let mut page = good.clone();
            change(&mut page);
            Snapshot::parse(&page.bytes).unwrap_err()
        };
        assert_eq!(refusal(&|p| p.bytes.truncate(4)), BadPage::Short);
        assert_eq!(refusal(&|p| p.bytes.truncate(8)), BadPage::Short);
        assert_eq!(refusal(&|p| p.bytes.truncate(p.bytes.len() - 1)), BadPage::Short);
        assert_eq!(refusal(&|p| p.bytes[0] = b'P'), BadPage::Magic);
        for version in [0, 3, 77, u32::MAX] {
            assert_eq!(refusal(&|p| p.put_u32(8, version)), BadPage::Version(version));
        }
        assert_eq!(refusal(&|p| p.put_u32(12, 0)), BadPage::Unfinished);
        for (at, what) in [
            (24, "sets"),
            (28, "sets"),
            (32, "set_words"),
            (36, "text"),
            (40, "text"),
            (44, "entries"),
            (48, "entries"),
            (52, "entry_bytes"),
        ] {
            assert_eq!(refusal(&|p| p.put_u32(at, u32::MAX)), BadPage::Field(what), "offset {at}");
        }
        for (at, value, what) in [
            (28, 0, "sets"),
            (28, 8_199, "sets"),
            (32, 0, "set_words"),
            (32, 129, "set_words"),
            (48, 4_097, "entries"),
        ] {
            assert_eq!(refusal(&|p| p.put_u32(at, value)), BadPage::Field(what), "offset {at}");
        }
    }
}

#[test]
fn more_than_the_library_ever_writes_is_refused_though_the_page_has_room_for_it() {
    let mut page = Page::of_layout_1();
    page.bytes.resize(MAX_BYTES, 0);
    page.put_u32(32, 1); // set_words
    let sets = |page: &mut Page, count: u32| {
        page.put_u32(28, count);
        Snapshot::parse(&page.bytes).map(|snapshot| snapshot.sets.len())
    };
    assert_eq!(sets(&mut page, 8_198), Ok(8_198));
    assert_eq!(sets(&mut page, 8_199), Err(BadPage::Field("sets")));
    page.put_u32(28, 1);
    let words = |page: &mut Page, count: u32| {
        page.put_u32(32, count);
        Snapshot::parse(&page.bytes).map(|snapshot| snapshot.sets.len())
    };
    assert_eq!(words(&mut page, 128), Ok(1));
    assert_eq!(words(&mut page, 129), Err(BadPage::Field("set_words")));
    page.put_u32(32, 1);
    let threads = |page: &mut Page, count: u32| {
        page.put_u32(48, count);
        Snapshot::parse(&page.bytes).map(|snapshot| snapshot.threads.len())
    };
    assert_eq!(threads(&mut page, 4_096), Ok(0));
    assert_eq!(threads(&mut page, 4_097), Err(BadPage::Field("entries")));
    page.put_u32(48, 1);
    page.bytes.push(0);
    assert_eq!(Snapshot::parse(&page.bytes), Err(BadPage::Field("page_bytes")));
}

#[test]
fn a_host_that_lies_outside_the_page_is_refused() {
    let mut page = page();
    for at in [u32::MAX, page.bytes.len() as u32, page.bytes.len() as u32 - 31] {
        page.put_u32(76, at);
        assert_eq!(Snapshot::parse(&page.bytes), Err(BadPage::Field("host")));
    }
    // Layout 1 has nothing there, whatever the bytes are.
    let mut page = Page::of_layout_1();
    page.put_u32(76, u32::MAX);
    assert_eq!(page.read().host, None);
}

#[test]
fn a_text_of_other_than_variables_is_refused() {
    let text = |text: &[u8]| {
        let mut page = Page::of_layout_1();
        let at = page.bytes.len();
        page.bytes.extend_from_slice(text);
        page.put_u32(36, at as u32);
        page.put_u32(40, text.len() as u32);
        Snapshot::parse(&page.bytes).map(|snapshot| snapshot.environment.len())
    };
    assert_eq!(text(b""), Ok(0));
    assert_eq!(text(b"PIN_LOG=1\0PIN_CPUS=\0"), Ok(2));
    let all: String = VARIABLES.iter().map(|variable| format!("{}=\0", variable.name)).collect();
    assert_eq!(text(all.as_bytes()), Ok(VARIABLES.len()));
    let long = [&b"PIN_LOG="[..], &b"x".repeat(MAX_VALUE_BYTES), b"\0"].concat();
    assert_eq!(text(&long), Ok(1));
    let too_long = [&b"PIN_LOG=x"[..], &b"x".repeat(MAX_VALUE_BYTES), b"\0"].concat();
    for bad in [&too_long[..], b"PIN_LOG", b"PIN_LOG=1\0\0", b"PIN_LOG=\xff\0", b"PIN_LOG=1\0PIN_LOG=1\0"] {
        assert_eq!(text(bad), Err(BadPage::Field("text")));
    }
    // A name that is misspelt or is of some later library is no known one.
    for unknown in [&b"A=1\0"[..], b"=\0", b"PIN_CPU=1\0", b"PIN_CPUS =1\0", &b"=\0".repeat(1 << 20)] {
        assert_eq!(text(unknown), Err(BadPage::Variable));
    }
}

/// As many sets as there may be, each reaching up to the last CPU that there may be.
#[test]
fn the_page_of_the_largest_policy_is_not_too_large() {
    let full = CpuSet::from_words(&[u64::MAX; 128]);
    let host = Host { available: full.clone(), start: full };
    let set = |number: u32| format!("[{},{},8191]", number % 91, 91 + number / 91);
    let vcpus = (0..5_000).map(set).collect::<Vec<_>>().join(",");
    let iothreads = (5_000..8_190).map(set).collect::<Vec<_>>().join(",");
    let environment = [
        ("PIN_CPUS", "8191"),
        ("PIN_VCPUS", &vcpus),
        ("PIN_IOTHREADS", &iothreads),
        ("PIN_EMULATOR", "1,8191"),
        ("PIN_WORKERS", "2,8191"),
        ("PIN_MIGRATION", "3,8191"),
        ("PIN_VHOST", "4,8191"),
    ];
    let parsed = Policy::parse(environment, &host);
    assert_eq!(parsed.faults, []);
    let policy = parsed.policy.unwrap();
    assert_eq!(policy.sets().len(), 8_196);
    let page = NewPage::new(&policy, &host).unwrap();
    let text = 13 * (MAX_VALUE_BYTES + 32);
    assert!(page.page_bytes() + text <= MAX_BYTES, "{} bytes and the longest text", page.page_bytes());
    assert_eq!(Page::new(&environment, &host).read().sets, policy.sets());
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), layout in 0u32..4) {
        let _ = Snapshot::parse(&bytes);
        let mut page = Page { bytes, entries_at: 0 };
        if page.bytes.len() >= 16 {
            page.bytes[..8].copy_from_slice(b"pinshim\n");
            page.put_u32(8, layout);
            let _ = Snapshot::parse(&page.bytes);
        }
    }

    #[test]
    fn what_is_read_of_a_mutated_page_is_consistent(
        changes in proptest::collection::vec((0usize..1 << 20, any::<u8>()), 0..64),
        fields in proptest::collection::vec(
            (3usize..30, prop_oneof![any::<u32>(), 0u32..600, Just(u32::MAX)]), 0..4
        ),
        cut in prop_oneof![3 => Just(0), 1 => 0usize..1 << 20],
        layout_1 in any::<bool>(),
    ) {
        let mut page = if layout_1 { Page::of_layout_1() } else { page() };
        page.put_thread(0, 7, RoleKind::Vcpu as u8, 0, b"CPU 0/KVM");
        let total = page.bytes.len();
        for (at, byte) in changes {
            // The header decides most, so half of the changes go there.
            let at = if at % 2 == 0 { 16 + at % 240 } else { at % total };
            page.bytes[at] = byte;
        }
        for (field, value) in fields {
            page.put_u32(field * 4, value);
        }
        page.bytes.truncate(total - cut % total);
        if let Ok(snapshot) = Snapshot::parse(&page.bytes) {
            prop_assert!(!snapshot.sets.is_empty());
            prop_assert_eq!(snapshot.host.is_none(), page.bytes[8..12] == 1u32.to_ne_bytes());
            for thread in snapshot.threads {
                prop_assert!(usize::from(thread.set.0) < snapshot.sets.len());
                prop_assert!(usize::from(thread.home.0) < snapshot.sets.len());
                prop_assert!(!thread.name.contains(char::is_control));
            }
        }
    }
}
