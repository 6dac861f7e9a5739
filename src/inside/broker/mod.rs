//! The broker: a process outside QEMU's sandbox that pins QEMU's threads.
//!
//! QEMU's sandbox (`resourcecontrol=deny`, libvirt's default) answers every sched_setaffinity with EPERM. A process that
//! was forked before QEMU loaded that filter is outside it, and may set the affinity of QEMU's threads by their ids.
//!
//! `start` makes it, `client` asks it, and `manager` says when it is needed without a sandbox: these run in QEMU. `server`,
//! `isolate`, `served`, `looks`, `watch`, `online`, `expected` and `filter` are what the broker does. `message`, `shared` and `failure` are how the
//! two talk.

#[forbid(unsafe_code)]
mod client;
#[forbid(unsafe_code)]
mod expected;
#[forbid(unsafe_code)]
mod failure;
#[forbid(unsafe_code)]
mod filter;
mod isolate;
#[forbid(unsafe_code)]
mod looks;
#[forbid(unsafe_code)]
mod manager;
#[forbid(unsafe_code)]
mod message;
#[forbid(unsafe_code)]
mod online;
#[forbid(unsafe_code)]
mod served;
#[forbid(unsafe_code)]
mod server;
mod shared;
#[forbid(unsafe_code)]
mod start;
#[forbid(unsafe_code)]
mod watch;

pub(crate) use client::{ask, forget_pending, look_soon, take_over};
pub(crate) use manager::{start_where_it_is_needed, watch_new_thread};
pub(crate) use message::Answer;
pub(crate) use start::start;
