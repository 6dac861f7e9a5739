//! Finding out who a thread is: its role and its set, from QEMU's name for it.

mod pools;
pub(crate) mod qemu;
pub(crate) mod role;
