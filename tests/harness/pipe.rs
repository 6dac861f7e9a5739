//! A pipe: `std::io::pipe` came with Rust 1.87, which is newer than what this workspace asks for.

use std::fs::File;
use std::os::fd::FromRawFd;

/// The end to read from, and the end to write to; closed by exec.
pub fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(result, 0, "make a pipe");
    // SAFETY: pipe2 has just opened both, and nobody else knows of them.
    ends.map(|end| unsafe { File::from_raw_fd(end) }).into()
}

/// The end to write to of a pipe that nobody reads any more.
pub fn pipe_without_reader() -> File {
    let (_, writer) = pipe();
    writer
}
