//! The layout of the status page.
//!
//! The page is a sealed memfd named `pinshim`, which QEMU's process keeps open. The library maps it and
//! writes to it through the atomics below. A reader reads plain bytes (`pread`) and takes them as hostile,
//! because whoever runs QEMU can write anything there.
//!
//! All numbers have the machine's byte order. The parts of a page, one after the other:
//!
//! 1. [`Header`], which says where the others are;
//! 2. the policy's sets: `set_count` masks of `set_words` 64-bit words each;
//! 3. the host: two masks of the same size, the CPUs available and the affinity QEMU was started with
//!    (layout 2 only);
//! 4. the policy as text: `NAME=value` for each variable, each ended by NUL;
//! 5. the entries, one for each thread listed.
//!
//! A thread's `tid` is the last field written when its entry is made and the first one cleared when it ends.
//! One `pread` may still see half an entry, so a reader takes an entry as true when two reads agree on it.
//!
//! What comes later goes into the spare words of [`Header`] and [`Entry`], without a new layout, if 0 there
//! can mean that nothing is said. A new layout is needed only when a field changes its place or its meaning.

use crate::policy::COMM_BYTES;
use std::mem::size_of;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// The name that the memfd is made with: `/proc/PID/fd/N` is a link to `/memfd:pinshim (deleted)`.
pub const NAME: &str = "pinshim";
/// The first bytes of the page.
pub const MAGIC: [u8; 8] = *b"pinshim\n";
/// The number of the layout described here.
pub const VERSION: u32 = 2;
/// The number of the layout before it, which says nothing of the host and has a shorter header.
pub const VERSION_WITHOUT_HOST: u32 = 1;
/// No page is larger, in bytes; a reader reads no more.
pub const MAX_BYTES: usize = 16 << 20;
/// Bytes of a thread's name that an entry keeps.
pub const NAME_BYTES: usize = 64;
/// The entry has no vCPU index and no order of creation.
pub const NO_INDEX: u32 = u32::MAX;
/// How many threads are listed at the same time.
pub const ENTRIES: usize = 4096;

/// The page's beginning. Plain fields are written once, before `owner`.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// The pid of the process that writes; 0 until the page is complete.
    pub owner: AtomicU32,
    /// Bytes of the whole page.
    pub page_bytes: u64,
    /// Offset of the sets.
    pub sets_at: u32,
    /// How many sets there are.
    pub set_count: u32,
    /// 64-bit words of each mask.
    pub set_words: u32,
    /// Offset of the policy's text.
    pub text_at: u32,
    /// Bytes of the policy's text.
    pub text_bytes: u32,
    /// Offset of the entries.
    pub entries_at: u32,
    /// How many entries there are, used or not.
    pub entry_count: u32,
    /// Bytes from one entry to the next.
    pub entry_bytes: u32,
    /// The broker's pid; 0 where there is none.
    pub broker: AtomicU32,
    /// 1 once a vCPU has entered its first KVM_RUN and every thread of the process was checked.
    pub settled: AtomicU32,
    /// 1 once QEMU has loaded its sandbox.
    pub sandboxed: AtomicU32,
    /// Threads that found no free entry.
    pub unlisted: AtomicU32,
    /// No entry from this one on was ever used, so a search need not go further.
    pub entries_used: AtomicU32,
    /// Offset of the host's masks. 0 in layout 1.
    pub host_at: u32,
    /// Threads created through the library so far.
    pub created: AtomicU64,
    /// Affinities that the broker set for this process.
    pub brokered: AtomicU64,
    /// Affinities that the cpuset cut.
    pub cut: AtomicU64,
    /// Affinities that could not be set.
    pub refused: AtomicU64,
    /// Threads that a later check found off their set, and put back. Layout 1 ends after it.
    pub put_back: AtomicU64,
    /// Threads that could not be placed, since a filter of the program's own does not let the library do it.
    pub filtered: AtomicU64,
    /// 1 where another library's `pthread_create` stands before this one's: threads may be created without being listed.
    pub bypass_is_possible: AtomicU32,
    /// 1 once QEMU's names for its threads can be read as it creates them.
    pub names_are_read: AtomicU32,
    /// What became of `PIN_MEMORY`: the number of an [`AtStart`](super::AtStart).
    pub memory: AtomicU32,
    /// What became of `PIN_CORE`: the number of an [`AtStart`](super::AtStart).
    pub core: AtomicU32,
    /// The scheduling class that the process was started with, as [`ClassWord`](super::ClassWord) writes it; 0 where none is
    /// looked at.
    pub start_class: AtomicU64,
    /// Scheduling classes that could not be given.
    pub class_refused: AtomicU64,
    /// Zero.
    spare: [AtomicU64; 12],
}

impl Header {
    /// Sets to 0 all that changes while a process runs. The page has no owner then, and so is not complete.
    pub fn begin_anew(&self) {
        for word in
            [&self.owner, &self.broker, &self.settled, &self.sandboxed, &self.unlisted, &self.entries_used]
        {
            word.store(0, Ordering::Relaxed);
        }
        for counter in [
            &self.created,
            &self.brokered,
            &self.cut,
            &self.refused,
            &self.put_back,
            &self.filtered,
            &self.class_refused,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// One thread.
#[repr(C)]
#[derive(Debug)]
pub struct Entry {
    /// The thread; 0: the entry is free. Written last, cleared first.
    pub tid: AtomicI32,
    /// [`State`](super::State).
    pub state: AtomicU8,
    /// [`RoleKind`](crate::RoleKind).
    pub role: AtomicU8,
    /// The number of the set that it belongs on.
    pub set: AtomicU16,
    /// A vCPU's index or an IOThread's place in the order of creation; else [`NO_INDEX`].
    pub index: AtomicU32,
    /// The number of the set that its own workers follow.
    pub home: AtomicU16,
    /// Bytes of `name` that count.
    pub name_bytes: AtomicU16,
    /// When it was created: CLOCK_MONOTONIC, nanoseconds.
    pub born_ns: AtomicU64,
    /// QEMU's name for it, cut to fit; empty where there is none.
    pub name: [AtomicU8; NAME_BYTES],
    /// The name that it has been given since it was created, ended by NUL; empty where there is none.
    pub given_name: [AtomicU8; COMM_BYTES + 1],
    /// The scheduling class that it should have and what became of that, as [`ClassWord`](super::ClassWord) writes it; 0
    /// where nothing is said.
    pub class: AtomicU64,
    /// Zero.
    spare: [AtomicU64; 2],
}

// A write to one entry never shares a cache line with another, nor with the header's counters.
const _: () = assert!(size_of::<Entry>() == 128);
const _: () = assert!(size_of::<Header>() == 256);
