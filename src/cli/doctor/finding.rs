//! What was found: how much it matters, what is so, what was read, and what to do.

use pinning::CpuSet;
use serde::Serialize;
use std::fmt;
use std::io;
use std::path::Path;

/// How much it matters. In the order in which findings are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// It works against pinning, and can be mended.
    Fix,
    /// It may matter, or it could not be read.
    Note,
    /// It is as it should be.
    Ok,
}

impl Grade {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Grade::Fix => "fix",
            Grade::Note => "note",
            Grade::Ok => "ok",
        }
    }
}

/// A file and what of it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Read {
    pub(crate) file: String,
    pub(crate) value: String,
}

/// One finding. Its texts may hold what others chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) grade: Grade,
    /// What it is about, in a word.
    pub(crate) topic: &'static str,
    /// What is so, in a sentence.
    pub(crate) what: String,
    /// What was read.
    pub(crate) read: Vec<Read>,
    /// What to do: a command, a setting, or a sentence.
    pub(crate) to_do: Option<String>,
}

impl Finding {
    /// Something that works against pinning, and what mends it.
    pub(crate) fn fix(topic: &'static str, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { grade: Grade::Fix, to_do: Some(to_do.into()), ..Self::ok(topic, what) }
    }

    /// Something that may matter.
    pub(crate) fn note(topic: &'static str, what: impl Into<String>) -> Self {
        Self { grade: Grade::Note, ..Self::ok(topic, what) }
    }

    /// Something that is as it should be.
    pub(crate) fn ok(topic: &'static str, what: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, topic, what: what.into(), read: Vec::new(), to_do: None }
    }

    /// Something that could not be read, with who may read it.
    pub(crate) fn unread(topic: &'static str, file: impl AsRef<Path>, error: &io::Error) -> Self {
        let (why, who) = match error.kind() {
            io::ErrorKind::PermissionDenied => ("permission denied".to_owned(), true),
            _ => (error.to_string(), false),
        };
        let unread = Self::note(topic, "not known: it could not be read").read(file, why);
        if who { unread.and_do("root may read it: sudo pinshim doctor") } else { unread }
    }

    /// The same with what was read.
    pub(crate) fn read(mut self, file: impl AsRef<Path>, value: impl Into<String>) -> Self {
        self.read.push(Read { file: file.as_ref().display().to_string(), value: value.into() });
        self
    }

    /// The same with where a thread may run, as its `status` file says.
    pub(crate) fn read_affinity(self, status: impl AsRef<Path>, allowed: &CpuSet) -> Self {
        self.read(status, format!("Cpus_allowed_list {allowed}"))
    }

    /// The same with what to do.
    pub(crate) fn and_do(self, to_do: impl Into<String>) -> Self {
        Self { to_do: Some(to_do.into()), ..self }
    }
}

/// So many of the files that were read are named in a line; JSON has them all.
const FILES: usize = 2;

/// What is so and what was read, in a line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let files = self.read.iter().take(FILES).map(|Read { file, value }| format!("{file}: {value}"));
        let files: Vec<String> = files.collect();
        if files.is_empty() { Ok(()) } else { write!(f, " ({})", files.join("; ")) }
    }
}
