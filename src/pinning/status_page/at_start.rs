//! What became of a thing that the library does once for the whole process, as a number in the page's header.

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtStart {
    /// It was not asked for, or the library that made the page does not know it.
    #[default]
    NotSaid,
    /// It is done.
    Done,
    /// The kernel refused, with this errno.
    Refused(i32),
}

/// What is added to an errno.
const REFUSED: u32 = 0x1_0000;

impl AtStart {
    /// The number that stands for it on a page.
    pub fn number(self) -> u32 {
        match self {
            AtStart::NotSaid => 0,
            AtStart::Done => 1,
            AtStart::Refused(errno) => REFUSED | u32::from(errno.unsigned_abs() as u16),
        }
    }

    /// What a page means by this number; a number that stands for nothing says nothing.
    pub fn from_number(number: u32) -> Self {
        match number {
            1 => AtStart::Done,
            _ if number & !0xffff == REFUSED => AtStart::Refused((number & 0xffff) as i32),
            _ => AtStart::NotSaid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AtStart;

    #[test]
    fn each_goes_to_its_number_and_back() {
        for what in [AtStart::NotSaid, AtStart::Done, AtStart::Refused(1), AtStart::Refused(4096)] {
            assert_eq!(AtStart::from_number(what.number()), what);
        }
        for number in [2, 0xffff, 0x2_0001, u32::MAX] {
            assert_eq!(AtStart::from_number(number), AtStart::NotSaid, "{number}");
        }
    }
}
