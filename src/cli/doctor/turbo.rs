//! Whether a core may run faster while others rest: then the speed of a vCPU depends on what other cores do.

use crate::doctor::finding::Finding;
use crate::doctor::reading::of_file;
use crate::doctor::subject::Subject;

const TOPIC: &str = "turbo";

/// The switches of the kernel's drivers, and what they hold when it is on (admin-guide/pm/intel_pstate and cpufreq, "The
/// boost File", of the kernel's Documentation).
const SWITCHES: [(&str, &str, &str); 2] = [
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "0", "1"),
    ("/sys/devices/system/cpu/cpufreq/boost", "1", "0"),
];

/// Looks at the first switch that there is.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let finding = SWITCHES.iter().find_map(|(file, on, off)| {
        of_file(subject.kernel(), TOPIC, file, None, |text| {
            if text != *on {
                return Finding::ok(TOPIC, "no core runs faster while others rest");
            }
            let what = "a core may run faster while others rest, so that a vCPU's speed depends on them";
            let to_do = format!("for an even, lower speed, as root: echo {off} > {file}");
            Finding::note(TOPIC, what).and_do(to_do)
        })
    });
    vec![finding.unwrap_or_else(|| Finding::ok(TOPIC, "this kernel has no switch for it"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn turbo_is_noted_by_either_switch() {
        let kernel = FakeKernel::new();
        let said = || said_of_cpus(&kernel, "1", examine).remove(0);
        assert_eq!(said(), "ok turbo: this kernel has no switch for it");
        let [(intel, ..), (boost, ..)] = SWITCHES;
        kernel.write(boost, "1\n");
        let end = format!("({boost}: 1) -> for an even, lower speed, as root: echo 0 > {boost}");
        assert!(said().starts_with("note turbo: ") && said().ends_with(&end), "{}", said());
        kernel.write(boost, "0\n");
        assert_eq!(said(), format!("ok turbo: no core runs faster while others rest ({boost}: 0)"));
        kernel.write(intel, "0\n");
        assert!(said().ends_with(&format!("as root: echo 1 > {intel}")));
        kernel.write(intel, "1\n");
        assert!(said().starts_with("ok turbo: no core"));
        kernel.deny(intel);
        assert!(said().starts_with("note turbo: not known"));
    }
}
