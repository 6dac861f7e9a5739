//! The layout of the status page: what the library in QEMU writes and the command reads.
//!
//! It is a sealed memfd named `pinshim`. The library maps it and writes through the atomics below; a
//! reader gets plain bytes (`pread`) and must take them as hostile: whoever runs QEMU can write anything
//! there. [`Snapshot::parse`](super::Snapshot::parse) checks every field and never panics.
//!
//! An entry's `tid` is written last when a thread is born and cleared first when it ends, but one
//! `pread` may still see half an entry: a reader takes an entry as true when two reads agree on it.
//!
//! Layout of version 1, native endianness: [`Header`], then the sets (`set_count` masks of `set_words`
//! 64-bit words), then the policy as text (`NAME=value`, each ended by NUL), then the entries.

use crate::cpus::CpuSet;
use std::fmt;
use std::mem::size_of;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// The name the memfd is made with: `/proc/PID/fd/N` is a link to `/memfd:pinshim (deleted)`.
pub const NAME: &str = "pinshim";
/// The first bytes of the page.
pub const MAGIC: [u8; 8] = *b"pinshim\n";
/// The layout described here. A reader refuses any other.
pub const VERSION: u32 = 1;
/// No page is larger; a reader reads no more.
pub const MAX_BYTES: usize = 16 << 20;
/// Bytes of a thread's name that an entry keeps.
pub const NAME_BYTES: usize = 64;
/// The entry has no vCPU index and no order of creation.
pub const NO_INDEX: u32 = u32::MAX;

/// How many threads the register lists at the same time.
pub const ENTRIES: usize = 4096;

/// Where a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The thread exists and has not yet placed itself.
    Born = 1,
    /// It may run on its set and nowhere else.
    Placed = 2,
    /// The cpuset left only a part of its set.
    Cut = 3,
    /// The kernel refused its set, or nobody answered.
    Refused = 4,
    /// Its affinity is QEMU's own business (role exempt).
    LeftAlone = 5,
}

impl State {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Born, Self::Placed, Self::Cut, Self::Refused, Self::LeftAlone]
            .into_iter()
            .find(|state| *state as u8 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Born => "born",
            State::Placed => "placed",
            State::Cut => "cut",
            State::Refused => "refused",
            State::LeftAlone => "left alone",
        })
    }
}

/// The page's beginning. Plain fields are written once, before the owner's pid.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// The process that writes; 0 until the page is complete.
    pub owner: AtomicU32,
    /// Bytes of the whole page.
    pub page_bytes: u64,
    /// Where the sets begin, how many they are, and 64-bit words in each.
    pub sets_at: u32,
    /// See `sets_at`.
    pub set_count: u32,
    /// See `sets_at`.
    pub set_words: u32,
    /// Where the policy's text begins.
    pub text_at: u32,
    /// Bytes of the policy's text.
    pub text_bytes: u32,
    /// Where the entries begin.
    pub entries_at: u32,
    /// How many entries there are.
    pub entry_count: u32,
    /// Bytes from one entry to the next.
    pub entry_bytes: u32,
    /// The broker's pid; 0 where there is none.
    pub broker: AtomicU32,
    /// 1 once a vCPU has entered its first KVM_RUN and the process was looked over.
    pub settled: AtomicU32,
    /// 1 once QEMU has loaded its sandbox.
    pub sandboxed: AtomicU32,
    /// Threads that found no free entry.
    pub unlisted: AtomicU32,
    /// No entry from this one on was ever used: a look need not go further.
    pub entries_used: AtomicU32,
    /// Zero.
    pub spare: u32,
    /// Threads created through the library so far.
    pub created: AtomicU64,
    /// Pins that the broker made for us.
    pub brokered: AtomicU64,
    /// Pins that the cpuset cut, and pins that failed.
    pub cut: AtomicU64,
    /// See `cut`.
    pub refused: AtomicU64,
    /// Threads found off their set by a later look, and put back.
    pub put_back: AtomicU64,
}

/// One thread.
#[repr(C)]
#[derive(Debug)]
pub struct Entry {
    /// The thread; 0: nothing here. Written last, cleared first.
    pub tid: AtomicI32,
    /// [`State`].
    pub state: AtomicU8,
    /// [`RoleKind`](crate::RoleKind).
    pub role: AtomicU8,
    /// The set it should be on.
    pub set: AtomicU16,
    /// vCPU index, or an IOThread's order of creation; else [`NO_INDEX`].
    pub index: AtomicU32,
    /// The set of its home: what its own workers follow.
    pub home: AtomicU16,
    /// Bytes of `name` that count.
    pub name_bytes: AtomicU16,
    /// When it was born: CLOCK_MONOTONIC, nanoseconds.
    pub born_ns: AtomicU64,
    /// QEMU's name for it, cut to fit; empty where there is none.
    pub name: [AtomicU8; NAME_BYTES],
    spare: [AtomicU64; 5],
}

const _: () = assert!(size_of::<Entry>() == 128);
const _: () = assert!(size_of::<Header>() % 8 == 0);

/// Where each part of a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Words of one set's mask.
    pub set_words: usize,
    /// Offset of the sets.
    pub sets_at: usize,
    /// Offset of the policy's text.
    pub text_at: usize,
    /// Offset of the entries.
    pub entries_at: usize,
    /// The whole.
    pub page_bytes: usize,
}

impl Plan {
    /// The plan for these sets and this text; `None` if the page would be larger than [`MAX_BYTES`].
    pub fn new(sets: &[CpuSet], text: &str) -> Option<Self> {
        let set_words = sets.iter().map(|set| set.words().len()).max().unwrap_or(0).max(1);
        let sets_at = size_of::<Header>();
        let text_at = sets_at.checked_add(sets.len().checked_mul(set_words)?.checked_mul(8)?)?;
        // Entries begin on a line of their own: a write to one never shares a cache line with the policy.
        let entries_at = text_at.checked_add(text.len())?.checked_next_multiple_of(128)?;
        let page_bytes = entries_at.checked_add(ENTRIES * size_of::<Entry>())?;
        (page_bytes <= MAX_BYTES).then_some(Self { set_words, sets_at, text_at, entries_at, page_bytes })
    }
}

/// The policy's variables as the page keeps them: what [`Snapshot::environment`](super::Snapshot::environment) reads back.
pub fn text_of(entries: &[(String, String)]) -> String {
    entries.iter().map(|(name, value)| format!("{name}={value}\0")).collect()
}
