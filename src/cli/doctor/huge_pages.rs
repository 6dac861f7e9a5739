//! KVM's thread that gives huge pages back which it had split (`kvm-nx-lpage-recovery`): it stops the guest for a moment.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, of_file, read};
use crate::doctor::subject::Subject;

const TOPIC: &str = "huge-pages";

/// Whether KVM splits huge pages that a guest executes from, and whether the processor needs that
/// (admin-guide/hw-vuln/multihit of the kernel's Documentation). Only on x86.
const SPLITS: &str = "/sys/module/kvm/parameters/nx_huge_pages";
const NEEDED: &str = "/sys/devices/system/cpu/vulnerabilities/itlb_multihit";

/// Looks at the parameter. The thread itself is placed with the emulator's.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let absent = Finding::ok(TOPIC, "KVM here splits none");
    let finding = of_file(subject.kernel(), TOPIC, SPLITS, Some(absent), |text| {
        // A boolean is written `Y` or `N`; `never` is not (get_nx_huge_pages in arch/x86/kvm/mmu/mmu.c).
        if ["N", "never", "0"].contains(&text) {
            return Finding::ok(TOPIC, "KVM splits none");
        }
        let has_thread =
            subject.threads().iter().any(|thread| thread.thread.comm.starts_with(b"kvm-nx-lpage"));
        let thread = if has_thread {
            "kvm-nx-lpage-recovery, a thread of the VM,"
        } else {
            "a thread, kvm-nx-lpage-recovery,"
        };
        let what = format!("KVM splits huge pages that a guest executes from, and {thread} gives them back");
        let to_do = match read(subject.kernel(), NEEDED) {
            Reading::Text(needed) if needed == "Not affected" => {
                format!("this processor does not need it; as root: echo off > {SPLITS}")
            }
            _ => format!("only if you trust your guests not to stop the host, as root: echo off > {SPLITS}"),
        };
        Finding::note(TOPIC, what).and_do(to_do)
    });
    Vec::from_iter(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    #[test]
    fn splitting_is_noted_with_its_thread() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        assert_eq!(said(&kernel, examine), ["ok huge-pages: KVM here splits none"]);
        kernel.write(SPLITS, "N\n");
        assert_eq!(said(&kernel, examine), [format!("ok huge-pages: KVM splits none ({SPLITS}: N)")]);
        kernel.write(SPLITS, "Y\n");
        vm.thread(105, "kvm-nx-lpage-re", "0");
        let note = &said(&kernel, examine)[0];
        assert!(note.contains("and kvm-nx-lpage-recovery, a thread of the VM, gives them back"), "{note}");
        assert!(note.contains("-> only if you trust your guests"), "{note}");
        kernel.write(NEEDED, "Not affected\n");
        let note = &said_of_cpus(&kernel, "1", examine)[0];
        assert!(
            note.contains("and a thread, kvm-nx-lpage-recovery, gives") && note.contains("does not need it"),
            "{note}"
        );
        kernel.deny(SPLITS);
        assert!(said(&kernel, examine)[0].starts_with("note huge-pages: not known"));
    }
}
