//! A mistake in a text: where it is, what is wrong there, and what would be right.

/// So much of a value, in characters, is shown with a fault: an environment may hold 128 KiB.
const SHOWN: usize = 160;

/// A place in a text that does not read as what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// Where it is: 1-based, in characters, within the value.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
    /// What would be right, where that can be told.
    pub hint: Option<String>,
}

impl Slip {
    pub(crate) fn new(column: usize, what: impl Into<String>) -> Self {
        Self { column, what: what.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Text as it may stand in a line of stderr: a terminal must not obey what it holds.
pub(crate) fn shown(text: &str) -> String {
    let mut line = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN {
            line.push('…');
            break;
        }
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
