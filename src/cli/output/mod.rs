//! What a user gets: text on stdout and stderr, and an exit status.

pub(crate) mod exit_status;
pub(crate) mod failure;
pub(crate) mod line;
pub(crate) mod print;
pub(crate) mod screen;
pub(crate) mod style;
pub(crate) mod text;
#[cfg(test)]
pub(crate) mod transcript;
pub(crate) mod whole_file;
