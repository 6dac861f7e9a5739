//! Whether the threads of a VM are where they belong, and why a QEMU is not pinned.

pub(crate) mod against_qmp;
pub(crate) mod at_start;
pub(crate) mod culprits;
pub(crate) mod diagnosis;
pub(crate) mod judge;
pub(crate) mod max_delay;
pub(crate) mod not_judged;
pub(crate) mod recorded_delays;
pub(crate) mod vhost_in_kernel;
pub(crate) mod wait;
pub(crate) mod waits;
pub(crate) mod watch;
