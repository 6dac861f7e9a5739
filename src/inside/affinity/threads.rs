//! The threads of one process: what the kernel is asked about them and told to do with them.
//!
//! QEMU looks after its own threads, and the broker after QEMU's. They differ in what a failing system call means: QEMU
//! goes on, and the broker ends at an error that it does not expect.

use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::StackPath;
use crate::sys::sched::{self, Mask};
use crate::sys::thread;
use libc::{c_int, c_long};
use pinning::Tid;
use std::fmt::{self, Write};

/// The threads of one process.
pub(crate) trait Threads {
    /// The process's id.
    fn pid(&self) -> i32;

    /// Whether that process is still the same: it has not ended, so its id was not given to another.
    fn is_alive(&self) -> bool;

    /// Passes on what a system call, named by its number, answered.
    fn checked<T>(&self, call: c_long, answer: Result<T, Errno>) -> Result<T, Errno>;

    /// Opens a file or folder for reading, by a path below /proc.
    fn open(&self, path: fmt::Arguments<'_>, flags: c_int) -> Result<c_int, Errno>;

    /// Whether a thread is one of the process's now. A thread id says nothing of that: it is given to another thread, of
    /// any process, when its thread has ended.
    fn has(&self, tid: Tid) -> bool {
        self.is_alive() && self.checked(libc::SYS_tgkill, thread::check_thread_of(self.pid(), tid)).is_ok()
    }

    /// The affinity of a thread.
    fn affinity(&self, tid: Tid) -> Result<Mask, Errno> {
        self.checked(libc::SYS_sched_getaffinity, sched::affinity(tid))
    }

    /// Asks for an affinity of a thread.
    fn set_affinity(&self, tid: Tid, words: &[u64]) -> Result<(), Errno> {
        self.checked(libc::SYS_sched_setaffinity, sched::set_affinity(tid, words))
    }

    /// Reads once from a file.
    fn read<'a>(&self, file: c_int, into: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        self.checked(libc::SYS_read, file::read(file, into))
    }

    /// The next entries of an open folder; empty at the end.
    fn folder_entries<'a>(&self, folder: c_int, into: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        self.checked(libc::SYS_getdents64, file::folder_entries(folder, into))
    }

    /// What a file below /proc begins with, as much as fits.
    fn text<'a>(&self, path: fmt::Arguments<'_>, into: &'a mut [u8]) -> Result<&'a [u8], Errno> {
        let file = self.open(path, libc::O_RDONLY)?;
        let text = self.read(file, into);
        file::close(file);
        text
    }

    /// The name of a thread as the kernel has it (proc_pid_comm(5)).
    fn comm<'a>(&self, tid: Tid, into: &'a mut [u8; 32]) -> Result<&'a [u8], Errno> {
        let line = self.text(format_args!("{}/task/{tid}/comm", self.pid()), into)?;
        Ok(line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// The thread that a thread of any process has its first affinity from, as far as that can be told: the first thread of
    /// its process or, if it is itself that one, of its parent.
    fn creator_of(&self, tid: Tid) -> Option<Tid> {
        let mut room = [0u8; 512];
        creator_in(self.text(format_args!("{tid}/status"), &mut room).ok()?, tid)
    }
}

/// The threads of the calling process.
#[derive(Clone, Copy)]
pub(crate) struct OwnThreads {
    pid: i32,
}

impl OwnThreads {
    /// Those of the process that calls this.
    pub(crate) fn new() -> Self {
        Self { pid: thread::getpid() }
    }
}

impl Threads for OwnThreads {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn is_alive(&self) -> bool {
        true
    }

    fn checked<T>(&self, _: c_long, answer: Result<T, Errno>) -> Result<T, Errno> {
        answer
    }

    fn open(&self, path: fmt::Arguments<'_>, flags: c_int) -> Result<c_int, Errno> {
        let mut whole = StackPath::default();
        let _ = write!(whole, "/proc/{path}");
        file::open(whole.as_c_str(), flags)
    }
}

/// As [`Threads::creator_of`], in the text of the thread's /proc/TID/status (proc_pid_status(5)).
fn creator_in(status: &[u8], tid: Tid) -> Option<Tid> {
    let number = |title: &[u8]| -> Option<i32> {
        let mut lines = status.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(title))?;
        std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
    };
    let first = number(b"Tgid:")?;
    let creator = if first == tid.0 { number(b"PPid:")? } else { first };
    // 0: the parent is in another PID namespace, or the kernel.
    (creator > 0).then_some(Tid(creator))
}

#[cfg(test)]
mod tests {
    use super::{OwnThreads, Threads, creator_in};
    use pinning::Tid;

    const STATUS: &[u8] =
        b"Name:\tPPid: 7\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t40\nNgid:\t0\nPid:\t41\nPPid:\t30\n";

    #[test]
    fn a_thread_has_its_affinity_from_the_first_of_its_process_and_that_one_from_its_parent() {
        assert_eq!(creator_in(STATUS, Tid(41)), Some(Tid(40)));
        assert_eq!(creator_in(STATUS, Tid(40)), Some(Tid(30)));
    }

    #[test]
    fn nobody_is_named_where_the_text_names_nobody() {
        assert_eq!(creator_in(b"Tgid:\t40\nPPid:\t0\n", Tid(40)), None);
        for text in [&b""[..], b"Tgid:\n", b"Tgid:\tx\n", b"Tgid:\t40", b"Tgid:\t-4\n", b"Name:\tTgid:\t9\n"]
        {
            assert_eq!(creator_in(text, Tid(40)), None, "{text:?}");
        }
    }

    #[test]
    fn the_own_threads_are_this_process_and_no_other() {
        let own = OwnThreads::new();
        assert!(own.has(Tid(own.pid())));
        assert!(!own.has(Tid(1)) && !own.has(Tid(0)) && !own.has(Tid(-1)));
        assert_eq!(own.creator_of(Tid(own.pid())), Some(Tid(std::os::unix::process::parent_id() as i32)));
    }
}
