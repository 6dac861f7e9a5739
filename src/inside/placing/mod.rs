//! Putting a thread of this process on its set, and keeping account of it.

pub(crate) mod enlist;
pub(crate) mod place;
pub(crate) mod rescan;
pub(crate) mod warn;
