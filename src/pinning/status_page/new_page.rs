//! Making a status page: all of its bytes that are written once, before any thread is listed.
//!
//! Plain bytes, so that the library has only to copy them, and tests read them without QEMU.

use super::layout::{ENTRIES, Entry, Header, MAGIC, MAX_BYTES, VERSION};
use crate::policy::{Host, Policy};
use std::mem::{offset_of, size_of};

/// A page that has no owner and lists no thread yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPage {
    beginning: Vec<u8>,
    page_bytes: usize,
}

impl NewPage {
    /// The page for this policy, which was read on this host. `None` if it would be larger than
    /// [`MAX_BYTES`], which no policy that [`Policy::parse`] makes ever is.
    pub fn new(policy: &Policy, host: &Host) -> Option<Self> {
        let host = [&host.available, &host.start];
        let text = text_of(policy.entries());
        let sets = policy.sets();
        let set_words = sets.iter().chain(host).map(|set| set.words().len()).max().unwrap_or(0).max(1);
        let set_bytes = set_words.checked_mul(8)?;

        let sets_at = size_of::<Header>();
        let host_at = sets_at.checked_add(sets.len().checked_mul(set_bytes)?)?;
        let text_at = host_at.checked_add(host.len().checked_mul(set_bytes)?)?;
        let text_end = text_at.checked_add(text.len())?;
        // An entry has its cache lines to itself.
        let entries_at = text_end.checked_next_multiple_of(size_of::<Entry>())?;
        let page_bytes = entries_at.checked_add(ENTRIES * size_of::<Entry>())?;
        if page_bytes > MAX_BYTES {
            return None;
        }

        let mut beginning = vec![0; entries_at];
        put(&mut beginning, offset_of!(Header, magic), &MAGIC)?;
        put(&mut beginning, offset_of!(Header, version), &VERSION.to_ne_bytes())?;
        put(&mut beginning, offset_of!(Header, page_bytes), &(page_bytes as u64).to_ne_bytes())?;
        for (field, value) in [
            (offset_of!(Header, sets_at), sets_at),
            (offset_of!(Header, set_count), sets.len()),
            (offset_of!(Header, set_words), set_words),
            (offset_of!(Header, host_at), host_at),
            (offset_of!(Header, text_at), text_at),
            (offset_of!(Header, text_bytes), text.len()),
            (offset_of!(Header, entries_at), entries_at),
            (offset_of!(Header, entry_count), ENTRIES),
            (offset_of!(Header, entry_bytes), size_of::<Entry>()),
        ] {
            put(&mut beginning, field, &u32::try_from(value).ok()?.to_ne_bytes())?;
        }
        // The host's masks follow the sets'.
        for (number, set) in sets.iter().chain(host).enumerate() {
            let mask: Vec<u8> = set.words().iter().flat_map(|word| word.to_ne_bytes()).collect();
            put(&mut beginning, sets_at + number * set_bytes, &mask)?;
        }
        put(&mut beginning, text_at, text.as_bytes())?;
        Some(Self { beginning, page_bytes })
    }

    /// The page from its first byte up to the entries. The rest of it is zero.
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Offset of the entries, of which there are [`ENTRIES`]; a multiple of an entry's size.
    pub fn entries_at(&self) -> usize {
        self.beginning.len()
    }

    /// Bytes of the whole page.
    pub fn page_bytes(&self) -> usize {
        self.page_bytes
    }
}

/// The policy's variables as one text. A value may hold a line feed, since white space separates items, so
/// each variable is ended by NUL, which no value in an environment can hold.
fn text_of(entries: &[(String, String)]) -> String {
    entries.iter().map(|(name, value)| format!("{name}={value}\0")).collect()
}

fn put(page: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    page.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    Some(())
}
