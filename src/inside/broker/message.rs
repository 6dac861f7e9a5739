//! What is said between QEMU and the broker. The broker takes every byte of it as hostile.

use crate::sys::errno::Errno;
use pinning::{SetId, Tid};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    /// Put a thread of the sender on a set of the policy.
    Pin = 1,
    /// The kernel is making a thread in the sender: look for it, now and a little later.
    LookForKernelThreads = 2,
    /// A thread was born that a manager is going to move: look at the young ones for some seconds.
    WatchNewThread = 3,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) set: SetId,
    pub(super) tid: Tid,
    /// Where the answer is waited for, and the generation of the wait; a slot that does not exist: nowhere.
    pub(super) slot: u32,
    pub(super) generation: u32,
}

const MAGIC: u32 = 0x7069_6e31;
const NOWHERE: u32 = u32::MAX;

impl Message {
    /// Bytes on the socket; a message of any other length is none.
    pub(super) const BYTES: usize = 20;

    pub(super) fn pin(tid: Tid, set: SetId, answer: Option<(u32, u32)>) -> Self {
        let (slot, generation) = answer.unwrap_or((NOWHERE, 0));
        Self { kind: Kind::Pin, set, tid, slot, generation }
    }

    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, set: SetId(0), tid: Tid(0), slot: NOWHERE, generation: 0 }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields = MAGIC
            .to_ne_bytes()
            .into_iter()
            .chain((self.kind as u16).to_ne_bytes())
            .chain(self.set.0.to_ne_bytes())
            .chain(self.tid.0.to_ne_bytes())
            .chain(self.slot.to_ne_bytes())
            .chain(self.generation.to_ne_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let word =
            |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
        let half =
            |at: usize| -> Option<u16> { Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?)) };
        let kind = [Kind::Pin, Kind::LookForKernelThreads, Kind::WatchNewThread]
            .into_iter()
            .find(|kind| Some(*kind as u16) == half(4))?;
        (word(0)? == MAGIC).then_some(Self {
            kind,
            set: SetId(half(6)?),
            tid: Tid(word(8)? as i32),
            slot: word(12)?,
            generation: word(16)?,
        })
    }
}

/// What the broker made of a request.
pub(crate) enum Answer {
    /// The thread is on the set.
    Placed,
    /// The cpuset left only a part.
    Cut,
    /// The kernel said no, to the broker or (where there is none) to us.
    Refused(Errno),
    /// It did not answer, or could not be had: both were warned about once.
    None,
}

/// The low byte of an answer's word; the rest is the generation, so that a late answer to an earlier
/// request in the same slot is not taken for this one's.
pub(super) struct Reply;

impl Reply {
    pub(super) const MASK: u32 = 0xFF;
    pub(super) const GENERATION: u32 = 0x100;
    pub(super) const PENDING: u32 = 1;
    const PLACED: u32 = 2;
    const CUT: u32 = 3;
    /// Bit of a refusal; the other seven are its errno.
    const REFUSED: u32 = 0x80;

    pub(super) fn of(answer: &Answer) -> u32 {
        match answer {
            Answer::Placed => Self::PLACED,
            Answer::Cut => Self::CUT,
            Answer::Refused(errno) => Self::REFUSED | (errno.0 as u32 & 0x7F),
            Answer::None => Self::REFUSED,
        }
    }

    pub(super) fn read(word: u32) -> Answer {
        match word & Self::MASK {
            Self::PLACED => Answer::Placed,
            Self::CUT => Answer::Cut,
            refused if refused & Self::REFUSED != 0 => Answer::Refused(Errno((refused & 0x7F) as i32)),
            _ => Answer::None,
        }
    }
}
