//! Memory that is shared with other processes, or that forked children do not inherit.
//!
//! These calls are made at the start and by `-daemonize`'s child, outside any hook of ours, so they go through libc.

use crate::sys::file;
use std::ffi::CStr;
use std::ptr::NonNull;

/// New zeroed memory of so many bytes, aligned to a page, shared with forked children and never unmapped: that of a file
/// where there is one, which must be as large. `None` if there is no memory.
pub(crate) fn shared(bytes: usize, file: Option<i32>) -> Option<NonNull<u8>> {
    let flags = if file.is_some() { libc::MAP_SHARED } else { libc::MAP_SHARED | libc::MAP_ANONYMOUS };
    map(bytes, flags, file.unwrap_or(-1))
}

/// New zeroed memory of so many bytes, aligned to a page and never unmapped, which the kernel zeroes again in every forked
/// child (madvise(2), MADV_WIPEONFORK, from Linux 4.14 on). `None` where there is none.
pub(crate) fn zeroed_in_children(bytes: usize) -> Option<NonNull<u8>> {
    let memory = map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: the whole mapping that was just made, by its own address and length.
    if unsafe { libc::madvise(memory.as_ptr().cast(), bytes, libc::MADV_WIPEONFORK) } == 0 {
        return Some(memory);
    }
    // SAFETY: the same mapping; nobody else has its address yet.
    unsafe { libc::munmap(memory.as_ptr().cast(), bytes) };
    None
}

fn map(bytes: usize, flags: i32, file: i32) -> Option<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: without MAP_FIXED the kernel chooses an address at which nothing is mapped.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file, 0) };
    if memory == libc::MAP_FAILED { None } else { NonNull::new(memory.cast()) }
}

/// A new file of so many zeroed bytes that is in no folder (memfd_create(2)), closed by execve and open to seals. `None`
/// where there can be none.
pub(crate) fn file_without_folder(name: &CStr, bytes: usize) -> Option<i32> {
    // SAFETY: `name` ends with a NUL and lives across the call, which only reads it.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return None;
    }
    let fd = file::move_fd(fd, file::FD_FLOOR);
    // SAFETY: takes no pointer.
    if unsafe { libc::ftruncate(fd, i64::try_from(bytes).ok()?) } != 0 {
        file::close(fd);
        return None;
    }
    Some(fd)
}

/// After this nobody can change the size of such a file (whoever has mapped it would get SIGBUS), and it can be written
/// to through mappings that exist already only. F_SEAL_FUTURE_WRITE exists from Linux 5.1 on.
pub(crate) fn seal(fd: i32) {
    let size = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    for seals in [size | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL, size | libc::F_SEAL_SEAL] {
        // SAFETY: this request of fcntl takes a number, no pointer.
        if unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) } == 0 {
            return;
        }
    }
}
