//! What a command would have written, for tests.

use crate::output::failure::Done;
use crate::output::print::Output;
use crate::output::style::Style;
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

/// Both streams in the order they were written to; each line of stderr begins with `2> `.
#[derive(Debug, Clone, Default)]
struct Transcript {
    text: Rc<RefCell<String>>,
}

struct Stream {
    text: Rc<RefCell<String>>,
    mark: &'static str,
}

impl Transcript {
    /// An output that is written down here.
    fn output(&self) -> Output {
        let stream = |mark| Stream { text: Rc::clone(&self.text), mark };
        Output::new(stream(""), stream("2> "), Style::default)
    }
}

/// The exit status of a subcommand, and what it would have written.
pub(crate) fn said(subcommand: impl FnOnce(&mut Output) -> Done) -> (u8, String) {
    let transcript = Transcript::default();
    let mut output = transcript.output();
    let status = subcommand(&mut output).unwrap_or_else(|failure| failure.report(&mut output));
    (status, transcript.text.take())
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.borrow_mut();
        text.push_str(self.mark);
        text.push_str(std::str::from_utf8(bytes).map_err(io::Error::other)?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
