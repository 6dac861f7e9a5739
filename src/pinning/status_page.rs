//! The layout of the status page: what the library in QEMU writes and the command reads.
//!
//! It is a sealed memfd named `pinshim`. The library maps it and writes through the atomics below; a
//! reader gets plain bytes (`pread`) and must take them as hostile: whoever runs QEMU can write anything
//! there. [`Snapshot::parse`] checks every field and never panics.
//!
//! An entry's `tid` is written last when a thread is born and cleared first when it ends, but one
//! `pread` may still see half an entry: a reader takes an entry as true when two reads agree on it.
//!
//! Layout of version 1, native endianness: [`Header`], then the sets (`set_count` masks of `set_words`
//! 64-bit words), then the policy as text (`NAME=value`, each ended by NUL), then the entries.

use crate::cpu_set::CpuSet;
use crate::policy::SetId;
use crate::role::RoleKind;
use std::fmt;
use std::mem::{offset_of, size_of};
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

/// A kernel thread id; 0 is the calling thread where a system call says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub i32);

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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
    fn of(byte: u8) -> Option<Self> {
        [Self::Born, Self::Placed, Self::Cut, Self::Refused, Self::LeftAlone]
            .into_iter()
            .find(|state| *state as u8 == byte)
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
    /// [`RoleKind`].
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

/// What a page said when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The process that writes the page.
    pub owner: u32,
    /// The broker's pid, if there is a broker.
    pub broker: Option<u32>,
    /// Whether a vCPU has run.
    pub settled: bool,
    /// Whether QEMU has loaded its sandbox.
    pub sandboxed: bool,
    /// The policy's sets; 0 is the base.
    pub sets: Vec<CpuSet>,
    /// The policy as the variables it was read from.
    pub environment: Vec<(String, String)>,
    /// The threads listed.
    pub threads: Vec<Listed>,
    /// Counters, in the header's words.
    pub counters: Counters,
}

/// The header's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Threads created through the library.
    pub created: u64,
    /// Threads that found the register full.
    pub unlisted: u32,
    /// Pins made by the broker.
    pub brokered: u64,
    /// Pins the cpuset cut.
    pub cut: u64,
    /// Pins that failed.
    pub refused: u64,
    /// Threads put back by a later look.
    pub put_back: u64,
}

/// One thread as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its thread id.
    pub tid: Tid,
    /// Where it stands.
    pub state: State,
    /// What it does.
    pub role: RoleKind,
    /// vCPU index or IOThread order.
    pub index: Option<u32>,
    /// The set it should be on: an index into [`Snapshot::sets`], checked.
    pub set: SetId,
    /// The set its own workers follow by default; checked likewise.
    pub home: SetId,
    /// When it was born: CLOCK_MONOTONIC, nanoseconds.
    pub born_ns: u64,
    /// QEMU's name for it (lossy UTF-8, control characters replaced: a terminal may show it).
    pub name: String,
}

/// Why some bytes are no status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPage {
    /// Shorter than its own header says.
    Short,
    /// It does not begin with [`MAGIC`].
    Magic,
    /// A layout this reader does not know.
    Version(u32),
    /// Not complete yet: no owner.
    Unfinished,
    /// A field contradicts another.
    Field(&'static str),
}

impl fmt::Display for BadPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPage::Short => f.write_str("the status page is cut short"),
            BadPage::Magic => f.write_str("this is not a status page"),
            BadPage::Version(found) => write!(
                f,
                "the status page has layout {found}, this command reads layout {VERSION}: use the command that came with the library"
            ),
            BadPage::Unfinished => f.write_str("the status page is not complete yet"),
            BadPage::Field(name) => write!(f, "the status page contradicts itself in {name}"),
        }
    }
}

impl std::error::Error for BadPage {}

