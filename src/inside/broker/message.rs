//! The messages from QEMU to the broker, and its answers. QEMU may be hostile, so the broker trusts no byte of a message.

use crate::sys::errno::Errno;
use pinning::{SetId, Tid};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    /// Put a thread of the sender on a set of the policy.
    Pin = 1,
    /// The kernel is making a thread in the sender: look for it, soon and a little later.
    LookForKernelThreads = 2,
    /// A thread was created that a manager is going to move: look at the young ones for some seconds.
    WatchNewThread = 3,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) set: SetId,
    pub(super) tid: Tid,
    /// The slot in which the sender waits for the answer; one that does not exist if it does not wait.
    pub(super) slot: u32,
    /// The generation of that wait.
    pub(super) generation: u32,
}

/// The number that begins every message: "pin1" in ASCII.
const MAGIC: u32 = 0x7069_6e31;
/// A slot that does not exist.
const NOWHERE: u32 = u32::MAX;

impl Message {
    /// The bytes of a message. What has another length is not taken for one.
    pub(super) const BYTES: usize = 20;

    /// Asks to put a thread on a set; `answer` is where the sender waits: a slot and its generation.
    pub(super) fn pin(tid: Tid, set: SetId, answer: Option<(u32, u32)>) -> Self {
        let (slot, generation) = answer.unwrap_or((NOWHERE, 0));
        Self { kind: Kind::Pin, set, tid, slot, generation }
    }

    /// Asks for something that has no answer.
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, set: SetId(0), tid: Tid(0), slot: NOWHERE, generation: 0 }
    }

    /// The message as it is sent.
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

    /// The message that was received; `None` if it is none.
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
    /// The kernel refused: to the broker or, where there is none, to QEMU.
    Refused(Errno),
    /// The broker did not answer, or could not be started. There was one warning of that.
    None,
}

/// The lowest byte of the word in which an answer comes. The rest is the generation, so that a late answer to an earlier
/// request in the same slot is not taken for this one's.
pub(super) struct Reply;

impl Reply {
    pub(super) const MASK: u32 = 0xFF;
    pub(super) const GENERATION: u32 = 0x100;
    pub(super) const PENDING: u32 = 1;
    const PLACED: u32 = 2;
    const CUT: u32 = 3;
    /// The bit of a refusal. The other seven are its errno.
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
