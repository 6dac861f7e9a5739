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

/// Why a thread has only these CPUs of its set, if its cpuset is the reason: the kernel leaves exactly what
/// is in both. Anything else was asked for by somebody.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use crate::vm::sample::web;

    fn put_of_web(kernel: &FakeKernel, tid: i32, set: &str) -> Result<(), NotPut> {
        put(Process::new(kernel, 100).unwrap(), Tid(tid), &cpus(set))
    }

    #[test]
    fn a_thread_of_another_process_is_not_touched() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &["/bin/sh"]).thread(201, "sh", "0");
        assert_eq!(put_of_web(&kernel, 201, "1"), Err(NotPut::Ended));
        assert_eq!(put_of_web(&kernel, 99, "1"), Err(NotPut::Ended));
        assert_eq!(kernel.asked(), [""; 0]);
        assert_eq!(put_of_web(&kernel, 101, "0"), Ok(()));
        assert_eq!(kernel.asked(), ["101 on 0"]);
    }

    #[test]
    fn only_a_cpuset_that_leaves_exactly_these_cpus_is_blamed() {
        let kernel = FakeKernel::new();
        web(&kernel).cpuset(101, "/vm", "0-1").cpuset(102, "/vm2", "0-3");
        let file = "/sys/fs/cgroup/vm/cpuset.cpus.effective";
        let cut = NotPut::Because(format!("its cpuset leaves it 1 ({file} has 0-1)"));
        assert_eq!(put_of_web(&kernel, 101, "1-2"), Err(cut));
        for (tid, moved_to) in [(101, "0"), (102, "1")] {
            kernel.change(tid, |thread| thread.moved_again = vec![cpus(moved_to)]);
            assert_eq!(put_of_web(&kernel, tid, "1-2"), Err(NotPut::MovedAgain));
        }
    }

    #[test]
    fn a_set_of_offline_cpus_is_no_fault_of_the_cgroup() {
        let kernel = FakeKernel::new();
        web(&kernel).cpuset(101, "/vm", "0-7");
        let why = "no CPU of the set is online and in its cpuset (Invalid argument (os error 22))";
        assert_eq!(put_of_web(&kernel, 101, "6-7"), Err(NotPut::Because(why.to_owned())));
    }
}
