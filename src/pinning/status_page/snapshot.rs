//! Reading a status page: plain bytes, taken as hostile, to a [`Snapshot`].

use super::layout::{Entry, Header, MAGIC, NAME_BYTES, NO_INDEX, State, VERSION};
use crate::cpus::CpuSet;
use crate::policy::SetId;
use crate::role::RoleKind;
use crate::tid::Tid;
use std::fmt;
use std::mem::{offset_of, size_of};

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
            state: State::from_number(*entry.get(offset_of!(Entry, state))?)?,
            role: RoleKind::from_number(*entry.get(offset_of!(Entry, role))?)?,
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
