//! What the preload library does inside QEMU. `shim` has the functions that it exports, a few lines each, and calls in here;
//! it is a crate of its own because its hooks would take the place of the test runner's own functions.

mod affinity;
mod broker;
pub mod calls;
mod identity;
mod placing;
mod report;
mod start;
mod state;
mod sys;

pub use affinity::direct::real_pthread_setaffinity;
pub use start::shim_or_start;
pub use state::shim::Shim;
pub use sys::errno::set_errno;
pub use sys::symbol::Optional;
