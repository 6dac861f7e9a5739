//! Putting threads of this process on their sets, and writing to the status page and the log what became of it.

mod cpuset;
pub(crate) mod enlist;
pub(crate) mod place;
pub(crate) mod rejudge;
pub(crate) mod rescan;
pub(crate) mod unmet;
pub(crate) mod warn;