impl Snapshot {
    /// Reads a page.
    ///
    /// # Errors
    /// [`BadPage`], if the bytes are not a whole and consistent page. An entry that makes no sense (a
    /// role or set that does not exist) is left out: it may be half written.
    pub fn parse(page: &[u8]) -> Result<Self, BadPage> {
        if page.get(..8).ok_or(BadPage::Short)? != MAGIC {
            return Err(BadPage::Magic);
        }
        let version = u32_at(page, offset_of!(Header, version))?;
        if version != VERSION {
            return Err(BadPage::Version(version));
        }
        let owner = u32_at(page, offset_of!(Header, owner))?;
        if owner == 0 {
            return Err(BadPage::Unfinished);
        }
        let size = |offset| u32_at(page, offset).map(|value| value as usize);
        let sets = read_sets(
            page,
            size(offset_of!(Header, sets_at))?,
            size(offset_of!(Header, set_count))?,
            size(offset_of!(Header, set_words))?,
        )?;
        let environment =
            read_text(page, size(offset_of!(Header, text_at))?, size(offset_of!(Header, text_bytes))?)?;
        let entry_bytes = size(offset_of!(Header, entry_bytes))?;
        if entry_bytes != size_of::<Entry>() {
            return Err(BadPage::Field("entry_bytes"));
        }
        let entry_count = size(offset_of!(Header, entry_count))?;
        let entries = part(page, size(offset_of!(Header, entries_at))?, entry_count, entry_bytes)
            .ok_or(BadPage::Field("entries"))?;
        let threads =
            entries.chunks_exact(entry_bytes).filter_map(|e| Listed::parse(e, sets.len())).collect();
        Ok(Self {
            owner,
            broker: Some(u32_at(page, offset_of!(Header, broker))?).filter(|pid| *pid != 0),
            settled: u32_at(page, offset_of!(Header, settled))? != 0,
            sandboxed: u32_at(page, offset_of!(Header, sandboxed))? != 0,
            sets,
            environment,
            threads,
            counters: Counters {
                created: u64_at(page, offset_of!(Header, created))?,
                unlisted: u32_at(page, offset_of!(Header, unlisted))?,
                brokered: u64_at(page, offset_of!(Header, brokered))?,
                cut: u64_at(page, offset_of!(Header, cut))?,
                refused: u64_at(page, offset_of!(Header, refused))?,
                put_back: u64_at(page, offset_of!(Header, put_back))?,
            },
        })
    }
}

impl Listed {
    fn parse(entry: &[u8], sets: usize) -> Option<Self> {
        let tid = u32_at(entry, offset_of!(Entry, tid)).ok()? as i32;
        let set = u16_at(entry, offset_of!(Entry, set)).ok()?;
        let home = u16_at(entry, offset_of!(Entry, home)).ok()?;
        if tid <= 0 || usize::from(set) >= sets || usize::from(home) >= sets {
            return None;
        }
        let length = usize::from(u16_at(entry, offset_of!(Entry, name_bytes)).ok()?).min(NAME_BYTES);
        let name = entry.get(offset_of!(Entry, name)..)?.get(..length)?;
        let name = String::from_utf8_lossy(name).replace(char::is_control, "?");
        let index = u32_at(entry, offset_of!(Entry, index)).ok()?;
        Some(Self {
            tid: Tid(tid),
            state: State::of(*entry.get(offset_of!(Entry, state))?)?,
            role: RoleKind::try_from(*entry.get(offset_of!(Entry, role))?).ok()?,
            index: Some(index).filter(|index| *index != NO_INDEX),
            set: SetId(set),
            home: SetId(home),
            born_ns: u64_at(entry, offset_of!(Entry, born_ns)).ok()?,
            name,
        })
    }
}

fn read_sets(page: &[u8], at: usize, count: usize, words: usize) -> Result<Vec<CpuSet>, BadPage> {
    let bytes = words.checked_mul(8).filter(|bytes| *bytes > 0).ok_or(BadPage::Field("set_words"))?;
    let masks =
        part(page, at, count, bytes).filter(|masks| !masks.is_empty()).ok_or(BadPage::Field("sets"))?;
    Ok(masks
        .chunks_exact(bytes)
        .map(|mask| {
            let words: Vec<u64> = mask
                .chunks_exact(8)
                .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
                .collect();
            CpuSet::from_words(&words)
        })
        .collect())
}

fn read_text(page: &[u8], at: usize, bytes: usize) -> Result<Vec<(String, String)>, BadPage> {
    let text = part(page, at, bytes, 1).ok_or(BadPage::Field("text"))?;
    let text = std::str::from_utf8(text).map_err(|_| BadPage::Field("text"))?;
    // A value may hold a line's end (white space separates items), so the lines are ended by NUL.
    text.split_terminator('\0')
        .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect::<Option<_>>()
        .ok_or(BadPage::Field("text"))
}

/// The policy's variables as the page keeps them: what [`Snapshot::environment`] reads back.
pub fn text_of(entries: &[(String, String)]) -> String {
    entries.iter().map(|(name, value)| format!("{name}={value}\0")).collect()
}

fn part(page: &[u8], at: usize, count: usize, bytes: usize) -> Option<&[u8]> {
    page.get(at..at.checked_add(count.checked_mul(bytes)?)?)
}

fn bytes_at<const N: usize>(page: &[u8], at: usize) -> Result<[u8; N], BadPage> {
    part(page, at, N, 1).and_then(|bytes| bytes.try_into().ok()).ok_or(BadPage::Short)
}

fn u16_at(page: &[u8], at: usize) -> Result<u16, BadPage> {
    bytes_at(page, at).map(u16::from_ne_bytes)
}

fn u32_at(page: &[u8], at: usize) -> Result<u32, BadPage> {
    bytes_at(page, at).map(u32::from_ne_bytes)
}

fn u64_at(page: &[u8], at: usize) -> Result<u64, BadPage> {
    bytes_at(page, at).map(u64::from_ne_bytes)
}
