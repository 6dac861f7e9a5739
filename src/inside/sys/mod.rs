//! The system calls that the library makes, and what it needs of libc. Nothing in here knows what a thread is
//! for.

#[macro_use]
pub(crate) mod errno;

pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod numa;
#[forbid(unsafe_code)]
pub(crate) mod path;
#[forbid(unsafe_code)]
pub(crate) mod pid_namespace;
#[forbid(unsafe_code)]
pub(crate) mod proc_stat;
pub(crate) mod process;
pub(crate) mod sched;
pub(crate) mod socket;
pub(crate) mod symbol;
pub(crate) mod thread;
pub(crate) mod wait;
