//! The status page: made once, written to by the library and the broker, read by `pinshim show` from outside.
//!
//! It is a sealed memfd named `pinshim` that the process keeps open. So it needs no folder to write in and no
//! cleaning up, it can be made in sandboxes and chroots, and it ends with the process. It may fail: a process
//! without a page is pinned all the same.

use crate::sys::file;
use pinning::status_page::{ENTRIES, Entry, Header, NAME, NewPage};
use pinning::{Host, Policy};
use std::ffi::CString;
use std::sync::atomic::Ordering;

/// The page in this process's memory, shared with its forked children and with the broker.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) header: &'static Header,
    pub(crate) entries: &'static [Entry],
}

/// Makes the page for a policy that was read on this host. Where there is no memfd_create(2) it is anonymous
/// memory, which only the broker can read from outside; `None` if there is no memory even for that.
pub(crate) fn make(policy: &Policy, host: &Host) -> Option<Page> {
    let new = NewPage::new(policy, host)?;
    let fd = sealed_memfd(new.page_bytes());
    let share = if fd.is_some() { libc::MAP_SHARED } else { libc::MAP_SHARED | libc::MAP_ANONYMOUS };
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            new.page_bytes(),
            libc::PROT_READ | libc::PROT_WRITE,
            share,
            fd.unwrap_or(-1),
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    if let Some(fd) = fd {
        seal(fd);
    }
    let base = base.cast::<u8>();
    let beginning = new.beginning();
    // SAFETY: the mapping is new, so nothing overlaps, and it has `page_bytes` bytes, of which `NewPage` has the
    // beginning end where the entries begin.
    unsafe { std::ptr::copy_nonoverlapping(beginning.as_ptr(), base, beginning.len()) };
    // SAFETY: `NewPage` begins with a header. It lies at the mapping's beginning, which is aligned to a page and
    // never unmapped; from here on only its atomics change.
    let header = unsafe { &*base.cast::<Header>() };
    // SAFETY: `NewPage` puts the entries inside the mapping.
    let entries = unsafe { base.add(new.entries_at()) };
    // SAFETY: there is room for ENTRIES of them, aligned to 128 bytes; all zero is a valid Entry, and it is
    // made of atomics alone.
    let entries = unsafe { std::slice::from_raw_parts(entries.cast::<Entry>(), ENTRIES) };
    Some(Page { header, entries })
}

fn sealed_memfd(bytes: usize) -> Option<i32> {
    let name = CString::new(NAME).ok()?;
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return None;
    }
    let fd = file::move_fd(fd, file::FD_FLOOR);
    // SAFETY: a descriptor of our own.
    if unsafe { libc::ftruncate(fd, i64::try_from(bytes).ok()?) } != 0 {
        file::close(fd);
        return None;
    }
    Some(fd)
}

/// After this nobody can change the file's size (a reader would get SIGBUS), and it can be written to through
/// this mapping only. F_SEAL_FUTURE_WRITE exists from Linux 5.1 on.
fn seal(fd: i32) {
    let size = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    for seals in [size | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL, size | libc::F_SEAL_SEAL] {
        // SAFETY: a descriptor of our own.
        if unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) } == 0 {
            return;
        }
    }
}

impl Page {
    /// Writes the owner's pid, which also says that the page is complete.
    pub(crate) fn set_owner(self, pid: i32) {
        self.header.owner.store(pid as u32, Ordering::Release);
    }
}
