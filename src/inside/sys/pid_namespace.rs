//! Whether the ids that the kernel writes into the names of its threads are those that this process knows.

use crate::sys::path::StackPath;
use std::ffi::CStr;

/// What the link in /proc says of the PID namespace that the host has booted with: its inode never changes
/// (include/uapi/linux/nsfs.h and include/linux/proc_ns.h, PROC_PID_INIT_INO).
const INITIAL: &CStr = c"pid:[4026531836]";

/// Whether this process is in the PID namespace that the host has booted with. The kernel names an io_uring worker after
/// the id that its submitter has there (io_uring/io-wq.c, `iou-wrk-%d` with `task->pid`). In a container the process knows
/// its threads by other ids, and sees no way from these to those (pid_namespaces(7)). `false` where that cannot be read.
pub(crate) fn is_initial() -> bool {
    StackPath::of_link(libc::AT_FDCWD, c"/proc/self/ns/pid").as_c_str() == INITIAL
}
