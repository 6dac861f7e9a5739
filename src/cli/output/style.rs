//! How text for people may look on stdout: what a terminal can do, and what its user wants.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use terminal_size::{Height, Width, terminal_size_of};

/// How text for people may look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// The terminal's columns and rows. `None`: it is no terminal, or one that does not know.
    pub(crate) size: Option<(u16, u16)>,
    /// It is a terminal whose cursor can be moved, so that a text can be drawn over the one before.
    pub(crate) may_redraw: bool,
    /// It may be coloured.
    pub(crate) may_colour: bool,
}

/// Whether stderr is a terminal whose cursor can be moved.
pub(crate) fn stderr_may_redraw() -> bool {
    Style::of(io::stderr().is_terminal(), None, |name| std::env::var_os(name)).may_redraw
}

/// When text may be coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal that can, unless NO_COLOR is set
    #[default]
    Auto,
    /// Into a pipe or a file too, whatever NO_COLOR says
    Always,
    /// Never
    Never,
}

impl Style {
    /// The same, with colours when the user wants them.
    pub(crate) fn with_colour(self, colour: Colour) -> Self {
        let may_colour = match colour {
            Colour::Auto => self.may_colour,
            Colour::Always => true,
            Colour::Never => false,
        };
        Self { may_colour, ..self }
    }

    /// What stdout is now. A terminal can change its size at any time.
    pub(crate) fn of_stdout() -> Self {
        let size = terminal_size_of(io::stdout()).map(|(Width(columns), Height(rows))| (columns, rows));
        Self::of(io::stdout().is_terminal(), size, |name| std::env::var_os(name))
    }

    /// The style for a terminal, or for something else, with these variables in the environment.
    ///
    /// A terminal without a name in `TERM`, and one that is called `dumb`, obeys no sequences (terminfo(5)).
    /// `NO_COLOR`, if it is not empty, asks for no colours (no-color.org).
    fn of(is_terminal: bool, size: Option<(u16, u16)>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let value = |name| variable(name).filter(|value: &OsString| !value.is_empty());
        let obeys = is_terminal && value("TERM").is_some_and(|name| name != "dumb");
        Self {
            // A serial line and some programs that imitate a terminal say 0 for "not known".
            size: size.filter(|(columns, rows)| is_terminal && *columns > 0 && *rows > 0),
            may_redraw: obeys,
            may_colour: obeys && value("NO_COLOR").is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_want_colours_anywhere_or_nowhere() {
        let may = |is_coloured, colour| {
            let style = Style { may_colour: is_coloured, ..Style::default() };
            style.with_colour(colour).may_colour
        };
        assert_eq!([may(true, Colour::Auto), may(false, Colour::Auto)], [true, false]);
        assert_eq!([may(true, Colour::Always), may(false, Colour::Always)], [true, true]);
        assert_eq!([may(true, Colour::Never), may(false, Colour::Never)], [false, false]);
    }

    #[test]
    fn colours_are_for_terminals_that_obey_and_users_who_want_them() {
        let may = |is_terminal, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            let style = Style::of(is_terminal, Some((80, 24)), variable);
            (style.may_redraw, style.may_colour)
        };
        assert_eq!(may(true, &[("TERM", "xterm")]), (true, true));
        assert_eq!(may(true, &[("TERM", "xterm"), ("NO_COLOR", "")]), (true, true));
        assert_eq!(may(true, &[("TERM", "xterm"), ("NO_COLOR", "1")]), (true, false));
        assert_eq!(may(false, &[("TERM", "xterm")]), (false, false));
        for dumb in [&[("TERM", "dumb")][..], &[("TERM", "")], &[]] {
            assert_eq!(may(true, dumb), (false, false), "{dumb:?}");
        }
    }

    #[test]
    fn a_size_of_nothing_is_not_known() {
        let size = |is_terminal, size| Style::of(is_terminal, Some(size), |_| None).size;
        assert_eq!(size(true, (40, 24)), Some((40, 24)));
        assert_eq!([size(true, (0, 0)), size(true, (0, 24)), size(false, (80, 24))], [None; 3]);
    }
}
