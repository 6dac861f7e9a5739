//! What is done around each call that the library hooks.

pub mod create;
pub mod io_uring;
pub mod ioctl;
pub mod sandbox;
pub mod setaffinity;
