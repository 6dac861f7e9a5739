//! Leases: CPUs that a VM has for itself, so that no other VM of `run --exclusive` gets them.
//!
//! A lease is a lock (flock(2)) on a file of the CPU's. The descriptor stays open in QEMU, so that the kernel gives the
//! CPU back when QEMU ends, however it ends.

pub(crate) mod folder;
pub(crate) mod leave_open;
pub(crate) mod taken;
