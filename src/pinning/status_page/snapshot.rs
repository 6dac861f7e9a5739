//! Reading a status page.
//!
//! The bytes are hostile: whoever runs QEMU can write anything there. Every field is checked before it is
//! used, every count is bounded before anything is allocated for it, and nothing panics. The bounds are what a
//! page of the library can hold, not only its size: so many sets of so many CPUs, each known variable once, so
//! many threads.

use super::at_start::AtStart;
use super::bad_page::BadPage;
use super::bytes::{part, u32_at, u64_at};
use super::class_word::ClassWord;
use super::layout::{ENTRIES, Entry, Header, MAGIC, MAX_BYTES, VERSION, VERSION_WITHOUT_HOST};
use super::listed::Listed;
use crate::class::Class;
use crate::cpus::{CpuSet, MASK_WORDS};
use crate::environment::{MAX_VALUE_BYTES, VARIABLES};
use crate::policy::{ALL_SETS_LIMIT, Host};
use std::mem::{offset_of, size_of};

/// What a page said when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The pid of the process that writes the page.
    pub owner: u32,
    /// The broker's pid, if there is a broker.
    pub broker: Option<u32>,
    /// Whether a vCPU has run, and every thread of the process was checked then.
    pub settled: bool,
    /// Whether QEMU has loaded its sandbox.
    pub sandboxed: bool,
    /// Whether QEMU's threads may have been created unseen: another library's `pthread_create` stands before this one's, and
    /// no name of QEMU's could be read so far.
    pub threads_may_be_unseen: bool,
    /// The scheduling class that the process was started with. `None` where nobody looked: `PIN_SCHED` does not count.
    pub start_class: Option<Class>,
    /// The policy's sets, by [`SetId`](crate::SetId); 0 is the base.
    pub sets: Vec<CpuSet>,
    /// The host that the policy was read on. `None`: the page has layout 1, which does not say it.
    pub host: Option<Host>,
    /// The variables that made the policy, name and value.
    pub environment: Vec<(String, String)>,
    /// The threads listed.
    pub threads: Vec<Listed>,
    /// What became of `PIN_MEMORY`.
    pub memory: AtStart,
    /// What became of `PIN_CORE`.
    pub core: AtStart,
    /// The header's counters.
    pub counters: Counters,
}

/// The header's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Threads created through the library.
    pub created: u64,
    /// Threads that found no free entry.
    pub unlisted: u32,
    /// Affinities that the broker set.
    pub brokered: u64,
    /// Affinities that the cpuset cut.
    pub cut: u64,
    /// Affinities that could not be set.
    pub refused: u64,
    /// Threads that a later check found off their set, and put back.
    pub put_back: u64,
    /// Threads that could not be placed, since a filter of the program's own does not let the library do it.
    pub filtered: u64,
    /// Scheduling classes that could not be given.
    pub class_refused: u64,
}

