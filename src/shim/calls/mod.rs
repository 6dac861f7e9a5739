//! What is done around each call that the library hooks.

pub(crate) mod create;
pub(crate) mod io_uring;
pub(crate) mod ioctl;
pub(crate) mod sandbox;
pub(crate) mod setaffinity;
