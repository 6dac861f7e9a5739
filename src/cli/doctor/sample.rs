//! What is said in tests.

use crate::doctor::finding::Finding;
use crate::doctor::host::{Host, SeenVm};
use crate::doctor::subject::Subject;
use crate::sys::fake::{FakeKernel, cpus};
use crate::vm::find;

/// What an examination says of the VM with the PID 100.
pub(crate) fn said(kernel: &FakeKernel, examine: fn(&Subject<'_, '_>) -> Vec<Finding>) -> Vec<String> {
    with_vm(kernel, |subject| lines(examine(subject)))
}

/// What it says of CPUs.
pub(crate) fn said_of_cpus(
    kernel: &FakeKernel,
    list: &str,
    examine: fn(&Subject<'_, '_>) -> Vec<Finding>,
) -> Vec<String> {
    let host = Host::look(kernel);
    lines(examine(&Subject::cpus(&host, cpus(list))))
}

/// Looks at the VM with the PID 100.
pub(crate) fn with_vm<T>(kernel: &FakeKernel, look: impl FnOnce(&Subject<'_, '_>) -> T) -> T {
    let host = Host::look(kernel);
    let seen = SeenVm::look(find::named(kernel, "100").unwrap()).unwrap();
    look(&Subject::vm(&host, &seen))
}

/// `GRADE TOPIC: WHAT (FILE: VALUE) -> WHAT TO DO`.
fn lines(findings: Vec<Finding>) -> Vec<String> {
    let line = |finding: Finding| {
        let to_do = finding.to_do.as_ref().map(|to_do| format!(" -> {to_do}")).unwrap_or_default();
        format!("{} {}: {finding}{to_do}", finding.grade.word(), finding.topic)
    };
    findings.into_iter().map(line).collect()
}

/// Says for each CPU which ones share its core.
pub(crate) fn smt(kernel: &FakeKernel, siblings: [&str; 4]) {
    for (cpu, siblings) in (0..).zip(siblings) {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
        kernel.write(format!("{folder}/core_cpus_list"), format!("{siblings}\n"));
        kernel.write(format!("{folder}/package_cpus_list"), "0-3\n");
    }
}
