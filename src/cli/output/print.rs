//! Saying things: results on stdout, everything else on stderr.
//!
//! `println!` panics when the reader has gone away (`pinshim show | head`); nothing here does.

use crate::output::exit_status::READER_HAS_GONE;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// Writes text to stdout as it is. Ends the process quietly where nobody reads it any more.
pub(crate) fn print(text: impl fmt::Display) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            note(format_args!("the output could not be written: {error}"));
        }
        std::process::exit(READER_HAS_GONE);
    }
}

/// Writes a line to stderr, as the library does.
pub(crate) fn note(line: impl fmt::Display) {
    // There is nobody left to tell.
    let _ = writeln!(io::stderr(), "pinshim: {line}");
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stdout may be coloured: a terminal, and `NO_COLOR` is not set (no-color.org).
pub(crate) fn may_colour() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text of somebody else's, made safe for a terminal: control characters become `?`.
pub(crate) fn harmless(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(|c: char| c.is_control() || is_invisible(c), "?")
}

/// Characters that reorder or hide others.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A count with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(harmless(b"a\x1b[2Jb\n\xff"), "a?[2Jb?\u{fffd}");
        assert_eq!(harmless("x\u{202e}y".as_bytes()), "x?y");
        assert_eq!(harmless("é".as_bytes()), "é");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([count(0, "thread"), count(1, "thread")].join(", "), "0 threads, 1 thread");
    }
}
