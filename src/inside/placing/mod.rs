//! Putting threads of this process on their sets, and writing to the status page and the log what became of it; and what
//! is done for the whole process at its start.

pub(crate) mod at_start;
pub(crate) mod class;
mod class_warn;
mod cpuset;
pub(crate) mod enlist;
pub(crate) mod kernel_threads;
pub(crate) mod place;
pub(crate) mod rejudge;
pub(crate) mod rescan;
pub(crate) mod unmet;
mod vhost_workers;
pub(crate) mod warn;
