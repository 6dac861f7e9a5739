//! What can be recorded of the kernel's scheduler (perf_event_open(2)), as the command asks for it.
//!
//! The real kernel's part is in `perf`; tests feed records of their own making.

use pinning::{CpuId, Tid};
use std::fmt;
use std::fs::File;
use std::io;

/// What one event records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Each time that something is put on a CPU or leaves it, each birth, end and new name.
    Switches,
    /// Each time that a tracepoint of this id is passed.
    Tracepoint(u64),
}

/// Whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// A thread, and all that it creates from then on.
    Thread(Tid),
    /// Everybody.
    Everybody,
}

/// An event: what happens to somebody on one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) whom: Whom,
    pub(crate) cpu: CpuId,
}

/// A buffer that the kernel writes records into.
pub(crate) trait Ring: fmt::Debug {
    /// Moves the records that have come since into `records`, whole ones only.
    fn take(&mut self, records: &mut Vec<u8>);

    /// So many bytes it holds. What comes while it is full is lost, and the kernel counts it.
    fn size(&self) -> usize;
}

/// The part of the kernel that records.
pub(crate) trait Perf {
    /// Begins to record. Every record is stamped with [`clock`](Self::clock), and with the thread and the CPU.
    ///
    /// # Errors
    /// EACCES or EPERM where this user may not, EMFILE where this process has too many files open, ESRCH where the thread has
    /// ended.
    fn open_event(&self, event: Event) -> io::Result<File>;

    /// Gives an event a ring of so many pages, which is a power of two.
    ///
    /// # Errors
    /// EPERM where this user may lock no more memory (proc_sys_kernel(5), `perf_event_mlock_kb`).
    fn map_ring(&self, event: &File, pages: usize) -> io::Result<Box<dyn Ring>>;

    /// Has an event write into the ring of another one of the same CPU.
    fn share_ring(&self, event: &File, with: &File) -> io::Result<()>;

    /// The clock of the records, in nanoseconds (clock_gettime(2), CLOCK_MONOTONIC).
    fn clock(&self) -> u64;

    /// Lets this process have as many files open as its hard limit says (getrlimit(2), RLIMIT_NOFILE). The answer is how many.
    fn raise_open_files(&self) -> io::Result<u64>;
}
