//! Everything that is looked at, in the order in which it is said.

use crate::doctor::finding::Finding;
use crate::doctor::subject::Subject;
use crate::doctor::{
    governor, interrupts, kernel_threads, leases, other_vms, own_threads, quota, siblings, workqueues,
};

type Examination = fn(&Subject<'_, '_>) -> Vec<Finding>;

/// What is about the VM: each says nothing where there is none.
const OF_VM: &[Examination] = &[own_threads::examine, quota::examine];

/// What is about the CPUs.
const OF_CPUS: &[Examination] = &[
    other_vms::examine,
    leases::examine,
    siblings::examine,
    interrupts::examine,
    kernel_threads::examine,
    workqueues::examine,
    governor::examine,
];

/// Looks at all of it. What is to be mended comes first, then what may matter.
pub(crate) fn all(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let of = |examinations: &[Examination]| -> Vec<Finding> {
        examinations.iter().flat_map(|examine| examine(subject)).collect()
    };
    let mut findings = of(OF_VM);
    if subject.is_anywhere() {
        let what = "nothing keeps its vCPUs from any CPU: what disturbs them there was not looked at";
        findings.push(Finding::note("host", what).and_do("pin it, or name CPUs: pinshim doctor --cpus SET"));
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

    #[test]
    fn of_a_vm_that_may_run_anywhere_the_host_is_not_looked_at() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        (100..105).for_each(|tid| kernel.move_to(tid, "0-3"));
        with_vm(&kernel, |subject| {
            let findings = all(subject);
            assert!(findings.iter().any(|finding| finding.topic == "host"));
            assert!(!findings.iter().any(|finding| finding.topic == "interrupts"));
        });
    }
}