impl Snapshot {
    /// Reads a page of layout 2 or 1.
    ///
    /// # Errors
    /// [`BadPage`], if the bytes are not a whole and consistent page, or hold more than the library writes. An entry that makes no sense (a
    /// role or set that does not exist) is left out: it may be half written.
    pub fn parse(page: &[u8]) -> Result<Self, BadPage> {
        if page.len() > MAX_BYTES {
            return Err(BadPage::Field("page_bytes"));
        }
        if page.get(..MAGIC.len()).ok_or(BadPage::Short)? != MAGIC {
            return Err(BadPage::Magic);
        }
        let number = |offset| u32_at(page, offset).ok_or(BadPage::Short);
        let size = |offset| number(offset).map(|value| value as usize);
        let counter = |offset| u64_at(page, offset).ok_or(BadPage::Short);

        let version = number(offset_of!(Header, version))?;
        if !matches!(version, VERSION | VERSION_WITHOUT_HOST) {
            return Err(BadPage::Version(version));
        }
        // Layout 1 ends before these.
        let at_start = |offset| match version {
            VERSION_WITHOUT_HOST => Ok(AtStart::NotSaid),
            _ => number(offset).map(AtStart::from_number),
        };
        let later = |offset| if version == VERSION_WITHOUT_HOST { Ok(0) } else { counter(offset) };
        let owner = number(offset_of!(Header, owner))?;
        if owner == 0 {
            return Err(BadPage::Unfinished);
        }
        if counter(offset_of!(Header, page_bytes))? > page.len() as u64 {
            return Err(BadPage::Short);
        }
        let set_words = size(offset_of!(Header, set_words))?;
        if !(1..=MASK_WORDS).contains(&set_words) {
            return Err(BadPage::Field("set_words"));
        }
        let set_count = size(offset_of!(Header, set_count))?;
        if !(1..=ALL_SETS_LIMIT).contains(&set_count) {
            return Err(BadPage::Field("sets"));
        }
        let masks = |at, count| part(page, at, count, set_words * 8).map(|masks| sets(masks, set_words));
        let sets = masks(size(offset_of!(Header, sets_at))?, set_count).ok_or(BadPage::Field("sets"))?;
        let host = if version == VERSION_WITHOUT_HOST {
            None
        } else {
            let two = masks(size(offset_of!(Header, host_at))?, 2).ok_or(BadPage::Field("host"))?;
            let [available, start] = two.try_into().map_err(|_| BadPage::Field("host"))?;
            Some(Host { available, start })
        };
        let text = part(page, size(offset_of!(Header, text_at))?, size(offset_of!(Header, text_bytes))?, 1);
        let environment = variables(text.ok_or(BadPage::Field("text"))?)?;
        let entry_bytes = size(offset_of!(Header, entry_bytes))?;
        if entry_bytes != size_of::<Entry>() {
            return Err(BadPage::Field("entry_bytes"));
        }
        let (entries_at, entry_count) =
            (size(offset_of!(Header, entries_at))?, size(offset_of!(Header, entry_count))?);
        if entry_count > ENTRIES {
            return Err(BadPage::Field("entries"));
        }
        let entries = part(page, entries_at, entry_count, entry_bytes).ok_or(BadPage::Field("entries"))?;
        let threads = entries.chunks_exact(entry_bytes).filter_map(|e| Listed::parse(e, set_count)).collect();
        Ok(Self {
            owner,
            broker: Some(number(offset_of!(Header, broker))?).filter(|pid| *pid != 0),
            settled: number(offset_of!(Header, settled))? != 0,
            sandboxed: number(offset_of!(Header, sandboxed))? != 0,
            threads_may_be_unseen: version != VERSION_WITHOUT_HOST
                && number(offset_of!(Header, bypass_is_possible))? != 0
                && number(offset_of!(Header, names_are_read))? == 0,
            start_class: ClassWord::from_word(later(offset_of!(Header, start_class))?).map(|word| word.class),
            sets,
            host,
            environment,
            threads,
            memory: at_start(offset_of!(Header, memory))?,
            core: at_start(offset_of!(Header, core))?,
            counters: Counters {
                created: counter(offset_of!(Header, created))?,
                unlisted: number(offset_of!(Header, unlisted))?,
                brokered: counter(offset_of!(Header, brokered))?,
                cut: counter(offset_of!(Header, cut))?,
                refused: counter(offset_of!(Header, refused))?,
                put_back: counter(offset_of!(Header, put_back))?,
                filtered: later(offset_of!(Header, filtered))?,
                class_refused: later(offset_of!(Header, class_refused))?,
            },
        })
    }
}

/// The sets that masks of `set_words` words hold, one after the other.
fn sets(masks: &[u8], set_words: usize) -> Vec<CpuSet> {
    let word = |bytes: &[u8]| u64_at(bytes, 0).unwrap_or_default();
    let set = |mask: &[u8]| CpuSet::from_words(&mask.chunks_exact(8).map(word).collect::<Vec<_>>());
    masks.chunks_exact(set_words * 8).map(set).collect()
}

/// The variables of a policy's text, name and value: each of those that there are once at most.
fn variables(text: &[u8]) -> Result<Vec<(String, String)>, BadPage> {
    let bad = BadPage::Field("text");
    let mut variables: Vec<(String, String)> = Vec::new();
    for line in std::str::from_utf8(text).map_err(|_| bad)?.split_terminator('\0') {
        let (name, value) = line.split_once('=').ok_or(bad)?;
        if !VARIABLES.iter().any(|variable| variable.name == name) {
            return Err(BadPage::Variable);
        }
        if value.len() > MAX_VALUE_BYTES || variables.iter().any(|(before, _)| before == name) {
            return Err(bad);
        }
        variables.push((name.to_owned(), value.to_owned()));
    }
    Ok(variables)
}
