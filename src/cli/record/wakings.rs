//! The kernel's tracepoint for a thread that is woken.

use crate::sys::kernel::Kernel;
use std::path::Path;

/// Where tracefs is mounted (Documentation/trace/ftrace.rst); earlier it was in debugfs.
const FOLDERS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// What the host's first PID namespace is called: its inode never changes (include/linux/proc_ns.h, PROC_PID_INIT_INO).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The tracepoint `sched:sched_waking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wakings {
    /// Its id.
    pub(crate) id: u64,
    /// Where the woken thread's id stands in what it writes.
    pub(crate) woken_at: usize,
}

impl Wakings {
    /// The tracepoint of this kernel.
    ///
    /// # Errors
    /// Why it cannot be used, in a sentence.
    pub(crate) fn find(kernel: &dyn Kernel) -> Result<Self, String> {
        // It writes ids as that namespace has them.
        let namespace = kernel.read_link("/proc/self/ns/pid").unwrap_or_default();
        if namespace != Path::new(INITIAL_PID_NAMESPACE) {
            return Err("this command runs in a container, where threads have other ids".to_owned());
        }
        let find = |folder: &str| {
            let event = Path::new(folder).join("events/sched/sched_waking");
            let id = kernel.read_text(event.join("id")).ok()?.trim().parse().ok()?;
            Some(Self { id, woken_at: woken_at(&kernel.read_text(event.join("format")).ok()?)? })
        };
        let missing = || {
            let [folder, _] = FOLDERS;
            format!("tracefs is not mounted (mount -t tracefs none {folder}) or has no sched_waking")
        };
        FOLDERS.into_iter().find_map(find).ok_or_else(missing)
    }
}

/// The offset of the field `pid` of four bytes.
fn woken_at(format: &str) -> Option<usize> {
    let field = format.lines().find(|line| line.trim_start().starts_with("field:pid_t pid;"))?;
    let mut parts = field.split(';').map(str::trim);
    let offset = parts.find_map(|part| part.strip_prefix("offset:"))?.parse().ok()?;
    (parts.next()? == "size:4").then_some(offset)
}
