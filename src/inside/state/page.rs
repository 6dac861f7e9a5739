//! The status page: made once, written to by the library and the broker, read by `pinshim show` from outside.
//!
//! It is a sealed memfd named `pinshim` that the process keeps open. So it needs no folder to write in and no
//! cleaning up, it can be made in sandboxes and chroots, and it ends with the process. It may fail: a process
//! without a page is pinned all the same.

use crate::sys::memory::{self, OwnFile};
use pinning::status_page::{ENTRIES, Entry, Header, NAME, NewPage};
use pinning::{Host, Policy};
use std::ffi::CStr;
use std::sync::atomic::Ordering;

/// The page in this process's memory, shared with its forked children and with the broker.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) header: &'static Header,
    pub(crate) entries: &'static [Entry],
}

/// [`NAME`] for a system call.
const FILE_NAME: &CStr = c"pinshim";
const _: () = assert!(FILE_NAME.count_bytes() == NAME.len());

/// The page's descriptor, by which readers outside find it.
static FILE: OwnFile = OwnFile::none();

/// Makes the page for a policy that was read on this host. Where there is no memfd_create(2) it is anonymous
/// memory, which only the broker can read from outside; `None` if there is no memory even for that.
pub(crate) fn make(policy: &Policy, host: &Host) -> Option<Page> {
    let new = NewPage::new(policy, host)?;
    let file = memory::file_without_folder(FILE_NAME, new.page_bytes());
    let base = memory::shared(new.page_bytes(), file)?.as_ptr();
    if let Some(file) = file {
        memory::seal(file);
        FILE.keep(file);
    }
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

/// Puts a new page in the place of the one that a forked child shares with its parent: the same policy, no thread, all
/// counters at 0. False if there can be none; then the parent's is still there, and must not be written to.
///
/// To be called by the child's only thread, before it uses the page.
pub(crate) fn renew(page: Page) -> bool {
    let (bytes, beginning) = (page.header.page_bytes as usize, page.header.entries_at as usize);
    let file = memory::file_without_folder(FILE_NAME, bytes);
    let Some(new) = memory::shared(bytes, file) else { return false };
    let old = std::ptr::from_ref(page.header).cast::<u8>();
    // SAFETY: both mappings have `page_bytes` bytes, of which the beginning ends where the entries begin, as `make` has it. The
    // plain fields do not change, and the header's atomics, to which the parent may write meanwhile, are set below.
    unsafe { std::ptr::copy_nonoverlapping(old, new.as_ptr(), beginning.min(bytes)) };
    // SAFETY: a header was just copied to the beginning of a mapping that is aligned to a page.
    unsafe { &*new.as_ptr().cast::<Header>() }.begin_anew();
    if let Some(file) = file {
        memory::seal(file);
        FILE.replace(file);
    }
    // SAFETY: the references of `page` go on to be valid: what is moved to their addresses is a page of the same form.
    unsafe { memory::move_to(new, bytes, old) }
}

impl Page {
    /// Writes the owner's pid, which also says that the page is complete.
    pub(crate) fn set_owner(self, pid: i32) {
        self.header.owner.store(pid as u32, Ordering::Release);
    }
}
