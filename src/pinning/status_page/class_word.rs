//! A thread's scheduling class on a status page: the class that it should have, and what became of that, in one word.

use crate::class::Class;
use std::fmt;

/// What became of the scheduling class that a thread should have; the number is what a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClassState {
    /// It has it.
    Given = 1,
    /// The kernel refused.
    Refused = 2,
    /// It is real-time, and threads of a usual class would have waited for the thread for ever.
    Withheld = 3,
    /// Whoever created the thread has asked for a class of his own.
    Own = 4,
}

impl ClassState {
    const ALL: [Self; 4] = [Self::Given, Self::Refused, Self::Withheld, Self::Own];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }
}

impl fmt::Display for ClassState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClassState::Given => "given",
            ClassState::Refused => "refused",
            ClassState::Withheld => "withheld",
            ClassState::Own => "own",
        })
    }
}

/// The scheduling class that a thread should have, and what became of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassWord {
    /// The class.
    pub class: Class,
    /// What became of it.
    pub state: ClassState,
}

impl ClassWord {
    /// The word that a page holds; never 0.
    pub fn to_word(self) -> u64 {
        self.class.to_word() | u64::from(self.state as u8) << 16
    }

    /// Reads a word of a page. `None`: it says nothing, or makes no sense.
    pub fn from_word(word: u64) -> Option<Self> {
        Some(Self { class: Class::from_word(word)?, state: ClassState::from_number((word >> 16) as u8)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::ClassKind;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_word_is_read_or_refused(word in any::<u64>()) {
            if let Some(read) = ClassWord::from_word(word) {
                prop_assert_eq!(read.to_word(), word & 0xFFFF_FFFF_00FF_FFFF);
            }
        }
    }

    #[test]
    fn a_word_keeps_class_and_state() {
        for state in ClassState::ALL {
            let class = Class { kind: ClassKind::Batch, value: Some(-20), slice_us: 100_000 };
            assert_eq!(
                ClassWord::from_word(ClassWord { class, state }.to_word()),
                Some(ClassWord { class, state })
            );
        }
        let no_state = Class::USUAL.to_word();
        assert_eq!([0, no_state, no_state | 5 << 16].map(ClassWord::from_word), [None; 3]);
    }
}
