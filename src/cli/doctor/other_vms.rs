//! Whether other VMs may run on the CPUs.

use crate::doctor::finding::Finding;
use crate::doctor::host::SeenVm;
use crate::doctor::subject::{NOWHERE, Subject, by_whom};
use crate::doctor::words::named;
use crate::output::text::count;

const TOPIC: &str = "other-vms";

/// Looks at the threads of all other QEMUs. Where they may run everybody can read.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = subject.others().filter_map(|other| beside(subject, other)).collect();
    if let Err(failure) = &subject.host.vms {
        findings.push(Finding::note(TOPIC, format!("not all of them are known: {failure}")));
    } else if findings.is_empty() {
        let others = match subject.others().count() {
            0 => return vec![subject.unless_hidden(Finding::ok(TOPIC, "no other QEMU runs"))],
            number => count(number, "other QEMU"),
        };
        let ok = Finding::ok(TOPIC, format!("{others}; none may run on {}", named(&subject.cpus)));
        findings.push(subject.unless_hidden(ok));
    }
    findings
}

fn beside(subject: &Subject<'_, '_>, other: &SeenVm<'_>) -> Option<Finding> {
    let threads = &other.look.threads;
    let may = |cpus: &pinning::CpuSet| !cpus.intersection(&subject.cpus).is_empty();
    let first = threads.iter().find(|thread| may(&thread.thread.allowed))?;
    let number = threads.iter().filter(|thread| may(&thread.thread.allowed)).count();
    let shared = other.where_may_run(|_| true).intersection(&subject.cpus);
    let pid = other.vm.process.pid;
    let is_anywhere = threads.iter().all(|thread| subject.host.online.is_subset(&thread.thread.allowed));
    let pinned = if is_anywhere { ", which nothing keeps from any CPU," } else { "" };
    let what =
        format!("{} of {}{pinned} may run on {}", count(number, "thread"), other.vm.title(), named(&shared));
    let to_do = match subject.elsewhere() {
        Some(elsewhere) => {
            let by_whom = by_whom(subject.kernel(), other.vm.owner);
            format!("{by_whom}pinshim apply {pid} --cpus {elsewhere}")
        }
        None => NOWHERE.to_owned(),
    };
    let file = format!("/proc/{pid}/task/{}/status", first.thread.tid);
    Some(Finding::fix(TOPIC, what, to_do).read_affinity(file, &first.thread.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::vm::find::PATIENCE;
    use crate::vm::sample::web;

    const QEMU: [&str; 3] = ["/usr/bin/qemu-system-x86_64", "-name", "db"];

    #[test]
    fn another_vm_on_the_same_cpu_is_to_be_moved() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(said(&kernel, examine), ["ok other-vms: no other QEMU runs"]);
        kernel.process(200, &QEMU).thread(200, "qemu-system-x86", "0,3").thread(201, "CPU 0/KVM", "3");
        assert_eq!(said(&kernel, examine), ["ok other-vms: 1 other QEMU; none may run on CPUs 1-2"]);
        kernel.move_to(201, "2");
        let fix = "fix other-vms: 1 thread of db (PID 200) may run on CPU 2 (/proc/200/task/201/status: Cpus_allowed_list \
                   2) -> pinshim apply 200 --cpus 0,3";
        assert_eq!(said(&kernel, examine), [fix]);
        assert_eq!(said_of_cpus(&kernel, "0", examine).len(), 2, "both may run there");
    }

    #[test]
    fn a_qemu_that_is_not_pinned_may_run_there_too() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &QEMU).thread(200, "qemu-system-x86", "0-3");
        kernel.existing(200).user(7);
        assert!(said(&kernel, examine)[0].ends_with(" -> as root: pinshim apply 200 --cpus 0,3"));
        kernel.existing(200).user(1000);
        let fix = &said(&kernel, examine)[0];
        let begin =
            "fix other-vms: 1 thread of db (PID 200), which nothing keeps from any CPU, may run on CPUs 1-2 ";
        assert!(fix.starts_with(begin), "{fix}");
    }

    #[test]
    fn where_not_all_processes_were_looked_at_that_is_said() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &QEMU).thread(200, "qemu-system-x86", "3");
        kernel.slow("/proc/100/cmdline", PATIENCE * 2);
        let said = said_of_cpus(&kernel, "1", examine);
        assert!(said[0].starts_with("note other-vms: not all of them are known: looking at all"), "{said:?}");
    }
}
