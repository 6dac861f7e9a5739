//! How a recording is written down: a summary for people, JSON and CSV for programs.

pub(crate) mod csv;
pub(crate) mod json;
mod role;
pub(crate) mod summary;
