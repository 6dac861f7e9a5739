//! A mistake in a text: where it is, what is wrong there, and what would be right.

/// At most this many characters of a user's text stand in one message: an environment may hold 128 KiB.
const SHOWN: usize = 160;

/// A place in a text that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is: 1-based, in characters, within the value. `None`: the value as a whole is wrong.
    pub column: Option<usize>,
    /// What is wrong there.
    pub what: String,
    /// What would be right, where that can be told.
    pub hint: Option<String>,
}

impl Mistake {
    /// A mistake in this column of the value.
    pub(crate) fn at(column: usize, what: impl Into<String>) -> Self {
        Self { column: Some(column), what: what.into(), hint: None }
    }

    /// A mistake of the value as a whole.
    pub(crate) fn of_whole(what: impl Into<String>) -> Self {
        Self { column: None, what: what.into(), hint: None }
    }

    /// The same mistake with what would be right.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A user's text, safe to print in one line: control characters are escaped, so that a terminal does not
/// act on them, and a long text is cut.
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
