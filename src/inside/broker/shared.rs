//! The memory that QEMU and the broker share: the answers, and how many messages the broker has dealt with.

use crate::sys::memory;
use std::sync::atomic::AtomicU32;

/// How many answers can be waited for at the same time.
pub(super) const ANSWERS: usize = 256;

/// The broker is still starting.
pub(super) const NOT_YET: u32 = 0;
/// The broker serves.
pub(super) const READY: u32 = 1;

/// The memory that QEMU and the broker share.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    words: &'static [AtomicU32; ANSWERS + 3],
}

impl Shared {
    /// New shared memory, with no answer and no message. `None` if there is no memory.
    pub(super) fn new() -> Option<Self> {
        shared_words().map(|words| Self { words })
    }

    /// The word in which an answer comes, a generation and a `message::Reply`. `None` for a slot that does not exist.
    pub(super) fn answer(self, slot: u32) -> Option<&'static AtomicU32> {
        self.words.get(..ANSWERS)?.get(slot as usize)
    }

    /// How the broker's start went: [`NOT_YET`], [`READY`], or the word of a `failure::Failure`.
    pub(super) fn state(self) -> &'static AtomicU32 {
        let [.., state, _, _] = self.words;
        state
    }

    /// How many messages were sent.
    pub(super) fn sent(self) -> &'static AtomicU32 {
        let [.., sent, _] = self.words;
        sent
    }

    /// How many messages the broker has dealt with. It equals `sent` when the broker has caught up.
    pub(super) fn handled(self) -> &'static AtomicU32 {
        let [.., handled] = self.words;
        handled
    }
}

/// Words that are shared with forked children, all 0.
fn shared_words<const N: usize>() -> Option<&'static [AtomicU32; N]> {
    let memory = memory::shared(size_of::<[AtomicU32; N]>(), None)?;
    // SAFETY: `memory::shared` upholds that it is of that size, zeroed, aligned to a page and never unmapped; the words are
    // atomics, so that the broker may write to them at the same time.
    Some(unsafe { memory.cast::<[AtomicU32; N]>().as_ref() })
}
