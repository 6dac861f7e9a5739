//! The status page: made once, written by the register, read by `pinshim show` from outside.
//!
//! A sealed memfd named `pinshim` that the process keeps open: no folder to write in, nothing to clean up,
//! there in sandboxes and chroots, gone with the process. Nothing in here may fail in a way that matters:
//! a process without a page is pinned all the same.

use crate::sys::file;
use pinning::status_page::{ENTRIES, Entry, Header, MAGIC, NAME, Plan, VERSION, text_of};
use pinning::{CpuSet, Policy};
use std::ffi::CString;
use std::sync::atomic::Ordering;

/// The page in this process's memory, shared with its forked children and with the broker.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) header: &'static Header,
    pub(crate) entries: &'static [Entry],
}

/// Makes the page for a policy. Without memfd_create(2) it is anonymous memory, which the broker
/// sees and nobody else; `None` if there is no memory even for that.
pub(crate) fn make(policy: &Policy) -> Option<Page> {
    let text = text_of(policy.entries());
    let plan = Plan::new(policy.sets(), &text)?;
    let fd = sealed_memfd(plan.page_bytes);
    let share = if fd.is_some() { libc::MAP_SHARED } else { libc::MAP_SHARED | libc::MAP_ANONYMOUS };
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            plan.page_bytes,
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
    fill(base, &plan, policy.sets(), &text);
    // SAFETY: the header was just written at the mapping's beginning, which is aligned to a page and never
    // unmapped; from here on only its atomics change.
    let header = unsafe { &*base.cast::<Header>() };
    // SAFETY: the plan puts the entries inside the mapping.
    let entries = unsafe { base.add(plan.entries_at) };
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

/// After this nobody can change the file's size (a reader would be hit by SIGBUS), and nobody but this
/// mapping can write to it. F_SEAL_FUTURE_WRITE is there from Linux 5.1 on.
fn seal(fd: i32) {
    let size = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    for seals in [size | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL, size | libc::F_SEAL_SEAL] {
        // SAFETY: a descriptor of our own.
        if unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) } == 0 {
            return;
        }
    }
}

fn fill(base: *mut u8, plan: &Plan, sets: &[CpuSet], text: &str) {
    let size = |value: usize| u32::try_from(value).unwrap_or(0); // a plan is at most MAX_BYTES
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        page_bytes: plan.page_bytes as u64,
        sets_at: size(plan.sets_at),
        set_count: size(sets.len()),
        set_words: size(plan.set_words),
        text_at: size(plan.text_at),
        text_bytes: size(text.len()),
        entries_at: size(plan.entries_at),
        entry_count: size(ENTRIES),
        entry_bytes: size(size_of::<Entry>()),
        ..Header::default()
    };
    // SAFETY: the mapping is new, ours alone, and as large as the plan says; the header comes first in it.
    unsafe { base.cast::<Header>().write(header) };
    for (i, set) in sets.iter().enumerate() {
        let at = plan.sets_at + i * plan.set_words * 8;
        // SAFETY: the plan has room for `set_words` words of each set here, and no set has more.
        unsafe { copy(base, at, set.words().as_ptr().cast(), size_of_val(set.words())) };
    }
    // SAFETY: the plan has room for the text here.
    unsafe { copy(base, plan.text_at, text.as_ptr(), text.len()) };
}

/// # Safety
/// `at + bytes` lies inside the mapping at `base`, and `from` is readable for `bytes`.
unsafe fn copy(base: *mut u8, at: usize, from: *const u8, bytes: usize) {
    // SAFETY: as the caller upholds.
    let to = unsafe { base.add(at) };
    // SAFETY: as the caller upholds; the mapping is new, so nothing overlaps.
    unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) }
}

impl Page {
    /// Says that the page is complete, and whose it is.
    pub(crate) fn belongs_to(self, pid: i32) {
        self.header.owner.store(pid as u32, Ordering::Release);
    }
}
