//! A mistake in a text: where it is, what is wrong there, and what would be right.

use crate::harmful::is_harmful;

/// At most this many characters of a user's text stand in one message: an environment may hold 128 KiB.
const SHOWN: usize = 160;

/// At most this many mistakes of one value are listed, and a value with more is not read to its end. Without a
/// bound, 128 KiB of `x,x,x` would be 30 MiB of messages.
const LISTED: usize = 32;

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

/// Whether a value has so many mistakes that it need not be read further.
pub(crate) fn are_enough(mistakes: &[Mistake]) -> bool {
    mistakes.len() > LISTED
}

/// Adds mistakes to others, except those that would not be listed.
pub(crate) fn add(more: Vec<Mistake>, to: &mut Vec<Mistake>) {
    let room = (LISTED + 1).saturating_sub(to.len());
    to.extend(more.into_iter().take(room));
}

/// The mistakes of one value as they are listed: by column, and with a last one that says so if not all are.
pub(crate) fn listed(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let enough = are_enough(&mistakes);
    mistakes.sort_by_key(|mistake| mistake.column);
    mistakes.truncate(LISTED);
    if enough {
        mistakes.push(Mistake::of_whole("more is wrong with the value than what is listed here"));
    }
    mistakes
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
        if is_harmful(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
