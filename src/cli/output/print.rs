//! Where the command writes: results to stdout, everything else to stderr.
//!
//! Most of what it writes was chosen by others: names, arguments, answers. So text goes out line by line, and
//! what is harmful to a terminal or a log is replaced here, where no caller can forget it.
//!
//! `println!` panics when the reader has gone away (`pinshim show | head`); nothing here does.

use crate::output::exit_status::{NOT_WRITTEN, READER_HAS_GONE};
use crate::output::line::Line;
use crate::output::screen;
use crate::output::style::{self, Colour, Style};
use crate::output::text::{escaped, one_line};
use std::fmt;
use std::io::{self, ErrorKind, Write};

/// The two streams of a command.
pub(crate) struct Output {
    results: Box<dyn Write>,
    notes: Box<dyn Write>,
    /// What stdout is at this moment.
    style: Box<dyn Fn() -> Style>,
    /// The size of the terminal when `instead` wrote what it shows.
    drawn: Option<(u16, u16)>,
    /// Whether a line on stderr can be drawn over, and what is on it now is progress.
    may_progress: bool,
    is_progress: bool,
}

impl Output {
    /// This process's stdout and stderr.
    pub(crate) fn standard() -> Self {
        let standard = Self::new(io::stdout(), io::stderr(), Style::of_stdout);
        Self { may_progress: style::stderr_may_redraw(), ..standard }
    }

    /// Colours results when the user wants that.
    pub(crate) fn set_colour(&mut self, colour: Colour) {
        let style = std::mem::replace(&mut self.style, Box::new(Style::default));
        self.style = Box::new(move || style().with_colour(colour));
    }

    /// Streams for results and for notes.
    pub(crate) fn new(
        results: impl Write + 'static,
        notes: impl Write + 'static,
        style: impl Fn() -> Style + 'static,
    ) -> Self {
        Self {
            results: Box::new(results),
            notes: Box::new(notes),
            style: Box::new(style),
            drawn: None,
            may_progress: false,
            is_progress: false,
        }
    }

    /// Writes one line of results.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        self.lines([line.to_string()]);
    }

    /// Writes one line of results for a program: a word, a tab, and what it means. Neither can hold a tab.
    pub(crate) fn pair(&mut self, word: &str, meaning: &str) {
        self.write(&format!("{}\t{}\n", one_line(word), one_line(meaning)));
    }

    /// Writes lines of results.
    pub(crate) fn lines<L: Into<Line>>(&mut self, lines: impl IntoIterator<Item = L>) {
        self.write(&self.text(lines));
    }

    /// Writes lines of results; on a terminal in place of those that this wrote before.
    pub(crate) fn instead(&mut self, lines: Vec<Line>) {
        let style = self.style();
        let Some(size) = style.size.filter(|_| style.may_redraw) else {
            return self.lines(lines);
        };
        let before = if self.drawn == Some(size) { String::new() } else { screen::put_away(size) };
        self.drawn = Some(size);
        self.write(&(before + &screen::drawn(lines, size, style)));
    }

    /// The size of the terminal, if it is another one than when `instead` wrote what it shows.
    pub(crate) fn new_size(&self) -> Option<(u16, u16)> {
        let drawn = self.drawn?;
        self.style().size.filter(|size| *size != drawn)
    }

    /// Whether a note would move what `instead` has written away.
    pub(crate) fn notes_disturb(&self) -> bool {
        let style = self.style();
        self.may_progress && style.may_redraw && style.size.is_some()
    }

    /// Writes a JSON document on a line of its own, without a harmful character.
    pub(crate) fn document(&mut self, json: &str) {
        self.write(&(escaped(json) + "\n"));
    }

    /// Writes a whole text that is harmless already, as it is.
    pub(crate) fn text_as_it_is(&mut self, text: &str) {
        self.write(text);
    }

    /// Writes a line about something else than results, as the library does.
    pub(crate) fn note(&mut self, line: impl fmt::Display) {
        let line = Line::from(format!("pinshim: {line}"));
        // Where stderr cannot be written to, nothing is left to say it on.
        let _ = self.notes.write_all(line.written(false).as_bytes());
    }

    /// Says on stderr how far a long work is, in place of what was said before; only on a terminal.
    pub(crate) fn progress(&mut self, text: &str) {
        if self.may_progress {
            self.is_progress = true;
            let _ = write!(self.notes, "\r{}\x1b[K", one_line(&format!("pinshim: {text}")));
        }
    }

    /// Takes away what was said of the progress.
    pub(crate) fn end_progress(&mut self) {
        if std::mem::take(&mut self.is_progress) {
            let _ = write!(self.notes, "\r\x1b[K");
        }
    }

    /// How results may look now.
    pub(crate) fn style(&self) -> Style {
        (self.style)()
    }

    fn text<L: Into<Line>>(&self, lines: impl IntoIterator<Item = L>) -> String {
        let may_colour = self.style().may_colour;
        lines.into_iter().map(|line| line.into().written(may_colour)).collect()
    }

    /// Writes results. Where they cannot be written, the process ends.
    fn write(&mut self, text: &str) {
        let written = self.results.write_all(text.as_bytes());
        if let Err(error) = written.and_then(|()| self.results.flush()) {
            std::process::exit(self.not_written(&error).into());
        }
    }

    /// How to exit where results could not be written: quietly where nobody reads them any more.
    pub(crate) fn not_written(&mut self, error: &io::Error) -> u8 {
        if error.kind() == ErrorKind::BrokenPipe {
            return READER_HAS_GONE;
        }
        self.note(format_args!("the output could not be written: {error}"));
        NOT_WRITTEN
    }
}

#[cfg(test)]
mod tests {
    use crate::output::exit_status::SUCCESS;
    use crate::output::transcript::said;

    #[test]
    fn a_text_of_others_is_one_line_whatever_it_holds() {
        let (_, text) = said(|output| {
            output.line("a\nb\x1b[2J\t\u{9b}\u{202e}");
            output.note("c\r\nd");
            Ok(SUCCESS)
        });
        assert_eq!(text, "a?b?[2J???\n2> pinshim: c??d\n");
    }

    #[test]
    fn a_json_string_keeps_its_value_and_is_harmless() {
        let value = "a\n\u{7f}\u{9b}\u{2028}\u{e0041}é\"";
        let (_, text) = said(|output| {
            output.document(&serde_json::to_string(value).unwrap());
            Ok(SUCCESS)
        });
        assert_eq!(text, "\"a\\n\\u007f\\u009b\\u2028\\udb40\\udc41é\\\"\"\n");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
    }
}
