//! Whether threads are where they belong, judged from what was seen, and why a QEMU is not pinned.

pub(crate) mod against_qmp;
pub(crate) mod diagnosis;
pub(crate) mod judge;
pub(crate) mod watch;
