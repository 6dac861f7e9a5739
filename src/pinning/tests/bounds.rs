//! What parsing costs, whatever the input: memory is bounded by a constant, and work grows no faster than the
//! input.
//!
//! Work is counted in allocations and in the CPU time of the thread. The bound on CPU time is far above what
//! the work takes, even in a debug build on a slow machine, and far below what quadratic work would take.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a helper of a test fails the test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use pinning::status_page::{BadPage, MAX_BYTES, NewPage, Snapshot};
use pinning::{CpuSet, Host, MAX_VALUE_BYTES, Policy, VARIABLES, acts_in};

/// No parsing has more bytes allocated at one time than this, above what the input itself takes: of an
/// environment with every value as long as it may be, or of a page.
const MEMORY_LIMIT: usize = 32 << 20;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        let live = LIVE.with(Cell::get).wrapping_add(layout.size());
        LIVE.with(|bytes| bytes.set(live));
        PEAK.with(|peak| peak.set(peak.get().max(live)));
        // SAFETY: the caller keeps the same contract towards us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.with(|bytes| bytes.set(bytes.get().wrapping_sub(layout.size())));
        // SAFETY: the memory came from the system's allocator, by `alloc` above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What some work cost the thread.
#[derive(Debug)]
struct Cost {
    allocations: usize,
    /// The most bytes that were allocated at one time, above those before the work.
    peak: usize,
    /// On a CPU; waiting for one does not count.
    time: Duration,
}

fn cost_of<R>(work: impl FnOnce() -> R) -> (R, Cost) {
    // Asking for the time allocates, so that comes first and last.
    let time = cpu_time();
    let (allocations, live) = (ALLOCATIONS.with(Cell::get), LIVE.with(Cell::get));
    PEAK.with(|peak| peak.set(live));
    let result = work();
    let (allocations, peak) = (ALLOCATIONS.with(Cell::get) - allocations, PEAK.with(Cell::get) - live);
    (result, Cost { allocations, peak, time: cpu_time() - time })
}

/// The CPU time of the calling thread: the first number of /proc/PID/task/TID/schedstat, in nanoseconds.
fn cpu_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

/// Repeats an item up to `bytes` bytes. `#` in it becomes a number, another one each time.
fn repeated(item: &str, bytes: usize) -> String {
    if !item.contains('#') {
        return item.repeat(bytes / item.len());
    }
    let mut text = String::new();
    for number in 0.. {
        let next = item.replace('#', &number.to_string());
        if text.len() + next.len() > bytes {
            return text;
        }
        text.push_str(&next);
    }
    text
}

/// Items of which a long value may be made, and that cost much. Each was slow, or took much memory, in some
/// parser of such texts.
const ITEMS: &[&str] = &[
    "x,",
    ",",
    "0,",
    "all ",
    "^0,",
    "0-8191,",
    "0-8191:2,",
    "8191,",
    "0x1,",
    "0xf",
    "9",
    "[",
    "]",
    "[]",
    "[8191],",
    "[#,8191],",
    "[0-8191:3],",
    "#,",
    "#@8191,",
    "#@[0-8191:2],",
    "0@0,",
    "0-65535@0,",
    "*@0,",
    "i#@#,",
    "i@0,",
    "iiiiiiii",
    "w#@0,",
    "w@0,",
    "w#@[#,8191],",
    "*a",
    "*a,",
    "*a@0,",
    "?",
    "é",
    "é,",
    "a=debug,",
    "m#=debug,",
    "m#,",
    "/",
    "=",
    "@",
    "\u{1b}",
    "\u{1b},",
    "-",
    "18446744073709551615-",
    "0-4000000000:2,",
    "0-18446744073709551615,",
    "18446744073709551615,",
];

fn hosts() -> [Host; 2] {
    let two = CpuSet::from_words(&[0b11]);
    // A page may say this of its host. Its cpulist is 20 KiB long.
    let odd = CpuSet::from_words(&[0x5555_5555_5555_5555; 128]);
    [Host { available: two.clone(), start: two }, Host { available: odd.clone(), start: odd }]
}

/// Of each kind of value one variable.
const KINDS: &[&str] =
    &["PIN_CPUS", "PIN_VCPUS", "PIN_IOTHREADS", "PIN_THREADS", "PIN_TARGET", "PIN_NAMES", "PIN_LOG"];

