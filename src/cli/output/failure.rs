//! Why the command could not do what was asked: a sentence, what to do next, and an exit status.

use crate::output::exit_status::FAILED;
use crate::output::print::Output;
use std::fmt;

/// How every subcommand ends: with an exit status of `exit_status`, or with a failure.
pub(crate) type Done = Result<u8, Failure>;

/// Something that could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit status.
    status: u8,
    /// What is wrong, without a full stop.
    what: String,
    /// What the user can do about it.
    next: Option<String>,
}

impl Failure {
    /// A failure with the usual exit status.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { status: FAILED, what: what.into(), next: None }
    }

    /// The same with what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same with another exit status.
    pub(crate) fn status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// The exit status.
    pub(crate) fn exit_status(&self) -> u8 {
        self.status
    }

    /// The JSON document that stands on stdout in place of the one that was asked for.
    pub(crate) fn document(&self) -> String {
        serde_json::json!({"version": 1, "error": self.to_string(), "exit_status": self.status}).to_string()
    }

    /// Says it on stderr, and where JSON was asked for as a document on stdout too. The answer is the exit status.
    pub(crate) fn report_as(&self, json: bool, output: &mut Output) -> u8 {
        if json {
            output.document(&self.document());
        }
        self.report(output)
    }

    /// The same with what it is about before it.
    pub(crate) fn about(mut self, whom: &str) -> Self {
        self.what = format!("{whom}: {}", self.what);
        self
    }

    /// Says it on stderr. The answer is the exit status.
    pub(crate) fn report(&self, output: &mut Output) -> u8 {
        output.note(self);
        self.status
    }
}

/// What was done, and why the rest could not be.
pub(crate) fn sorted<T>(results: impl IntoIterator<Item = Result<T, Failure>>) -> (Vec<T>, Vec<Failure>) {
    let (mut values, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    (values, failures)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.next {
            Some(next) => write!(f, "; {next}"),
            None => Ok(()),
        }
    }
}
