//! The status page: made once, written to by the library and the broker, read by `pinshim show` from outside.
//!
//! It is a sealed memfd named `pinshim` that the process keeps open. So it needs no folder to write in and no
//! cleaning up, it can be made in sandboxes and chroots, and it ends with the process. It may fail: a process
//! without a page is pinned all the same.

use crate::sys::file;
use crate::sys::memory::{self, OwnFile};
use pinning::status_page::{ClassState, ClassWord, ENTRIES, Entry, Header, NAME, NewPage};
use pinning::{Class, Host, Policy};
use std::ffi::CStr;
use std::ptr::NonNull;
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
pub(crate) fn make(policy: &Policy, host: &Host, start_class: Option<Class>) -> Option<Page> {
    let new = NewPage::new(policy, host)?;
    let (base, file) = memory_of_a_page(new.page_bytes())?;
    let base = base.as_ptr();
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
    if let Some(class) = start_class {
        header.start_class.store(ClassWord { class, state: ClassState::Given }.to_word(), Ordering::Relaxed);
    }
    Some(Page { header, entries })
}

/// New memory of so many bytes, and the file that it is of where there can be one.
fn memory_of_a_page(bytes: usize) -> Option<(NonNull<u8>, Option<i32>)> {
    let file = memory::file_without_folder(FILE_NAME, bytes);
    let memory = memory::shared(bytes, file);
    if let (None, Some(file)) = (memory, file) {
        file::close(file);
    }
    Some((memory?, file))
}

/// Puts a new page in the place of the one that a forked child shares with its parent: the same policy, no thread, all
/// counters at 0. False if there can be none; then the parent's is still there, and must not be written to.
///
/// To be called by the child's only thread, before it uses the page.
pub(crate) fn renew(page: Page) -> bool {
    let (bytes, beginning) = (page.header.page_bytes as usize, page.header.entries_at as usize);
    let Some((new, file)) = memory_of_a_page(bytes) else { return false };
    let old = std::ptr::from_ref(page.header).cast::<u8>();
    // SAFETY: both mappings have `page_bytes` bytes, of which the beginning ends where the entries begin, as `make` has it. The
    // plain fields do not change, and the header's atomics, to which the parent may write meanwhile, are set below.
    unsafe { std::ptr::copy_nonoverlapping(old, new.as_ptr(), beginning.min(bytes)) };
    // SAFETY: a header was just copied to the beginning of a mapping that is aligned to a page.
    unsafe { &*new.as_ptr().cast::<Header>() }.begin_anew();
    // SAFETY: the references of `page` go on to be valid: what is moved to their addresses is a page of the same form.
    let is_there = unsafe { memory::move_to(new, bytes, old) };
    match file {
        Some(file) if is_there => {
            memory::seal(file);
            FILE.replace(file);
        }
        Some(file) => file::close(file),
        None => {}
    }
    is_there
}

impl Page {
    /// Writes the owner's pid, which also says that the page is complete.
    pub(crate) fn set_owner(self, pid: i32) {
        self.header.owner.store(pid as u32, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::renew;
    use crate::filters::calls::{Verdict, bit};
    use crate::filters::permitted;
    use crate::sys::file::{self, FD_FLOOR};
    use crate::testing;

    /// The pages of memory that this process has mapped, as text (proc_pid_statm(5)).
    fn mapped(room: &mut [u8; 64]) -> &[u8] {
        let statm = file::open(c"/proc/self/statm", libc::O_RDONLY).unwrap_or(-1);
        let text = file::read(statm, room).unwrap_or_default();
        file::close(statm);
        text.split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    /// The number that the next descriptor of the library's is going to have.
    fn next_descriptor() -> i32 {
        let next = file::open(c"/proc/self/statm", libc::O_RDONLY).map(|fd| file::move_fd(fd, FD_FLOOR));
        file::close(next.unwrap_or(-1));
        next.unwrap_or(-1)
    }

    #[test]
    fn a_page_that_cannot_take_the_place_of_the_parents_leaves_nothing_behind() {
        let page = testing::page(&testing::policy(&[("PIN_CPUS", "0")]));
        assert!(testing::in_a_child(|| renew(page)));
        assert!(testing::in_a_child(|| {
            permitted::loaded_here(Verdict { forbidden: bit(libc::SYS_mremap), deadly: false });
            let (mut before, mut after) = ([0; 64], [0; 64]);
            let (descriptor, mapped_before) = (next_descriptor(), mapped(&mut before));
            let failed = (0..3).all(|_| !renew(page));
            failed && descriptor >= FD_FLOOR && next_descriptor() == descriptor && {
                !mapped_before.is_empty() && mapped(&mut after) == mapped_before
            }
        }));
    }
}
