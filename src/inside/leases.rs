//! The leases of CPUs that `pinshim run --exclusive` has left open for QEMU.
//!
//! A lease is a locked file. It is this process that must keep it, and no program that QEMU starts: the kernel gives the
//! CPU back when the last descriptor is closed.

use crate::sys::file;
use crate::sys::path::StackPath;
use once_cell::sync::OnceCell;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The descriptors that are to be closed at exec.
static DESCRIPTORS: OnceCell<Vec<i32>> = OnceCell::new();

/// Whether there are some, and nothing has been done about them yet.
static ARE_OPEN: AtomicBool = AtomicBool::new(false);

/// Remembers the descriptors that the variable names.
pub(crate) fn remember(descriptors: &OsStr) {
    let numbers = descriptors.as_bytes().split(|byte| *byte == b',');
    let numbers = numbers.filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok());
    if DESCRIPTORS.set(numbers.collect()).is_ok() {
        ARE_OPEN.store(true, Ordering::Release);
    }
}

/// Has exec close the leases, once this process creates a thread: a wrapper of QEMU's name creates none before it
/// becomes QEMU, and must leave them open for it. A descriptor that is no lease stays as it is.
pub(crate) fn thread_is_created() {
    if ARE_OPEN.load(Ordering::Acquire) && ARE_OPEN.swap(false, Ordering::AcqRel) {
        for &fd in DESCRIPTORS.get().into_iter().flatten().filter(|&&fd| is_lease(fd)) {
            file::close_at_exec(fd);
        }
    }
}

/// Whether a descriptor is a file `…/pinshim/leases/cpuN`.
fn is_lease(fd: i32) -> bool {
    let mut path = [0; 4096];
    let mut link = StackPath::default();
    let _ = write!(link, "/proc/self/fd/{fd}");
    let Ok(path) = file::read_link_at(libc::AT_FDCWD, link.as_c_str(), &mut path) else { return false };
    let path = Path::new(OsStr::from_bytes(path));
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    name.starts_with(b"cpu") && path.parent().is_some_and(|folder| folder.ends_with("pinshim/leases"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsRawFd;

    /// A file that exec leaves open.
    fn open(path: &Path) -> File {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        // SAFETY: takes no pointer; `file` keeps the descriptor open.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) }, 0);
        file
    }

    fn is_closed_at_exec(file: &File) -> bool {
        // SAFETY: takes no pointer; `file` keeps the descriptor open.
        (unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) }) == libc::FD_CLOEXEC
    }

    #[test]
    fn leases_are_closed_at_exec_and_nothing_else_is() {
        let folder = std::env::temp_dir().join(format!("pinshim-test-{}", std::process::id()));
        let lease = open(&folder.join("pinshim/leases/cpu3"));
        let other = open(&folder.join("pinshim/disk"));
        let list = format!("x,,-1,{},99999,{}", other.as_raw_fd(), lease.as_raw_fd());
        remember(OsStr::new(&list));
        // A wrapper that becomes QEMU now has left it open.
        assert!(!is_closed_at_exec(&lease));
        thread_is_created();
        assert!(is_closed_at_exec(&lease));
        assert!(!is_closed_at_exec(&other));
        fs::remove_dir_all(folder).unwrap();
    }
}
