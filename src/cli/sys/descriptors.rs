//! The open files of another process.

use crate::sys::held_file::HeldFile;
use crate::sys::process::Process;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// A descriptor of another process.
#[derive(Debug)]
pub(crate) struct Descriptor<'k> {
    process: Process<'k>,
    number: OsString,
}

/// The descriptor of a process with this number, whether or not there is one.
pub(crate) fn numbered(process: Process<'_>, number: u32) -> Descriptor<'_> {
    Descriptor { process, number: number.to_string().into() }
}

/// The descriptors of a process, in no order.
pub(crate) fn list(process: Process<'_>) -> io::Result<impl Iterator<Item = Descriptor<'_>>> {
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
    pub(crate) fn hold(&self) -> io::Result<HeldFile> {
        self.process.kernel.hold(&self.path()).map(HeldFile::new)
    }
}
