//! How something stands, in a word, with what is to be known about it.

use serde::Serialize;

/// One row of `pinshim libvirt status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// What it is about: a part of pinshim's, or a domain's name.
    pub(crate) subject: String,
    /// A word.
    pub(crate) state: &'static str,
    /// Whether that is as it should be.
    pub(crate) in_order: bool,
    /// Sentences, with a semicolon between; may be empty.
    pub(crate) detail: String,
}

impl Row {
    /// Something that is as it should be.
    pub(crate) fn good(subject: &str, state: &'static str, detail: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), state, in_order: true, detail: detail.into() }
    }

    /// Something that is not.
    pub(crate) fn bad(subject: &str, state: &'static str, detail: impl Into<String>) -> Self {
        Self { in_order: false, ..Self::good(subject, state, detail) }
    }
}
