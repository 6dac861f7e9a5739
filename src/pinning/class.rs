//! Scheduling classes of threads (sched(7)): which class, and its nice value or priority.

use std::fmt;

/// A scheduling class. The number is the kernel's (linux/sched.h, SCHED_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClassKind {
    /// SCHED_OTHER, which every thread has unless something else is said.
    Other = 0,
    /// SCHED_FIFO: real-time.
    Fifo = 1,
    /// SCHED_RR: real-time, with turns among threads of one priority.
    Rr = 2,
    /// SCHED_BATCH: as `Other`, for work that need not wake up fast.
    Batch = 3,
    /// SCHED_IDLE: only where nobody else wants the CPU.
    Idle = 5,
    /// SCHED_DEADLINE. No variable gives it.
    Deadline = 6,
    /// SCHED_EXT, by a BPF scheduler. No variable gives it.
    Ext = 7,
}

impl ClassKind {
    const ALL: [Self; 7] =
        [Self::Other, Self::Fifo, Self::Rr, Self::Batch, Self::Idle, Self::Deadline, Self::Ext];

    /// The class with the kernel's number; `None` for a number that stands for none.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u32::from(*kind as u8) == number)
    }

    /// Whether a thread of this class goes before every thread of the usual ones, for as long as it wants to run.
    pub fn is_real_time(self) -> bool {
        matches!(self, Self::Fifo | Self::Rr | Self::Deadline)
    }

    /// Whether it has a nice value that counts.
    fn has_nice(self) -> bool {
        matches!(self, Self::Other | Self::Batch)
    }

    /// Whether it has a priority in place of a nice value.
    pub fn has_priority(self) -> bool {
        matches!(self, Self::Fifo | Self::Rr)
    }

    /// Its name in `PIN_SCHED`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Fifo => "fifo",
            Self::Rr => "rr",
            Self::Batch => "batch",
            Self::Idle => "idle",
            Self::Deadline => "deadline",
            Self::Ext => "ext",
        }
    }
}

/// How a thread is scheduled, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// The class.
    pub kind: ClassKind,
    /// The priority (1 to 99) of a real-time class, the nice value (-20 to 19) of another. `None` in a wish: the nice value
    /// that the process was started with.
    pub value: Option<i8>,
    /// How long it runs at a time, in microseconds, before another thread of its class does; 0: as the kernel chooses.
    pub slice_us: u32,
}

impl Class {
    /// The one that a thread has where nobody says anything.
    pub const USUAL: Self = Self { kind: ClassKind::Other, value: Some(0), slice_us: 0 };

    /// The same wish with its nice value, which is that of the class that the process was started with where none is named.
    pub fn resolved(self, start: Self) -> Self {
        // A process that was started with a real-time class has a nice value too, which nothing says: 0 if none was set.
        let nice = if start.kind.has_priority() { Some(0) } else { start.value };
        Self { value: self.value.or(nice), ..self }
    }

    /// Whether a thread that the kernel schedules so (`seen`) has what this one wishes. What a wish does not name counts
    /// for nothing.
    pub fn is_met_by(self, seen: Self) -> bool {
        let counts = self.kind.has_nice() || self.kind.has_priority();
        self.kind == seen.kind
            && (!counts || self.value.is_none() || self.value == seen.value)
            && (self.slice_us == 0 || self.slice_us == seen.slice_us)
    }

    /// All of it in one word, whose low 32 bits have room for nothing else above the lowest 16; never 0.
    pub(crate) fn to_word(self) -> u64 {
        let value = self.value.unwrap_or(0) as u8;
        u64::from(self.slice_us) << 32 | u64::from(value) << 8 | (u64::from(self.kind as u8) + 1)
    }

