//! Where the command writes: results to stdout, everything else to stderr.
//!
//! `println!` panics when the reader has gone away (`pinshim show | head`); nothing here does.

use crate::output::exit_status::READER_HAS_GONE;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// The two streams of a command.
pub(crate) struct Output {
    results: Box<dyn Write>,
    notes: Box<dyn Write>,
    style: Style,
}

/// How text for people may look on stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// It goes to a terminal, which has a width and can be cleared.
    pub(crate) is_terminal: bool,
    /// It may be coloured: it goes to a terminal, and `NO_COLOR` is not set (no-color.org).
    pub(crate) may_colour: bool,
}

impl Output {
    /// This process's stdout and stderr.
    pub(crate) fn standard() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let style = Style { is_terminal, may_colour: is_terminal && !no_colour };
        Self::new(io::stdout(), io::stderr(), style)
    }

    /// Streams for results and for notes.
    pub(crate) fn new(results: impl Write + 'static, notes: impl Write + 'static, style: Style) -> Self {
        Self { results: Box::new(results), notes: Box::new(notes), style }
    }

    /// Writes a result as it is. Ends the process quietly where nobody reads it any more.
    pub(crate) fn print(&mut self, text: impl fmt::Display) {
        let written = self.results.write_all(text.to_string().as_bytes());
        if let Err(error) = written.and_then(|()| self.results.flush()) {
            if error.kind() != ErrorKind::BrokenPipe {
                self.note(format_args!("the output could not be written: {error}"));
            }
            std::process::exit(READER_HAS_GONE);
        }
    }

    /// Writes a line about something else than results, as the library does.
    pub(crate) fn note(&mut self, line: impl fmt::Display) {
        // Where stderr cannot be written to, nothing is left to say it on.
        let _ = self.notes.write_all(format!("pinshim: {line}\n").as_bytes());
    }

    /// How results may look.
    pub(crate) fn style(&self) -> Style {
        self.style
    }
}
