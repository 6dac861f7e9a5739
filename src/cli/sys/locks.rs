//! The locks that the kernel lists for everybody, on files that not everybody may open.

use crate::sys::kernel::Kernel;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file it is, by the device of its file system and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: (u32, u32),
    inode: u64,
}

/// A lock of flock(2) for writing that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) file: FileId,
    /// The process that took it. The lock goes with the descriptor: another process may have it now, and this id be
    /// another process's.
    pub(crate) taken_by: i32,
}

impl FileId {
    /// What stat(2) says of a file.
    pub(crate) fn of(about: &Metadata) -> Self {
        let device = about.dev();
        Self { device: (libc::major(device), libc::minor(device)), inode: about.ino() }
    }
}

/// All of them that processes of this PID namespace have taken (proc_locks(5)).
///
/// # Errors
/// The list cannot be read.
pub(crate) fn all(kernel: &dyn Kernel) -> io::Result<Vec<Lock>> {
    // It is as long as users want it to be, so that a part would show what one of them chooses.
    let lines = BufReader::new(File::open(kernel.locate(Path::new("/proc/locks"))?)?).lines();
    lines.filter_map(|line| line.map(|line| parse(&line)).transpose()).collect()
}

/// A line as the kernel writes it (lock_get_status of its fs/locks.c): `1: FLOCK ADVISORY WRITE 729 00:1a:1234 0 EOF`.
/// `None` for any other kind of lock. One who still waits for a lock has an arrow in place of its kind.
fn parse(line: &str) -> Option<Lock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if !["FLOCK", "ADVISORY", "WRITE"].iter().all(|&word| words.next() == Some(word)) {
        return None;
    }
    let taken_by = words.next()?.parse().ok()?;
    let mut file = words.next()?.split(':');
    let mut device = || u32::from_str_radix(file.next()?, 16).ok();
    let device = (device()?, device()?);
    let inode = file.next()?.parse().ok()?;
    Some(Lock { file: FileId { device, inode }, taken_by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::{Linux, try_lock};

    #[test]
    fn a_lock_is_listed_with_its_file_and_who_took_it() {
        let file = tempfile::tempfile().unwrap();
        let listed = || {
            let id = FileId::of(&file.metadata().unwrap());
            let locks = all(&Linux::new()).unwrap();
            locks.into_iter().filter(|lock| lock.file == id).map(|lock| lock.taken_by).collect::<Vec<_>>()
        };
        assert_eq!(listed(), [0; 0]);
        assert!(try_lock(&file).unwrap());
        assert_eq!(listed(), [i32::try_from(std::process::id()).unwrap()]);
    }

    #[test]
    fn only_locks_of_whole_files_for_writing_count() {
        let lock = parse("3: FLOCK  ADVISORY  WRITE 729 fe:1a:1234 0 EOF").unwrap();
        assert_eq!((lock.file.device, lock.file.inode, lock.taken_by), ((0xfe, 0x1a), 1234, 729));
        for other in [
            "",
            "3: FLOCK  ADVISORY  READ  729 fe:1a:1234 0 EOF",
            "3: -> FLOCK  ADVISORY  WRITE 729 fe:1a:1234 0 EOF",
            "3: POSIX  ADVISORY  WRITE 729 fe:1a:1234 0 EOF",
            "3: OFDLCK ADVISORY  WRITE -1 fe:1a:1234 0 EOF",
            "3: FLOCK  ADVISORY  WRITE 729 <none>:0 0 EOF",
            "3: FLOCK  ADVISORY  WRITE 729",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
