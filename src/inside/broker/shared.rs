//! The memory that QEMU and the broker share: the answers, and how far the broker has got.

use std::sync::atomic::AtomicU32;

/// Answers that can be waited for at the same time.
pub(super) const SLOTS: usize = 256;

/// Memory that QEMU and the broker share.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    words: &'static [AtomicU32; SLOTS + 3],
}

impl Shared {
    pub(super) fn new() -> Option<Self> {
        shared_words().map(|words| Self { words })
    }

    /// Where an answer is put: its generation and a [`Reply`]. `None` beyond the slots.
    pub(super) fn answer(self, slot: u32) -> Option<&'static AtomicU32> {
        self.words.get(..SLOTS)?.get(slot as usize)
    }

    /// Becomes 1 when the broker is ready to serve.
    pub(super) fn ready(self) -> &'static AtomicU32 {
        let [.., ready, _, _] = self.words;
        ready
    }

    /// Messages sent, and messages dealt with: equal when the broker has caught up.
    pub(super) fn sent(self) -> &'static AtomicU32 {
        let [.., sent, _] = self.words;
        sent
    }

    pub(super) fn handled(self) -> &'static AtomicU32 {
        let [.., handled] = self.words;
        handled
    }
}

/// Anonymous memory shared with forked children: zeroed, never unmapped.
fn shared_words<const N: usize>() -> Option<&'static [AtomicU32; N]> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<[AtomicU32; N]>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: page-aligned, zeroed, of that size, never unmapped, and atomics alone.
    Some(unsafe { &*base.cast::<[AtomicU32; N]>() })
}
