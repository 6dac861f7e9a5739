//! What the library says: to stderr, by the filter in `PIN_LOG`.

pub(crate) mod once;
pub(crate) mod stderr;
pub(crate) mod targets;
