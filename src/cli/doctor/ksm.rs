//! Whether the kernel merges equal pages (KSM): a guest that writes to one waits for a copy, which may be on another node.

use crate::doctor::finding::Finding;
use crate::doctor::reading::of_file;
use crate::doctor::subject::Subject;

const TOPIC: &str = "ksm";

/// 1: it does (admin-guide/mm/ksm of the kernel's Documentation).
const FILE: &str = "/sys/kernel/mm/ksm/run";

/// Looks whether it does.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let none = Finding::ok(TOPIC, "the kernel merges no pages");
    let finding = of_file(subject.kernel(), TOPIC, FILE, Some(none.clone()), |text| {
        if text != "1" {
            return none;
        }
        let what = "the kernel merges equal pages of VMs, and a guest that writes to one waits for its copy";
        Finding::note(TOPIC, what)
            .and_do(format!("start QEMU with -machine mem-merge=off; or as root: echo 2 > {FILE}"))
    });
    Vec::from_iter(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn merging_is_noted() {
        let kernel = FakeKernel::new();
        let said = || said_of_cpus(&kernel, "1", examine).remove(0);
        assert_eq!(said(), "ok ksm: the kernel merges no pages");
        kernel.write(FILE, "1\n");
        assert!(
            said().starts_with("note ksm: ") && said().contains(&format!("({FILE}: 1) -> start QEMU with"))
        );
        for off in ["0", "2"] {
            kernel.write(FILE, off);
            assert_eq!(said(), format!("ok ksm: the kernel merges no pages ({FILE}: {off})"));
        }
        kernel.deny(FILE);
        assert!(said().starts_with("note ksm: not known"));
    }
}
