//! Putting a thread on its set from outside, and why that did not work.

use crate::sys::process::Process;
use crate::sys::{cpuset, user};
use pinning::{CpuSet, Tid};
use std::io;

/// Why a thread is not on its set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotPut {
    /// There is no such thread any more.
    Ended,
    /// It was put on its set, and somebody else has moved it since.
    MovedAgain,
    /// It cannot be put there; here is why, in a sentence.
    Because(String),
}

/// Puts a thread of a process on a set, and reads back whether it is there.
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
        Ok(allowed) => Err(cut(process, tid, expected, &allowed).map_or(NotPut::MovedAgain, NotPut::Because)),
        Err(_) => Err(NotPut::Ended),
    }
}

/// Why a thread has only these CPUs of its set, if its cpuset is the reason: the kernel leaves exactly what is
/// in both. Anything else was asked for by somebody.
fn cut(process: Process<'_>, tid: Tid, expected: &CpuSet, allowed: &CpuSet) -> Option<String> {
    let cpuset = cpuset::of_thread(process, tid);
    let online = cpuset::online(process.kernel);
    let is_cut = match &cpuset {
        Some(cpuset) => *allowed == expected.intersection(&cpuset.cpus).intersection(&online),
        None => allowed.is_subset(expected),
    };
    let whose =
        cpuset.map_or(String::new(), |cpuset| format!(" ({} has {})", cpuset.file.display(), cpuset.cpus));
    is_cut.then(|| format!("its cpuset leaves it {allowed}{whose}"))
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
