//! What the library knows in this process: its threads, the calling thread, the status page and who owns it.

#[forbid(unsafe_code)]
pub(crate) mod bypass;
#[forbid(unsafe_code)]
pub(crate) mod current;
pub(crate) mod end;
#[forbid(unsafe_code)]
pub(crate) mod entries;
#[forbid(unsafe_code)]
pub(crate) mod exec_chain;
#[forbid(unsafe_code)]
pub(crate) mod first_run;
#[forbid(unsafe_code)]
pub(crate) mod handover;
pub(crate) mod ownership;
pub(crate) mod page;
#[forbid(unsafe_code)]
pub(crate) mod shim;
pub(crate) mod slots;
#[forbid(unsafe_code)]
pub(crate) mod standing;
#[forbid(unsafe_code)]
pub(crate) mod thread_identity;
