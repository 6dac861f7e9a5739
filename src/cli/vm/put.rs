//! Putting a thread on its set from outside, and why that did not work.

use crate::sys::process::Process;
use crate::sys::{cpuset, user};
use pinning::{CpuSet, Tid};
use std::io;

/// Why a thread was not put on its set.
pub(crate) enum NotPut {
    /// There is no such thread any more.
    Ended,
    Because(String),
}

pub(crate) fn put(process: Process<'_>, tid: Tid, expected: &CpuSet) -> Result<(), NotPut> {
    if !process.kernel.has_thread(process.pid, tid) {
        return Err(NotPut::Ended);
    }
    let because = |why: String| Err(NotPut::Because(why));
    match process.kernel.set_affinity(tid, expected.words()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(NotPut::Ended),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return because(not_permitted(process)),
        // None of the CPUs is in its cpuset.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return because(in_the_way(process, tid, expected, &error));
        }
        Err(error) => return because(error.to_string()),
    }
    match process.kernel.affinity(tid) {
        Ok(allowed) if allowed == *expected => Ok(()),
        Ok(allowed) => {
            let cpuset = cpuset::of_thread(process, tid);
            let whose = cpuset
                .map_or(String::new(), |cpuset| format!(" ({} has {})", cpuset.file.display(), cpuset.cpus));
            because(format!("its cpuset leaves it {allowed}{whose}"))
        }
        Err(_) => Err(NotPut::Ended),
    }
}

fn not_permitted(process: Process<'_>) -> String {
    let owner = process.user().map_or("its owner".to_owned(), |uid| user::name(process.kernel, uid));
    format!("not permitted; {owner} or root (CAP_SYS_NICE) may move it")
}

fn in_the_way(process: Process<'_>, tid: Tid, expected: &CpuSet, error: &io::Error) -> String {
    match cpuset::of_thread(process, tid) {
        Some(cpuset) if cpuset.cpus.intersection(expected).is_empty() => format!(
            "its cgroup is in the way: {} has only {}; whoever made that group (libvirt, systemd, a container) \
             must give it more",
            cpuset.file.display(),
            cpuset.cpus
        ),
        _ => format!("no CPU of the set is online and in its cpuset ({error})"),
    }
}
