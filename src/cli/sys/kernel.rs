//! What the command asks of the kernel, in one place: its files and the few system calls.
//!
//! Nothing else in the command reads /proc, /sys or a cgroup, or changes an affinity. The real kernel is
//! `Linux` in linux.rs; tests have one of their own, which holds a recorded tree and writes
//! down what it was asked to change.

use crate::sys::perf_event::Perf;
use pinning::{Class, CpuSet, Tid};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The rest of a longer file is not read. A process can make its arguments, its environment and its list of
/// mappings as long as it likes; those of a QEMU have some ten or a hundred kilobytes.
const READ_BYTES: u64 = 4 << 20;

/// The kernel, as far as the command needs it.
pub(crate) trait Kernel: Perf + fmt::Debug {
    /// Where a file of the system (`/proc/…`, `/sys/…`, `/etc/…`) is to be read.
    fn locate(&self, file: &Path) -> io::Result<PathBuf>;

    /// Takes hold of what one of the kernel's own links (`/proc/PID/fd/N`, `/proc/PID/exe`) stands for without
    /// opening it (open(2), O_PATH): opening a pipe could block.
    fn hold(&self, link: &Path) -> io::Result<File>;

    /// Takes hold of a file that somebody else names, below a root of his (`/proc/PID/root`), without opening it.
    /// No link leads out of that root, none at the end is followed, and what is at the end may be anything
    /// (openat2(2): O_PATH, O_NOFOLLOW, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS).
    ///
    /// # Errors
    /// `Unsupported` before Linux 5.6, which has no openat2.
    fn hold_below(&self, root: &Path, path: &Path) -> io::Result<File>;

    /// The affinity of a thread; `Tid(0)` is the calling one (sched_getaffinity(2)).
    fn affinity(&self, tid: Tid) -> io::Result<CpuSet>;

    /// Asks for an affinity (sched_setaffinity(2)). The kernel cuts it to the cpuset without saying so: read
    /// it back.
    fn set_affinity(&self, tid: Tid, words: &[u64]) -> io::Result<()>;

    /// The scheduling class of a thread (sched_getattr(2)), with the slice that it has; `None` if it is not known here.
    fn class(&self, tid: Tid) -> io::Result<Option<Class>>;

    /// Gives a thread a scheduling class, which its children do not inherit (sched_setattr(2), SCHED_FLAG_RESET_ON_FORK).
    fn set_class(&self, tid: Tid, class: Class) -> io::Result<()>;

    /// The core scheduling cookie of a thread, 0 where it has none (prctl(2), PR_SCHED_CORE_GET). A number that tells one
    /// from another, and nothing more.
    ///
    /// # Errors
    /// EPERM for a thread that this user may not look into, ENODEV and EINVAL where there is no core scheduling.
    fn core_cookie(&self, tid: Tid) -> io::Result<u64>;

    /// A descriptor that stands for the process that has this id now, and for no later one (pidfd_open(2)).
    fn pidfd(&self, pid: i32) -> io::Result<File>;

    /// Whether the process that a pidfd stands for has ended: only then may another one get its id.
    fn has_ended(&self, pidfd: &File) -> bool;

    /// Sends a signal to the process that a pidfd stands for, and to no later one (pidfd_send_signal(2)).
    fn signal(&self, pidfd: &File, signal: i32) -> io::Result<()>;

    /// Whether a thread is one of the process's. True too where it is, and belongs to another user.
    fn has_thread(&self, pid: i32, tid: Tid) -> bool;

    /// The user that this command acts as (geteuid(2)).
    fn user(&self) -> u32;

    /// The unit of the times in a thread's `stat` file (sysconf(3), _SC_CLK_TCK).
    fn ticks_per_second(&self) -> u64;

    /// The time since some moment in the past; it never goes back.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration);

    /// A flag that is set once the user wants an end: SIGINT (Ctrl-C) or SIGTERM, of which a second one ends this process.
    fn interruption(&self) -> io::Result<Arc<AtomicBool>>;

    /// Takes the lock of an open file (flock(2)), which lasts until the last descriptor of this opening is closed.
    /// False: somebody else has it.
    fn try_lock(&self, file: &File) -> io::Result<bool>;

    /// The process that holds a lock for writing on a file's first byte (fcntl(2), F_GETLK). `None`: nobody.
    fn write_lock_holder(&self, file: &File) -> io::Result<Option<i32>>;
}

impl dyn Kernel + '_ {
    /// The bytes of a file, [`READ_BYTES`] at most.
    pub(crate) fn read(&self, file: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.locate(file.as_ref())?)?.take(READ_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The text of a file, [`READ_BYTES`] at most.
    pub(crate) fn read_text(&self, file: impl AsRef<Path>) -> io::Result<String> {
        String::from_utf8(self.read(file)?).map_err(io::Error::other)
    }

    /// Writes a text, at once, to a file that there is: one of the kernel's, as of a cgroup.
    pub(crate) fn write(&self, file: &Path, text: &str) -> io::Result<()> {
        File::options().write(true).open(self.locate(file)?)?.write_all(text.as_bytes())
    }

    /// Where a link points to.
    pub(crate) fn read_link(&self, link: impl AsRef<Path>) -> io::Result<PathBuf> {
        fs::read_link(self.locate(link.as_ref())?)
    }

    /// The names in a folder, in no order.
    pub(crate) fn names_in(&self, folder: &Path) -> io::Result<impl Iterator<Item = OsString> + use<>> {
        let entries = fs::read_dir(self.locate(folder)?)?;
        Ok(entries.flatten().map(|entry| entry.file_name()))
    }

    /// Whether there is such a folder.
    pub(crate) fn is_folder(&self, path: impl AsRef<Path>) -> bool {
        self.locate(path.as_ref()).is_ok_and(|path| path.is_dir())
    }
}
