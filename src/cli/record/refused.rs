//! Why the kernel does not record, in sentences that say what would help.

use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use std::io;

/// What it takes, where this user may not (Documentation/admin-guide/sysctl/kernel.rst).
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Why not everybody is recorded.
pub(crate) fn everybody(kernel: &dyn Kernel, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => format!(
            "that takes root or CAP_PERFMON{}",
            level(kernel)
                .map(|level| format!(" (kernel.perf_event_paranoid is {level})"))
                .unwrap_or_default()
        ),
        _ => format!("the kernel refuses it: {error}"),
    }
}

/// Why not even the threads of a process are. `open_files` is how many this command may have.
pub(crate) fn threads(process: Process<'_>, error: &io::Error, open_files: Option<u64>) -> String {
    let level = level(process.kernel);
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => match (process.other_user(), level) {
            (Some(user), _) => format!("the VM belongs to {user}, and only {user} or root may record it"),
            (None, Some(level)) if level > 2 => {
                format!("kernel.perf_event_paranoid is {level}: above 2 only root or CAP_PERFMON may record")
            }
            _ => format!(
                "the kernel does not permit it ({error}); a seccomp filter or a security module may forbid it"
            ),
        },
        Some(libc::ENOSYS | libc::ENOENT) => "this kernel has no perf events (CONFIG_PERF_EVENTS)".to_owned(),
        Some(libc::EMFILE) => {
            let limit = open_files.map_or_else(String::new, |limit| format!(", {limit}"));
            format!(
                "each thread takes an open file for each CPU, more than this command may have (ulimit -Hn{limit})"
            )
        }
        _ => format!("the kernel refuses it: {error}"),
    }
}

fn level(kernel: &dyn Kernel) -> Option<i32> {
    kernel.read_text(PARANOID).ok()?.trim().parse().ok()
}
