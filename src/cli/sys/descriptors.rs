//! The open files of another process.

use crate::sys::process::Process;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A descriptor of another process.
#[derive(Debug)]
pub(crate) struct Descriptor<'k> {
    process: Process<'k>,
    number: OsString,
}

/// What a descriptor stood for when it was taken hold of: the process may put something else in its place
/// at any time, and this stays what it is.
#[derive(Debug)]
pub(crate) struct Held {
    file: File,
}

/// The descriptors of a process.
pub(crate) fn list<'k>(process: Process<'k>) -> io::Result<impl Iterator<Item = Descriptor<'k>>> {
    let numbers = process.kernel.names_in(&process.file("fd"))?;
    Ok(numbers.map(move |number| Descriptor { process, number }))
}

impl Descriptor<'_> {
    fn path(&self) -> PathBuf {
        self.process.file("fd").join(&self.number)
    }

    /// The name of what it stands for (proc_pid_fd(5)).
    pub(crate) fn target(&self) -> io::Result<PathBuf> {
        self.process.kernel.read_link(self.path())
    }

    /// Takes hold of what it stands for, without opening it.
    pub(crate) fn hold(&self) -> io::Result<Held> {
        self.process.kernel.hold(&self.path()).map(|file| Held { file })
    }
}

impl Held {
    /// Its path among this process's own descriptors.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// The name of what is held.
    pub(crate) fn target(&self) -> io::Result<PathBuf> {
        fs::read_link(self.path())
    }

    /// Whether it is a regular file: nobody can make a read of one wait.
    pub(crate) fn is_file(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.is_file())
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
            .open(self.path())
    }
}
