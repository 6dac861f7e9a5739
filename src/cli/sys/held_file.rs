//! A file of somebody else's that is held without being opened: opening a pipe could wait for ever, and
//! opening a device could do anything.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// What a name stood for when it was taken hold of: its owner may put something else in its place at any time,
/// and this stays what it is.
#[derive(Debug)]
pub(crate) struct HeldFile {
    file: File,
}

impl HeldFile {
    /// A file that was opened with O_PATH (open(2)).
    pub(crate) fn new(file: File) -> Self {
        Self { file }
    }

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

    /// Opens it for reading. O_NONBLOCK, since its owner may have taken a lease on it (fcntl(2), F_SETLEASE).
    pub(crate) fn open(&self) -> io::Result<File> {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
            .open(self.path())
    }
}
