//! How long KVM waits for a vCPU that sleeps before its thread gives up the CPU: it wakes up faster then.

use crate::doctor::finding::Finding;
use crate::doctor::reading::of_file;
use crate::doctor::subject::Subject;

const TOPIC: &str = "halt-polling";

/// The longest such time in nanoseconds (virt/kvm/halt-polling of the kernel's Documentation).
const FILE: &str = "/sys/module/kvm/parameters/halt_poll_ns";

/// Looks at it.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let absent = Finding::ok(TOPIC, "there is no KVM here, or none that waits");
    let finding = of_file(subject.kernel(), TOPIC, FILE, Some(absent), |text| {
        if text != "0" {
            return Finding::ok(TOPIC, "KVM waits a moment before a vCPU that sleeps gives up its CPU");
        }
        let to_do = format!("where its CPU is the vCPU's alone, as root: echo 200000 > {FILE} (costs power)");
        Finding::note(TOPIC, "a vCPU that sleeps gives up its CPU at once, and wakes up slower").and_do(to_do)
    });
    Vec::from_iter(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn not_to_wait_is_noted() {
        let kernel = FakeKernel::new();
        let said = || said_of_cpus(&kernel, "1", examine).remove(0);
        assert!(said().starts_with("ok halt-polling: there is no KVM"));
        kernel.write(FILE, "0\n");
        let note = format!(
            "note halt-polling: a vCPU that sleeps gives up its CPU at once, and wakes up slower ({FILE}: 0)"
        );
        assert!(said().starts_with(&note), "{}", said());
        kernel.write(FILE, "200000\n");
        assert!(
            said().starts_with("ok halt-polling: KVM waits")
                && said().ends_with(&format!("({FILE}: 200000)"))
        );
        kernel.deny(FILE);
        assert!(said().starts_with("note halt-polling: not known"));
    }
}
