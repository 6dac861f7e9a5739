//! Memory that is shared with other processes, or that forked children do not inherit.
//!
//! These calls are made at the start and by a forked child, outside any hook of ours, so they go through libc. Like all
//! others they are not made where a filter of the program's would not let them pass.

use crate::sys::file;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// New zeroed memory of so many bytes, aligned to a page, shared with forked children and never unmapped: that of a file
/// where there is one, which must be as large. `None` if there is no memory.
pub(crate) fn shared(bytes: usize, file: Option<i32>) -> Option<NonNull<u8>> {
    let flags = if file.is_some() { libc::MAP_SHARED } else { libc::MAP_SHARED | libc::MAP_ANONYMOUS };
    map(bytes, flags, file.unwrap_or(-1))
}

/// New zeroed memory of so many bytes, aligned to a page and never unmapped, which the kernel zeroes again in every forked
/// child (madvise(2), MADV_WIPEONFORK, from Linux 4.14 on). `None` where there is none.
pub(crate) fn zeroed_in_children(bytes: usize) -> Option<NonNull<u8>> {
    if !may_call!(libc::SYS_madvise, libc::SYS_munmap) {
        return None;
    }
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
    if !may_call!(libc::SYS_mmap) {
        return None;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: without MAP_FIXED the kernel chooses an address at which nothing is mapped.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file, 0) };
    if memory == libc::MAP_FAILED { None } else { NonNull::new(memory.cast()) }
}

/// Moves a mapping of so many bytes to the address `to`, in the place of what is mapped there. False if that cannot be
/// done; then the mapping is gone, and what is at `to` has not changed.
///
/// # Safety
/// Nothing else uses the addresses of `from` any more. There is a mapping of as many bytes at `to`, and whatever refers to it
/// is right about the new contents too.
pub(crate) unsafe fn move_to(from: NonNull<u8>, bytes: usize, to: *const u8) -> bool {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: as the caller upholds.
    let move_it = || unsafe { libc::mremap(from.as_ptr().cast(), bytes, bytes, flags, to.cast_mut()) };
    if may_call!(libc::SYS_mremap) && move_it() != libc::MAP_FAILED {
        return true;
    }
    if may_call!(libc::SYS_munmap) {
        // SAFETY: as the caller upholds; it is still where it was.
        unsafe { libc::munmap(from.as_ptr().cast(), bytes) };
    }
    false
}

/// The descriptor of a file without a folder. The program may have closed it since, and given its number to another file.
pub(crate) struct OwnFile {
    number: AtomicI32,
    /// The file's inode number; those of memfds are all on one file system of the kernel's.
    inode: AtomicU64,
}

impl OwnFile {
    /// There is none.
    pub(crate) const fn none() -> Self {
        Self { number: AtomicI32::new(-1), inode: AtomicU64::new(0) }
    }

    /// Keeps this one.
    pub(crate) fn keep(&self, file: i32) {
        self.number.store(file, Ordering::Relaxed);
        self.inode.store(inode_of(file), Ordering::Relaxed);
    }

    /// Keeps this one in place of the one before, with that one's number if that is still its.
    pub(crate) fn replace(&self, file: i32) {
        let before = self.number.load(Ordering::Relaxed);
        let inode = inode_of(before);
        let still_ours = before >= 0 && inode != 0 && inode == self.inode.load(Ordering::Relaxed);
        if still_ours && may_call!(libc::SYS_dup3) {
            // SAFETY: takes no pointer; the number is that of the library's own file, which nobody else uses.
            if unsafe { libc::dup3(file, before, libc::O_CLOEXEC) } >= 0 {
                file::close(file);
                return self.keep(before);
            }
        }
        self.keep(file);
    }
}

/// The inode number of an open file; 0 if it is not known.
fn inode_of(file: i32) -> u64 {
    let mut stat = MaybeUninit::<libc::stat64>::zeroed();
    // Not through libc: glibc's fstat64 makes another call from 2.33 on. Where a long has 64 bits there is one layout of stat,
    // the kernel's.
    if call!(libc::SYS_fstat, file, stat.as_mut_ptr()).is_err() {
        return 0;
    }
    // SAFETY: fstat has filled it.
    unsafe { stat.assume_init() }.st_ino
}

/// A new file of so many zeroed bytes that is in no folder (memfd_create(2)), closed by execve and open to seals. `None`
/// where there can be none.
pub(crate) fn file_without_folder(name: &CStr, bytes: usize) -> Option<i32> {
    if !may_call!(libc::SYS_memfd_create, libc::SYS_ftruncate, libc::SYS_fcntl, libc::SYS_close) {
        return None;
    }
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
