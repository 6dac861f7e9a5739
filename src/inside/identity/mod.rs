//! Who a thread is: from QEMU's name for it to role, set and home.

mod pools;
pub(crate) mod qemu;
pub(crate) mod role;
