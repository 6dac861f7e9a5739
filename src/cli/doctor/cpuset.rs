//! Whether cpusets leave the VM's threads the CPUs on which they belong.

use crate::doctor::finding::Finding;
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use crate::output::text::count;
use crate::sys::cpuset::{Cpuset, of_thread, why_unreadable};
use crate::sys::process::Process;
use crate::vm::expected::VmThread;
use pinning::{CpuSet, Tid};
use std::collections::BTreeMap;
use std::path::PathBuf;

const TOPIC: &str = "cpuset";

/// Looks at the cpuset of each thread whose place is known (cpuset(7), and admin-guide/cgroup-v2 of the kernel's
/// Documentation); without a VM, at the one in which this command runs.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    match subject.vm {
        Some(seen) => of_vm(subject, seen.vm.process),
        None => vec![of_this_command(subject)],
    }
}

fn of_vm(subject: &Subject<'_, '_>, process: Process<'_>) -> Vec<Finding> {
    let mut narrow: BTreeMap<PathBuf, (Cpuset, CpuSet, Vec<&VmThread>)> = BTreeMap::new();
    let mut unreadable = None;
    for thread in subject.threads() {
        let Some(expected) = &thread.expected else { continue };
        let tid = thread.thread.tid;
        match of_thread(process, tid) {
            Some(cpuset) if !expected.is_subset(&cpuset.cpus) => {
                let missing = expected.difference(&cpuset.cpus);
                let (_, all, threads) =
                    narrow.entry(cpuset.file.clone()).or_insert_with(|| (cpuset, CpuSet::new(), Vec::new()));
                *all = all.union(&missing);
                threads.push(thread);
            }
            Some(_) => {}
            None => unreadable = unreadable.or_else(|| Some((tid, why_unreadable(process, tid)?))),
        }
    }
    let mut findings: Vec<Finding> = narrow.into_values().map(|narrow| too_narrow(&narrow)).collect();
    if let Some((tid, why)) = unreadable {
        findings.push(Finding::note(TOPIC, format!("not known of thread {tid}: {why}")));
    }
    if findings.is_empty() {
        // Without a policy nothing says where its threads belong.
        let is_known = subject.threads().iter().any(|thread| thread.expected.is_some());
        findings.extend(
            is_known.then(|| Finding::ok(TOPIC, "each thread may have all CPUs on which it belongs")),
        );
    }
    findings
}

fn too_narrow((cpuset, missing, threads): &(Cpuset, CpuSet, Vec<&VmThread>)) -> Finding {
    let names: Vec<&str> = threads.iter().take(2).map(|thread| thread.name.as_str()).collect();
    let more = if threads.len() > names.len() { ", …" } else { "" };
    let what = format!(
        "a cpuset takes {} from the set of {}: {}{more}",
        named(missing),
        count(threads.len(), "thread"),
        names.join(", ")
    );
    let to_do = match cpuset.of_libvirt() {
        Some(whose) => format!("give them the CPUs: virsh {}, or the domain's <cputune>", whose.command()),
        None => "have whoever made that cgroup give it these CPUs, or place the threads on others".to_owned(),
    };
    Finding::fix(TOPIC, what, to_do).read(&cpuset.file, cpuset.cpus.to_string())
}

fn of_this_command(subject: &Subject<'_, '_>) -> Finding {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let Ok(own) = Process::new(subject.kernel(), pid) else {
        return Finding::ok(TOPIC, "there is none");
    };
    match of_thread(own, Tid(pid)) {
        Some(cpuset) if subject.online().is_subset(&cpuset.cpus) => {
            Finding::ok(TOPIC, "a VM that is started from here may have them")
                .read(cpuset.file, cpuset.cpus.to_string())
        }
        Some(cpuset) => {
            let missing = subject.online().difference(&cpuset.cpus);
            let what = format!("a VM that is started from here may not have {}", named(&missing));
            let to_do = "start it in another cgroup, or have whoever made this one give it these CPUs";
            Finding::fix(TOPIC, what, to_do).read(cpuset.file, cpuset.cpus.to_string())
        }
        None => match why_unreadable(own, Tid(pid)) {
            Some(why) => Finding::note(TOPIC, format!("not known: {why}")),
            None => Finding::ok(TOPIC, "there is none"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{threads_of_web, web};

    #[test]
    fn a_cpuset_without_the_cpus_of_a_thread_is_named() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        let ok = "ok cpuset: each thread may have all CPUs on which it belongs";
        assert_eq!(said(&kernel, examine), [ok]);
        vm.cpuset(101, "/vm", "0-1").cpuset(102, "/vm", "0-1");
        let fix = "fix cpuset: a cpuset takes CPU 2 from the set of 1 thread: CPU 1/KVM \
                   (/sys/fs/cgroup/vm/cpuset.cpus.effective: 0-1) -> have whoever made that cgroup give it these CPUs, or \
                   place the threads on others";
        assert_eq!(said(&kernel, examine), [fix]);
        vm.cpuset(102, "/m/vcpu1", "0-1");
        assert!(
            said(&kernel, examine)[0]
                .ends_with("-> give them the CPUs: virsh vcpupin, or the domain's <cputune>")
        );
    }

    #[test]
    fn a_cgroup_that_cannot_be_read_is_not_known() {
        let kernel = FakeKernel::new();
        web(&kernel).cpuset(101, "/vm", "1");
        kernel.deny("/sys/fs/cgroup/vm");
        let note = "note cpuset: not known of thread 101: its cgroup could not be read: permission denied";
        assert_eq!(said(&kernel, examine), [note]);
    }

    #[test]
    fn a_vm_without_a_policy_belongs_nowhere() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        assert_eq!(said(&kernel, examine), [""; 0]);
    }

    #[test]
    fn cpus_beyond_the_cpuset_of_this_command_are_named() {
        let kernel = FakeKernel::new();
        assert_eq!(said_of_cpus(&kernel, "1-2", examine), ["ok cpuset: there is none"]);
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = kernel.process(pid, &["pinshim"]).thread(pid, "pinshim", "0-3").cpuset(pid, "/user", "0-1");
        assert!(
            said_of_cpus(&kernel, "1", examine)[0]
                .starts_with("ok cpuset: a VM that is started from here may have")
        );
        let fix = &said_of_cpus(&kernel, "1-2", examine)[0];
        assert!(fix.starts_with("fix cpuset: a VM that is started from here may not have CPU 2 ("), "{fix}");
        kernel.deny(format!("/proc/{pid}/task/{pid}/cgroup"));
        assert!(said_of_cpus(&kernel, "1", examine)[0].starts_with("note cpuset: not known: its cgroup"));
        let _ = own;
    }
}