    /// Reads what [`Class::to_word`] has made. `None` for a word that means no class.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let kind = ClassKind::from_number(u32::from((word as u8).checked_sub(1)?))?;
        let value = (word >> 8) as u8 as i8;
        let range = if kind.has_priority() { 1..=99 } else { -20..=19 };
        let class = Self { kind, value: Some(value), slice_us: (word >> 32) as u32 };
        range.contains(&value).then_some(class)
    }
}

/// As in `PIN_SCHED`: `other:-5`, `batch:0:3ms`, `idle`, `fifo:1`.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.word())?;
        match self.value {
            Some(value) if self.kind.has_nice() || self.kind.has_priority() => write!(f, ":{value}")?,
            _ => {}
        }
        match self.slice_us {
            0 => Ok(()),
            us if us % 1000 == 0 => write!(f, ":{}ms", us / 1000),
            us => write!(f, ":{us}us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(kind: ClassKind, value: i8, slice_us: u32) -> Class {
        Class { kind, value: Some(value), slice_us }
    }

    proptest! {
        #[test]
        fn a_word_keeps_all_of_it(at in 0..7usize, nice in -20..=19i8, priority in 1..=99i8, slice_us in any::<u32>()) {
            let kind = ClassKind::ALL[at];
            let value = if kind.has_priority() { priority } else { nice };
            let class = class(kind, value, slice_us);
            prop_assert_eq!(Class::from_word(class.to_word()), Some(class));
        }

        #[test]
        fn any_word_is_read_or_refused(word in any::<u64>()) {
            if let Some(class) = Class::from_word(word) {
                prop_assert_eq!(class.to_word(), word & 0xFFFF_FFFF_0000_FFFF);
            }
        }
    }

    #[test]
    fn the_number_is_the_kernel_s() {
        for kind in ClassKind::ALL {
            assert_eq!(ClassKind::from_number(u32::from(kind as u8)), Some(kind));
        }
        for number in [4, 8, u32::MAX] {
            assert_eq!(ClassKind::from_number(number), None);
        }
        assert_eq!(Class::from_word(0), None);
        assert_eq!(Class::from_word(class(ClassKind::Fifo, 0, 0).to_word()), None, "no such priority");
    }

    #[test]
    fn it_is_written_as_in_the_variable() {
        use ClassKind::{Batch, Fifo, Idle, Other};
        let said = [
            class(Other, -5, 0),
            class(Batch, 0, 3000),
            class(Other, 0, 2800),
            class(Idle, 7, 0),
            class(Fifo, 1, 0),
            Class { value: None, ..class(Batch, 0, 0) },
        ];
        let words = said.map(|class| class.to_string()).join(" ");
        assert_eq!(words, "other:-5 batch:0:3ms other:0:2800us idle fifo:1 batch");
    }

    #[test]
    fn what_a_wish_does_not_name_counts_for_nothing() {
        use ClassKind::{Batch, Fifo, Idle};
        let seen = class(Batch, 3, 2800);
        assert!(Class { value: None, ..class(Batch, 0, 0) }.is_met_by(seen));
        assert!(class(Batch, 3, 0).is_met_by(seen) && class(Batch, 3, 2800).is_met_by(seen));
        assert!(!class(Batch, 0, 0).is_met_by(seen) && !class(Batch, 3, 3000).is_met_by(seen));
        assert!(class(Idle, 0, 0).is_met_by(class(Idle, 5, 0)));
        assert!(!class(Fifo, 1, 0).is_met_by(class(Fifo, 2, 0)));
    }

    #[test]
    fn a_nice_value_that_is_not_named_is_the_one_that_the_process_was_started_with() {
        let wish = Class { value: None, ..class(ClassKind::Batch, 0, 0) };
        assert_eq!(wish.resolved(class(ClassKind::Other, 5, 0)).value, Some(5));
        assert_eq!(wish.resolved(class(ClassKind::Fifo, 5, 0)).value, Some(0));
        let named = class(ClassKind::Other, -5, 0);
        assert_eq!(named.resolved(class(ClassKind::Other, 5, 0)), named);
    }
}
