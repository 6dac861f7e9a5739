//! Work that the kernel does on any CPU: the unbound workqueues.

use crate::doctor::finding::Finding;
use crate::doctor::reading::of_file;
use crate::doctor::shell;
use crate::doctor::subject::{NOWHERE, Subject};
use crate::doctor::words::named;
use crate::sys::host_tree::cpus_of_mask;
use pinning::CpuSet;

const TOPIC: &str = "workqueues";

/// The mask of the CPUs on which it may run ("Affinity Scopes" in core-api/workqueue of the kernel's Documentation;
/// ABI/testing/sysfs-devices-virtual-workqueue... names the file). CPUs that are isolated are not in it.
const FILE: &str = "/sys/devices/virtual/workqueue/cpumask";

/// Looks at the mask.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let finding = of_file(subject.kernel(), TOPIC, FILE, None, |text| {
        let mask = cpus_of_mask(text).unwrap_or_default();
        let there = mask.intersection(&subject.cpus);
        if there.is_empty() {
            return Finding::ok(
                TOPIC,
                format!("the kernel's unbound work stays off {}", named(&subject.cpus)),
            );
        }
        let what = format!("the kernel does unbound work on {}", named(&there));
        let left: CpuSet = mask.difference(&subject.cpus);
        let left = if left.is_empty() { subject.elsewhere() } else { Some(left) };
        let to_do = left.map(|left| format!("as root: echo {} > {FILE}", shell::mask(&left)));
        Finding::fix(TOPIC, what, to_do.unwrap_or(NOWHERE.to_owned()))
    });
    Vec::from_iter(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn unbound_work_is_to_be_kept_off() {
        let kernel = FakeKernel::new();
        assert_eq!(said(&kernel, "1-2", examine), [""; 0], "a kernel without the file");
        kernel.write(FILE, "f\n");
        let fix = format!(
            "fix workqueues: the kernel does unbound work on CPUs 1-2 ({FILE}: f) -> as root: echo 9 > {FILE}"
        );
        assert_eq!(said(&kernel, "1-2", examine), [fix]);
        assert!(said(&kernel, "0-3", examine)[0].ends_with(NOWHERE));
        kernel.write(FILE, "00000009\n");
        let ok = format!("ok workqueues: the kernel's unbound work stays off CPUs 1-2 ({FILE}: 00000009)");
        assert_eq!(said(&kernel, "1-2", examine), [ok]);
        kernel.deny(FILE);
        assert!(said(&kernel, "1-2", examine)[0].starts_with("note workqueues: not known"));
    }
}
