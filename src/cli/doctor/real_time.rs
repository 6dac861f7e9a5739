//! Limits on threads with a real-time class, where the VM has such threads.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::shell;
use crate::doctor::subject::Subject;
use crate::sys::cgroup;
use crate::vm::expected::VmThread;

const TOPIC: &str = "real-time";

/// So much of each period such threads may run, in microseconds; -1 for all of it (scheduler/sched-rt-group of the kernel's
/// Documentation).
const RUNTIME: &str = "/proc/sys/kernel/sched_rt_runtime_us";
const PERIOD: &str = "/proc/sys/kernel/sched_rt_period_us";

/// From this version on the kernel stops them no more: ordinary threads that wait have 50 ms of each second by a deadline of
/// their own ("fair server", kernel/sched/deadline.c).
const NO_LONGER: (u32, u32) = (6, 12);

/// Looks at the limit of the host, and at that of a group in version 1 of cgroups, without which no thread in it gets the class.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(seen) = subject.vm else { return Vec::new() };
    let Some(first) = subject.threads().iter().find(|thread| thread.class.is_real_time()) else {
        return vec![Finding::ok(TOPIC, "no thread has a real-time class, or should have one")];
    };
    let group = of_group(subject, first).map_err(|error| {
        let file = seen.vm.process.file(&format!("task/{}/cgroup", first.thread.tid));
        Finding::unread(TOPIC, file, &error)
    });
    let group = group.unwrap_or_else(Some);
    vec![of_host(subject)].into_iter().chain(group).collect()
}

fn of_host(subject: &Subject<'_, '_>) -> Finding {
    let text = match read(subject.kernel(), RUNTIME) {
        Reading::Text(text) => text,
        Reading::Absent => return Finding::ok(TOPIC, "the kernel sets it no limit"),
        Reading::Failed(error) => return Finding::unread(TOPIC, RUNTIME, &error),
    };
    let period = match read(subject.kernel(), PERIOD) {
        Reading::Text(text) => text,
        _ => "1000000".to_owned(),
    };
    let is_limited = text
        .parse::<i64>()
        .is_ok_and(|runtime| runtime >= 0 && period.parse().is_ok_and(|period| runtime < period));
    let finding = if !is_limited {
        Finding::ok(TOPIC, "the kernel stops no thread of a real-time class")
    } else if version(subject) >= Some(NO_LONGER) {
        let what = "the kernel stops no thread of a real-time class, but for ordinary threads that wait on its CPU (50 ms of \
                    each second)";
        Finding::ok(TOPIC, what)
    } else {
        let what = format!("the kernel stops threads of a real-time class after {text} of each {period} µs");
        let to_do = format!(
            "if each has its CPU for itself, as root: echo -1 > {RUNTIME} (one that never sleeps keeps the kernel off its CPU)"
        );
        Finding::fix(TOPIC, what, to_do)
    };
    finding.read(RUNTIME, text)
}

/// What the thread's group says, and those above it: with CONFIG_RT_GROUP_SCHED a group that was given nothing has 0.
fn of_group(subject: &Subject<'_, '_>, thread: &VmThread) -> std::io::Result<Option<Finding>> {
    let Some(seen) = subject.vm else { return Ok(None) };
    for group in cgroup::folders_of(seen.vm.process, thread.thread.tid, "cpu")? {
        let file = group.join("cpu.rt_runtime_us");
        match read(subject.kernel(), &file) {
            Reading::Text(text) if text == "0" => {
                let what = "its cgroup gives threads of a real-time class no time, so that the kernel refuses the class";
                let to_do = format!(
                    "as root: echo 900000 > {}, after the groups above it",
                    shell::path(&file, "that file")
                );
                return Ok(Some(Finding::fix(TOPIC, what, to_do).read(&file, text)));
            }
            Reading::Failed(error) => return Ok(Some(Finding::unread(TOPIC, &file, &error))),
            _ => {}
        }
    }
    Ok(None)
}

/// The kernel's version, `6.12` of `6.12.3-amd64`.
fn version(subject: &Subject<'_, '_>) -> Option<(u32, u32)> {
    let release = subject.kernel().read_text("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;
    use pinning::{Class, ClassKind};

    fn with_a_real_time_vcpu() -> FakeKernel {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.change(101, |thread| {
            thread.class = Class { kind: ClassKind::Fifo, value: Some(1), slice_us: 0 }
        });
        kernel.write("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        kernel.write(RUNTIME, "950000\n");
        kernel.write(PERIOD, "1000000\n");
        kernel
    }

    #[test]
    fn a_vm_without_such_threads_is_not_concerned() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(
            said(&kernel, examine),
            ["ok real-time: no thread has a real-time class, or should have one"]
        );
    }

    #[test]
    fn threads_that_are_stopped_are_said_to_be_so_on_old_kernels() {
        let kernel = with_a_real_time_vcpu();
        let fix = "fix real-time: the kernel stops threads of a real-time class after 950000 of each 1000000 µs \
                   (/proc/sys/kernel/sched_rt_runtime_us: 950000) -> if each has its CPU for itself, as root: echo -1 > \
                   /proc/sys/kernel/sched_rt_runtime_us (one that never sleeps keeps the kernel off its CPU)";
        assert_eq!(said(&kernel, examine), [fix]);
        kernel.write(RUNTIME, "-1\n");
        assert!(
            said(&kernel, examine)[0]
                .starts_with("ok real-time: the kernel stops no thread of a real-time class (")
        );
        kernel.write(RUNTIME, "950000\n");
        kernel.write("/proc/sys/kernel/osrelease", "6.12.3\n");
        assert!(
            said(&kernel, examine)[0]
                .starts_with("ok real-time: the kernel stops no thread of a real-time class, but")
        );
        kernel.deny(RUNTIME);
        assert!(said(&kernel, examine)[0].starts_with("note real-time: not known"));
    }

    #[test]
    fn a_group_without_time_is_to_be_given_some() {
        let kernel = with_a_real_time_vcpu();
        kernel.write(RUNTIME, "-1\n");
        kernel.write("/proc/self/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
        kernel.write("/proc/100/task/101/cgroup", "1:cpu:/machine/web\n");
        let file = "/sys/fs/cgroup/cpu/machine/web/cpu.rt_runtime_us";
        kernel.write(file, "0\n");
        let fix = &said(&kernel, examine)[1];
        assert!(
            fix.starts_with("fix real-time: its cgroup gives")
                && fix.contains(&format!("echo 900000 > {file}")),
            "{fix}"
        );
        kernel.write(file, "900000\n");
        assert_eq!(said(&kernel, examine).len(), 1);
        kernel.deny("/proc/100/task/101/cgroup");
        assert!(said(&kernel, examine)[1].starts_with("note real-time: not known"));
    }
}
