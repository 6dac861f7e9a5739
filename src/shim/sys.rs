//! The system calls that the library makes, and what it needs of libc. Nothing in here knows a thread's role.

pub(crate) mod kernel;
pub(crate) mod path;
pub(crate) mod symbol;
