//! Text on stdout and stderr, and how a subcommand fails.

pub(crate) mod exit_status;
pub(crate) mod failure;
pub(crate) mod print;
pub(crate) mod text;
#[cfg(test)]
pub(crate) mod transcript;
