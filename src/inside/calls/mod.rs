//! What is done around the functions that the library hooks. The hooks themselves are in the crate `shim`.

pub mod create;
#[forbid(unsafe_code)]
pub mod daemon;
pub mod io_uring;
#[forbid(unsafe_code)]
pub mod ioctl;
pub mod own_filter;
pub mod prctl;
pub mod rename;
#[forbid(unsafe_code)]
pub mod sandbox;
#[forbid(unsafe_code)]
pub mod setaffinity;
