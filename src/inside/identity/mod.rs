//! Finding out who a thread is: its role and its set, from QEMU's name for it.

#[forbid(unsafe_code)]
pub(crate) mod iothreads;
#[forbid(unsafe_code)]
mod pools;
pub(crate) mod qemu;
#[forbid(unsafe_code)]
pub(crate) mod role;
