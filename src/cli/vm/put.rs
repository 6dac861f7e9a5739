//! Putting a thread on its set from outside, and why that did not work.

use crate::sys::process::Process;
use crate::sys::threads::Thread;
use crate::sys::{cpuset, user};
use crate::vm::look::Vm;
use pinning::{Class, CpuSet, Tid};
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

/// Puts a thread of a VM on a set, and reads back whether it is there.
///
/// The kernel moves whatever thread has the id. So the thread must be the one that was looked at, before it is
/// moved and again after it. In between it may have ended, and another have got its id: that one gets back the
/// CPUs that it had.
pub(crate) fn put(vm: &Vm<'_>, thread: &Thread, expected: &CpuSet) -> Result<(), NotPut> {
    let (process, kernel, tid) = (vm.process, vm.process.kernel, thread.tid);
    if !vm.held.has(thread.key()) {
        return Err(NotPut::Ended);
    }
    // Read last: these are the CPUs of whoever has the id now.
    let Ok(before) = kernel.affinity(tid) else { return Err(NotPut::Ended) };
    let because = |why: String| Err(NotPut::Because(why));
    let moved = kernel.set_affinity(tid, expected.words());
    if !vm.held.has(thread.key()) {
        if moved.is_ok() {
            // Where that fails, no thread has the id any more.
            let _ = kernel.set_affinity(tid, before.words());
        }
        return Err(NotPut::Ended);
    }
    match moved {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(NotPut::Ended),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return because(not_permitted(process)),
        // None of the CPUs is in its cpuset.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return because(in_the_way(process, tid, expected, &error));
        }
        Err(error) => return because(error.to_string()),
    }
    match kernel.affinity(tid) {
        Ok(allowed) if allowed == *expected => Ok(()),
        Ok(allowed) => Err(cut(process, tid, expected, &allowed).map_or(NotPut::MovedAgain, NotPut::Because)),
        Err(_) => Err(NotPut::Ended),
    }
}

/// Gives a thread of a VM a scheduling class.
///
/// As for [`put`], it must be the thread that was looked at, before and after. One of another process that has got its id in
/// between gets back what it had.
pub(crate) fn give_class(vm: &Vm<'_>, thread: &Thread, class: Class) -> Result<(), NotPut> {
    let (process, kernel, tid) = (vm.process, vm.process.kernel, thread.tid);
    if !vm.held.has(thread.key()) {
        return Err(NotPut::Ended);
    }
    let Ok(before) = kernel.class(tid) else { return Err(NotPut::Ended) };
    let given = kernel.set_class(tid, class);
    if !vm.held.has(thread.key()) {
        if let (Ok(()), Some(before)) = (given, before) {
            // Where that fails, no thread has the id any more.
            let _ = kernel.set_class(tid, Class { slice_us: 0, ..before });
        }
        return Err(NotPut::Ended);
    }
    match given {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(NotPut::Ended),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            return Err(NotPut::Because(class_not_permitted(process, class)));
        }
        Err(error) => return Err(NotPut::Because(error.to_string())),
    }
    match kernel.class(tid) {
        Ok(Some(now)) if class.is_met_by(now) => Ok(()),
        // Before Linux 6.12 the kernel takes a slice and has none.
        Ok(Some(now)) if now.slice_us == 0 && Class { slice_us: 0, ..class }.is_met_by(now) => Ok(()),
        Ok(_) => Err(NotPut::MovedAgain),
        Err(_) => Err(NotPut::Ended),
    }
}

/// Who may give a class (sched(7), "Privileges and resource limits").
fn class_not_permitted(process: Process<'_>, class: Class) -> String {
    let owner = process.user().map_or("its owner".to_owned(), |uid| user::name(process.kernel, uid));
    let value = class.value.unwrap_or(0);
    let limit = if class.kind.has_priority() {
        format!("RLIMIT_RTPRIO of {value}")
    } else {
        format!("RLIMIT_NICE of {}", 20 - i32::from(value))
    };
    format!(
        "not permitted; root (CAP_SYS_NICE) may give it, in a cgroup that may have it, or {owner} where its QEMU has an \
         {limit}"
    )
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
    let whose = match cpuset {
        Some(cpuset) => format!(" ({} has {})", cpuset.file.display(), cpuset.cpus),
        None => cpuset::why_unreadable(process, tid).map_or(String::new(), |why| format!(" ({why})")),
    };
    is_cut.then(|| format!("its cpuset leaves it {allowed}{whose}"))
}

fn not_permitted(process: Process<'_>) -> String {
    let owner = process.user().map_or("its owner".to_owned(), |uid| user::name(process.kernel, uid));
    format!("not permitted; {owner} or root (CAP_SYS_NICE) may move it")
}

