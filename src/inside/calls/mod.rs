//! What is done around the functions that the library hooks. The hooks themselves are in the crate `shim`.

pub mod create;
pub mod io_uring;
pub mod ioctl;
pub mod sandbox;
pub mod setaffinity;
