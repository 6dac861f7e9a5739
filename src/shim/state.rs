//! What this process knows: its threads, the calling thread, the status page, and whose it is.

pub(crate) mod current;
pub(crate) mod handover;
pub(crate) mod ownership;
pub(crate) mod page;
pub(crate) mod slots;