fn in_the_way(process: Process<'_>, tid: Tid, expected: &CpuSet, error: &io::Error) -> String {
    let online = cpuset::online(process.kernel);
    if !online.is_empty() && online.intersection(expected).is_empty() {
        return format!("none of its CPUs is online; these are: {online}");
    }
    match cpuset::of_thread(process, tid) {
        Some(cpuset) if cpuset.cpus.intersection(expected).is_empty() => format!(
            "its cgroup is in the way: {} has only {}; whoever made that group (libvirt, systemd, a container) \
             must give it more",
            cpuset.file.display(),
            cpuset.cpus
        ),
        Some(_) => format!("no CPU of the set is online and in its cpuset ({error})"),
        None => {
            let why = cpuset::why_unreadable(process, tid).unwrap_or_else(|| error.to_string());
            format!("no CPU of the set is online and in its cpuset ({why})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use crate::vm::look::Ask;
    use crate::vm::sample::web;
    use pinning::ClassKind;

    /// Puts a thread of `web` on a set, after what happens once it was looked at.
    fn put_after(kernel: &FakeKernel, tid: i32, set: &str, happens: impl FnOnce()) -> Result<(), NotPut> {
        let vm = Vm::new(Process::new(kernel, 100).unwrap());
        let threads = vm.look(&Ask::default()).unwrap().threads;
        let thread = threads.into_iter().find(|of| of.thread.tid == Tid(tid)).unwrap().thread;
        happens();
        put(&vm, &thread, &cpus(set))
    }

    fn put_of_web(kernel: &FakeKernel, tid: i32, set: &str) -> Result<(), NotPut> {
        put_after(kernel, tid, set, || {})
    }

    /// Ends thread 101 of `web`, and gives its id to a thread of another process, which may run on CPUs 2 and 3.
    fn give_away(kernel: &FakeKernel) {
        kernel.end(101);
        kernel.process(900, &["/bin/sh"]).thread(101, "sh", "2-3");
        kernel.change(101, |thread| thread.started = 9000);
    }

    #[test]
    fn a_thread_of_another_process_is_not_touched() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(put_of_web(&kernel, 101, "0"), Ok(()));
        assert_eq!(kernel.asked(), ["101 on 0"]);
        assert_eq!(put_after(&kernel, 101, "1", || give_away(&kernel)), Err(NotPut::Ended));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_process_that_has_the_id_of_a_vm_that_ended_is_not_touched() {
        for has_pidfds in [true, false] {
            let kernel = FakeKernel::new();
            if !has_pidfds {
                kernel.without_pidfds();
            }
            web(&kernel);
            let again = || {
                kernel.end_process(100);
                let process = kernel.process(100, &["/bin/sh"]);
                process.thread(100, "sh", "0-3").thread(101, "sh", "0-3");
                // The process was started later; a thread of its own seems to be the same.
                kernel.change(100, |thread| thread.started = 9000);
            };
            assert_eq!(put_after(&kernel, 101, "1", again), Err(NotPut::Ended));
            assert_eq!(kernel.asked(), [""; 0], "pidfds: {has_pidfds}");
        }
    }

    #[test]
    fn a_later_thread_of_the_same_id_and_process_is_not_touched() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let again = || kernel.change(101, |thread| thread.started = 9000);
        assert_eq!(put_after(&kernel, 101, "0", again), Err(NotPut::Ended));
        assert_eq!(kernel.asked(), [""; 0]);
    }

    #[test]
    fn a_thread_that_got_the_id_in_between_gets_its_cpus_back() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "0");
        let happens = || kernel.before_reading(give_away);
        assert_eq!(put_after(&kernel, 101, "1", happens), Err(NotPut::Ended));
        assert_eq!(kernel.asked(), ["101 on 1", "101 on 2-3"]);
        assert_eq!(kernel.allowed(101), "2-3");
    }

    #[test]
    fn a_refusal_for_a_thread_that_got_the_id_in_between_is_no_refusal_of_ours() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let happens = || {
            kernel.before_request(|kernel| {
                give_away(kernel);
                kernel.change(101, |thread| thread.refusal = Some(libc::EPERM));
            });
        };
        assert_eq!(put_after(&kernel, 101, "1", happens), Err(NotPut::Ended));
        assert_eq!((kernel.asked(), kernel.allowed(101)), (vec!["101 on 1".to_owned()], "2-3".to_owned()));
    }

    /// Gives a thread of `web` the class FIFO 1, after what happens once it was looked at.
    fn give_after(kernel: &FakeKernel, tid: i32, happens: impl FnOnce()) -> Result<(), NotPut> {
        let vm = Vm::new(Process::new(kernel, 100).unwrap());
        let threads = vm.look(&Ask::default()).unwrap().threads;
        let thread = threads.into_iter().find(|of| of.thread.tid == Tid(tid)).unwrap().thread;
        happens();
        give_class(&vm, &thread, Class { kind: ClassKind::Fifo, value: Some(1), slice_us: 0 })
    }

    #[test]
    fn a_class_is_given_to_the_thread_that_was_looked_at_and_to_no_other() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(give_after(&kernel, 101, || {}), Ok(()));
        assert_eq!(kernel.asked(), ["101 as fifo:1"]);
        assert_eq!(give_after(&kernel, 101, || give_away(&kernel)), Err(NotPut::Ended));
        assert_eq!(kernel.asked(), [""; 0]);
        let kernel = FakeKernel::new();
        web(&kernel);
        let happens = || kernel.before_request(give_away);
        assert_eq!(give_after(&kernel, 101, happens), Err(NotPut::Ended));
        assert_eq!(kernel.asked(), ["101 as fifo:1", "101 as other:0"]);
    }

    #[test]
    fn a_class_that_is_not_permitted_says_who_may_give_it() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.change(101, |thread| thread.class_refusal = Some(libc::EPERM));
        let why = "not permitted; root (CAP_SYS_NICE) may give it, in a cgroup that may have it, or user alice where its QEMU \
                   has an RLIMIT_RTPRIO of 1";
        assert_eq!(give_after(&kernel, 101, || {}), Err(NotPut::Because(why.to_owned())));
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
        let why = "none of its CPUs is online; these are: 0-3";
        assert_eq!(put_of_web(&kernel, 101, "6-7"), Err(NotPut::Because(why.to_owned())));
    }
}
