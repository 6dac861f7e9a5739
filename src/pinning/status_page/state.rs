//! What is known of a thread's affinity.

use std::fmt;

/// What is known of a listed thread's affinity; the number is what an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The thread exists and has not placed itself yet.
    Born = 1,
    /// It may run on its set and nowhere else.
    Placed = 2,
    /// The cpuset left only a part of its set.
    Cut = 3,
    /// The kernel refused its set, or the broker did not answer.
    Refused = 4,
    /// Its affinity is QEMU's own business (role exempt).
    LeftAlone = 5,
    /// A system call filter of the program's own does not let the library place it: it is where its creator was when it
    /// began.
    Filtered = 6,
}

impl State {
    /// The state with this number; `None` for any other number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Born, Self::Placed, Self::Cut, Self::Refused, Self::LeftAlone, Self::Filtered]
            .into_iter()
            .find(|state| *state as u8 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Born => "born",
            State::Placed => "placed",
            State::Cut => "cut",
            State::Refused => "refused",
            State::LeftAlone => "left alone",
            State::Filtered => "filtered",
        })
    }
}