#[test]
fn the_work_grows_no_faster_than_the_value_and_its_memory_is_bounded() {
    let [_, host] = &hosts();
    for name in KINDS {
        for item in ITEMS {
            let cost = |bytes: usize| {
                let value = repeated(item, bytes);
                let environment = [("PIN_MANAGER", "libvirt"), ("PIN_EMULATOR", "0"), (name, &value)];
                cost_of(|| drop(Policy::parse(environment, host))).1
            };
            let (short, long) = (cost(MAX_VALUE_BYTES / 64), cost(MAX_VALUE_BYTES / 16));
            let what = format!("{name}={item:?}: {short:?} and {long:?}");
            assert!(long.allocations <= 5 * short.allocations + 1_000, "{what}");
            assert!(long.peak <= 5 * short.peak + (1 << 20), "{what}");
            assert!(long.peak <= MEMORY_LIMIT, "{what}");
            assert!(long.time < Duration::from_secs(4), "{what}");
        }
    }
}

#[test]
fn every_value_as_long_as_it_may_be_and_a_name_given_very_often_stay_within_the_bound() {
    let host = &hosts()[1];
    for item in ["[#,8191],", "w#@[#,8191],"] {
        let value = repeated(item, MAX_VALUE_BYTES);
        let names = ["PIN_MANAGER"].into_iter().chain(VARIABLES.iter().map(|variable| variable.name));
        let environment: Vec<(&str, &str)> =
            names.map(|name| (name, if name == "PIN_MANAGER" { "libvirt" } else { &*value })).collect();
        let often = environment.iter().copied().cycle().take(10_000);
        let (_, cost) = cost_of(|| drop(Policy::parse(often, host)));
        assert!(cost.peak <= MEMORY_LIMIT, "{item}: {cost:?}");
        assert!(cost.time < Duration::from_secs(4), "{item}: {cost:?}");
    }
}

#[test]
fn a_hostile_list_of_targets_takes_no_time() {
    // The command asks this about every process of the host, with a value of the process's own.
    let basename = "a".repeat(255);
    for item in ["*a", "*a*a*a*b,", "?", ",", "a,", "*********b,"] {
        let target = repeated(item, MAX_VALUE_BYTES);
        let (_, cost) = cost_of(|| acts_in(Some(target.as_bytes()), basename.as_bytes()));
        assert_eq!(cost.allocations, 0);
        assert!(cost.time < Duration::from_secs(1), "{item}: {cost:?}");
    }
}

/// A page of the largest size, with this many sets, words, threads and bytes of text in its header. The parts
/// overlap.
fn hostile_page(sets: u32, words: u32, threads: u32, text: &[u8]) -> Vec<u8> {
    let host = &hosts()[0];
    let policy = Policy::parse([("PIN_CPUS", "1")], host).policy.unwrap();
    let mut page = NewPage::new(&policy, host).unwrap().beginning().to_vec();
    page.resize(MAX_BYTES, 0xff);
    let text_at = MAX_BYTES - text.len();
    page[text_at..].copy_from_slice(text);
    for (at, value) in [
        (12, 1),
        (28, sets),
        (32, words),
        (36, text_at as u32),
        (40, text.len() as u32),
        (48, threads),
        (76, 4096), // host_at
    ] {
        page[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    page
}

#[test]
fn a_hostile_page_takes_no_more_memory_than_an_honest_one_may() {
    let all: String = VARIABLES.iter().map(|v| format!("{}={}\0", v.name, "1 ".repeat(60_000))).collect();
    let empty = "PIN_CPUS=\0".repeat(1 << 20);
    for (sets, words, threads, text) in [
        (8_198, 128, 4_096, &*all),
        (8_198, 128, 4_096, &*empty),
        (8_198, 128, 4_096, "=\0"),
        (8_198, 1, 131_072, ""),
        (65_536, 32, 4_096, ""),
        (1, 1 << 20, 4_096, ""),
        (1, 1_024, 4_096, ""),
        (u32::MAX, u32::MAX, u32::MAX, ""),
    ] {
        let page = hostile_page(sets, words, threads, text.as_bytes());
        let (read, cost) = cost_of(|| Snapshot::parse(&page).map(drop));
        let what = format!("{sets} sets, {words} words, {threads} threads: {read:?}, {cost:?}");
        assert!(cost.peak <= MEMORY_LIMIT, "{what}");
        assert!(cost.time < Duration::from_secs(4), "{what}");
        let good =
            sets <= 8_198 && words <= 128 && threads <= 4_096 && text.len() != empty.len() && text != "=\0";
        assert_eq!(read.is_ok(), good, "{what}");
    }
}

#[test]
fn a_page_of_many_empty_variables_is_given_up_at_once() {
    let page = hostile_page(1, 1, 1, "PIN_LOG=\0PIN_LOG=\0".repeat(800_000).as_bytes());
    let (read, cost) = cost_of(|| Snapshot::parse(&page).map(drop));
    assert_eq!(read, Err(BadPage::Field("text")));
    assert!(cost.allocations < 100, "{cost:?}");
}
