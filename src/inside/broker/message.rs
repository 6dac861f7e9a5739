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
    /// The sender is a child of the process that was served, and runs the VM from now on (`-daemonize`).
    TakeOver = 4,
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

    /// Asks to put a thread on a set.
    pub(super) fn pin(tid: Tid, set: SetId) -> Self {
        Self { set, tid, ..Self::of(Kind::Pin) }
    }

    /// Asks for something that is about no thread and no set.
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, set: SetId(0), tid: Tid(0), slot: NOWHERE, generation: 0 }
    }

    /// The same message; `slot` and `generation` are where the sender waits for the answer.
    pub(super) fn answered_in(self, slot: u32, generation: u32) -> Self {
        Self { slot, generation, ..self }
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
        let kind = [Kind::Pin, Kind::LookForKernelThreads, Kind::WatchNewThread, Kind::TakeOver]
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

#[cfg(test)]
mod tests {
    use super::{Answer, Kind, MAGIC, Message, NOWHERE, Reply};
    use crate::broker::shared::ANSWERS;
    use crate::sys::errno::Errno;
    use pinning::{SetId, Tid};
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![Kind::Pin, Kind::LookForKernelThreads, Kind::WatchNewThread])
    }

    prop_compose! {
        fn messages()(
            kind in kinds(), set in any::<u16>(), tid in any::<i32>(), slot in any::<u32>(), generation in any::<u32>(),
        ) -> Message {
            Message { kind, set: SetId(set), tid: Tid(tid), slot, generation }
        }
    }

    proptest! {
        #[test]
        fn every_field_is_read_as_it_was_written(message in messages()) {
            prop_assert_eq!(Message::from_bytes(&message.to_bytes()), Some(message));
        }

        #[test]
        fn any_bytes_are_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..2 * Message::BYTES)) {
            if let Some(message) = Message::from_bytes(&bytes) {
                prop_assert_eq!(message.to_bytes().to_vec(), bytes);
            }
        }

        #[test]
        fn a_message_of_another_length_is_none(message in messages(), length in 0..3 * Message::BYTES) {
            let mut bytes = message.to_bytes().repeat(3);
            bytes.truncate(length);
            prop_assert_eq!(Message::from_bytes(&bytes).is_some(), length == Message::BYTES);
        }

        #[test]
        fn only_the_magic_number_and_a_known_kind_make_a_message(
            message in messages(), magic in any::<u32>(), kind in any::<u16>(),
        ) {
            let mut bytes = message.to_bytes();
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            prop_assert_eq!(Message::from_bytes(&bytes).is_some(), (1..=4).contains(&kind));
            let mut bytes = message.to_bytes();
            bytes[..4].copy_from_slice(&magic.to_ne_bytes());
            prop_assert_eq!(Message::from_bytes(&bytes).is_some(), magic == MAGIC);
        }

        #[test]
        fn a_reply_s_word_holds_answer_and_generation_apart(generation in any::<u32>(), errno in 0..128) {
            let generation = generation & !Reply::MASK;
            for answer in [Answer::Placed, Answer::Cut, Answer::Refused(Errno(errno)), Answer::None] {
                let word = generation | Reply::of(&answer);
                prop_assert_eq!(word & !Reply::MASK, generation);
                prop_assert_ne!(word, generation | Reply::PENDING);
            }
        }
    }

    #[test]
    fn every_kind_and_no_other_number_is_known() {
        for number in 0..=u16::MAX {
            let mut bytes = Message::of(Kind::Pin).to_bytes();
            bytes[4..6].copy_from_slice(&number.to_ne_bytes());
            let kind = Message::from_bytes(&bytes).map(|message| message.kind as u16);
            assert_eq!(kind, (1..=4).contains(&number).then_some(number));
        }
    }

    #[test]
    fn a_request_without_an_answer_names_a_slot_that_does_not_exist() {
        for message in [
            Message::pin(Tid(7), SetId(1)),
            Message::of(Kind::LookForKernelThreads),
            Message::of(Kind::WatchNewThread),
            Message::of(Kind::TakeOver),
        ] {
            assert_eq!(message.slot, NOWHERE);
            assert!(message.slot as usize >= ANSWERS);
        }
        let message = Message::pin(Tid(7), SetId(1)).answered_in(9, 0x300);
        assert_eq!((message.kind, message.tid, message.set), (Kind::Pin, Tid(7), SetId(1)));
        assert_eq!((message.slot, message.generation), (9, 0x300));
    }

    #[test]
    fn every_answer_is_read_as_it_was_written() {
        for generation in [0, Reply::GENERATION, !Reply::MASK] {
            let read = |answer| Reply::read(generation | Reply::of(&answer));
            assert!(matches!(read(Answer::Placed), Answer::Placed));
            assert!(matches!(read(Answer::Cut), Answer::Cut));
            for errno in 0..128 {
                let answer = read(Answer::Refused(Errno(errno)));
                assert!(matches!(answer, Answer::Refused(Errno(number)) if number == errno), "{errno}");
            }
            // The broker has no word for having no answer: it says that it was refused.
            assert!(matches!(read(Answer::None), Answer::Refused(_)));
            assert!(matches!(Reply::read(generation | Reply::PENDING), Answer::None));
        }
    }

    #[test]
    fn any_word_is_an_answer() {
        for word in 0..=u32::from(u16::MAX) {
            let _ = Reply::read(word);
        }
        for low in (0..=Reply::MASK).filter(|low| *low != 2 && *low != 3 && *low < 0x80) {
            assert!(matches!(Reply::read(low), Answer::None), "{low}");
        }
    }
}
