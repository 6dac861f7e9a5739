//! A line of output for people.

use crate::output::text::one_line;
use unicode_width::UnicodeWidthStr;

/// One line, and how it stands out on a terminal with colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    text: String,
    emphasis: Option<Emphasis>,
}

/// How a line stands out. It never says more than the line's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emphasis {
    /// A heading.
    Bold,
    /// Something is wrong.
    Red,
    /// Something is not decided yet.
    Yellow,
    /// Something is of no interest.
    Grey,
}

impl Emphasis {
    /// The sequence that switches it on (console_codes(4)).
    fn on(self) -> &'static str {
        match self {
            Emphasis::Bold => "\x1b[1m",
            Emphasis::Red => "\x1b[31m",
            Emphasis::Yellow => "\x1b[33m",
            Emphasis::Grey => "\x1b[90m",
        }
    }
}

/// Switches all emphasis off.
const OFF: &str = "\x1b[0m";

impl Line {
    /// A line with emphasis.
    pub(crate) fn new(text: String, emphasis: Option<Emphasis>) -> Self {
        Self { text, emphasis }
    }

    /// How many columns of a terminal it takes.
    pub(crate) fn width(&self) -> usize {
        one_line(&self.text).width()
    }

    /// The line as it is written, its end included. Whatever in it others chose, it is one line and no more.
    pub(crate) fn written(&self, may_colour: bool) -> String {
        let text = one_line(&self.text);
        match self.emphasis {
            Some(emphasis) if may_colour => format!("{}{text}{OFF}\n", emphasis.on()),
            _ => format!("{text}\n"),
        }
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new(text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_emphasis_of_our_own_reaches_a_terminal() {
        let line = Line::new("evil\x1b[2J\nall is well".to_owned(), Some(Emphasis::Red));
        assert_eq!(line.written(false), "evil?[2J?all is well\n");
        assert_eq!(line.written(true), "\x1b[31mevil?[2J?all is well\x1b[0m\n");
    }
}
