//! What the library knows in this process: its threads, the calling thread, the status page and who owns it.

pub(crate) mod current;
pub(crate) mod end;
pub(crate) mod entries;
pub(crate) mod first_run;
pub(crate) mod handover;
pub(crate) mod ownership;
pub(crate) mod page;
pub(crate) mod shim;
pub(crate) mod slots;
pub(crate) mod thread_identity;
