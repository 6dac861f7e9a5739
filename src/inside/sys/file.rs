//! Files, folders and descriptors.

use crate::sys::errno::Errno;
use libc::{c_int, c_uint};
use std::ffi::CStr;

/// The library's descriptors have this number or a higher one, since users name low ones (`-add-fd`,
/// `-incoming fd:5`).
pub(crate) const FD_FLOOR: i32 = 200;

/// Opens a file or folder for reading.
pub(crate) fn open(path: &CStr, flags: c_int) -> Result<c_int, Errno> {
    open_at(libc::AT_FDCWD, path, flags)
}

/// Opens a file or folder for reading, by a path below an open folder.
pub(crate) fn open_at(folder: c_int, path: &CStr, flags: c_int) -> Result<c_int, Errno> {
    // What could not be closed is not opened.
    if !may_call!(libc::SYS_close) {
        return Err(Errno::FILTERED);
    }
    call!(libc::SYS_openat, folder, path.as_ptr(), flags | libc::O_CLOEXEC, 0).map(|fd| fd as c_int)
}

/// Reads once, up to what `into` holds.
pub(crate) fn read(fd: c_int, into: &mut [u8]) -> Result<&[u8], Errno> {
    let got = call!(libc::SYS_read, fd, into.as_mut_ptr(), into.len())?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// Where a symbolic link leads.
pub(crate) fn read_link_at<'a>(folder: c_int, path: &CStr, into: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let got = call!(libc::SYS_readlinkat, folder, path.as_ptr(), into.as_mut_ptr(), into.len())?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// The next entries of an open folder (getdents64(2)'s raw records); empty at the end.
pub(crate) fn folder_entries(fd: c_int, into: &mut [u8]) -> Result<&[u8], Errno> {
    let got = call!(libc::SYS_getdents64, fd, into.as_mut_ptr(), into.len())?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// Closes a descriptor.
pub(crate) fn close(fd: c_int) {
    let _ = call!(libc::SYS_close, fd);
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: c_uint, last: c_uint) -> Result<(), Errno> {
    match call!(libc::SYS_close_range, first, last, 0) {
        // Before Linux 5.9.
        Err(Errno(libc::ENOSYS)) => {
            (first..=last.min(65_535)).try_for_each(|fd| match call!(libc::SYS_close, fd) {
                Ok(_) | Err(Errno(libc::EBADF)) => Ok(()),
                Err(errno) => Err(errno),
            })
        }
        done => done.map(drop),
    }
}

/// Has exec close a descriptor.
pub(crate) fn close_at_exec(fd: c_int) {
    let _ = call!(libc::SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC);
}

/// Moves `fd` to a number of `floor` or above, closed by exec; answers the new number.
pub(crate) fn move_fd(fd: c_int, floor: c_int) -> c_int {
    match call!(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, floor) {
        Ok(moved) => {
            close(fd);
            moved as c_int
        }
        // RLIMIT_NOFILE is below the floor. Then it keeps its number.
        Err(_) => fd,
    }
}

/// Writes once. It does not wait for room in a full pipe, and raises no SIGPIPE at a closed one; what cannot
/// be written is lost.
pub(crate) fn write_or_drop(fd: c_int, bytes: &[u8]) {
    // All of it or nothing: a mask that is not put back, or a SIGPIPE, would harm the program.
    if !may_call!(
        libc::SYS_ppoll,
        libc::SYS_rt_sigpending,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_write,
    ) {
        return;
    }
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = call!(libc::SYS_ppoll, &raw mut poll, 1, &raw const now, 0, 0);
    if !matches!(ready, Ok(1)) || poll.revents & libc::POLLOUT == 0 {
        return;
    }
    let sigpipe: u64 = 1 << (libc::SIGPIPE - 1);
    let mut before: u64 = 0;
    let mut pending: u64 = 0;
    let _ = call!(libc::SYS_rt_sigpending, &raw mut pending, 8);
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const sigpipe, &raw mut before, 8);
    let written = call!(libc::SYS_write, fd, bytes.as_ptr(), bytes.len());
    if written == Err(Errno(libc::EPIPE)) && pending & sigpipe == 0 {
        // This write raised it: take it back before the mask is restored.
        let _ = call!(libc::SYS_rt_sigtimedwait, &raw const sigpipe, 0, &raw const now, 8);
    }
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const before, 0, 8);
}
