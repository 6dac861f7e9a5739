//! Everything that is looked at, in the order in which it is said.

use crate::doctor::finding::Finding;
use crate::doctor::subject::Subject;
use crate::doctor::{
    cpuset, governor, guest_cores, halt_polling, huge_pages, idle_states, interrupts, irqbalance, isolation,
    kernel_threads, ksm, leases, memory, offline, other_vms, own_threads, pinned, quota, real_time,
    scheduler, siblings, steal, tick, turbo, vhost, workqueues,
};

type Examination = fn(&Subject<'_, '_>) -> Vec<Finding>;

/// What is about the VM, where there is one, and about what its threads may have.
const OF_VM: &[Examination] = &[
    pinned::examine,
    own_threads::examine,
    offline::examine,
    cpuset::examine,
    quota::examine,
    real_time::examine,
    vhost::examine,
    guest_cores::examine,
];

/// What is about the CPUs.
const OF_CPUS: &[Examination] = &[
    other_vms::examine,
    leases::examine,
    siblings::examine,
    isolation::examine,
    interrupts::examine,
    irqbalance::examine,
    workqueues::examine,
    kernel_threads::examine,
    tick::examine,
    scheduler::examine,
    governor::examine,
    idle_states::examine,
    turbo::examine,
    memory::examine,
    halt_polling::examine,
    huge_pages::examine,
    ksm::examine,
    steal::examine,
];

/// The topic of a VM that may run on all CPUs.
const ANYWHERE: &str = "host";

/// Looks at all of it. What is to be mended comes first, then what may matter.
pub(crate) fn all(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let of = |examinations: &[Examination]| -> Vec<Finding> {
        examinations.iter().flat_map(|examine| examine(subject)).collect()
    };
    let mut findings = of(OF_VM);
    if subject.is_anywhere() {
        let what = "nothing keeps its vCPUs from any CPU: what disturbs them there was not looked at";
        findings
            .push(Finding::note(ANYWHERE, what).and_do("pin it, or name CPUs: pinshim doctor --cpus SET"));
    } else {
        findings.extend(of(OF_CPUS));
    }
    findings.sort_by_key(|finding| finding.grade);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Grade;
    use crate::doctor::sample::with_vm;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{threads_of_web, web};
    use std::collections::BTreeSet;

    #[test]
    fn what_is_to_be_mended_comes_first() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(104, "1");
        with_vm(&kernel, |subject| {
            let grades: Vec<Grade> = all(subject).iter().map(|finding| finding.grade).collect();
            assert!(grades.is_sorted() && grades.first() == Some(&Grade::Fix), "{grades:?}");
        });
    }

    /// The topics in the table of the document.
    fn documented() -> BTreeSet<String> {
        let document = include_str!("../../../docs/command.md");
        let rows =
            document.lines().skip_while(|line| !line.starts_with("| topic | what is looked at |")).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        let topics = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','));
        topics.map(|topic| topic.trim().trim_matches('`').to_owned()).collect()
    }

    #[test]
    fn the_document_has_every_topic_and_no_other() {
        let kernel = FakeKernel::new();
        web(&kernel);
        for file in
            ["/proc/stat", "/proc/sys/kernel/numa_balancing", "/sys/devices/virtual/workqueue/cpumask"]
        {
            kernel.write(file, "0\n");
        }
        for node in 0..2 {
            kernel.write(format!("/sys/devices/system/node/node{node}/cpulist"), "0-3\n");
        }
        let mut topics: BTreeSet<String> =
            with_vm(&kernel, |subject| all(subject).iter().map(|finding| finding.topic.to_owned()).collect());
        topics.insert(ANYWHERE.to_owned());
        assert_eq!(topics, documented());
    }

    #[test]
    fn of_a_vm_that_may_run_anywhere_the_host_is_not_looked_at() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        (100..105).for_each(|tid| kernel.move_to(tid, "0-3"));
        with_vm(&kernel, |subject| {
            let findings = all(subject);
            assert!(findings.iter().any(|finding| finding.topic == ANYWHERE));
            assert!(!findings.iter().any(|finding| finding.topic == "interrupts"));
        });
    }
}
