//! Whether the CPUs run at full speed, or at one that follows their load.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{of_first, per_cpu};
use crate::doctor::shell;
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use pinning::CpuSet;

const TOPIC: &str = "governor";

/// The governor of each CPU (admin-guide/pm/cpufreq of the kernel's Documentation).
const FILE: &str = "cpufreq/scaling_governor";

/// Looks at the governors.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let found = per_cpu(subject.kernel(), &subject.online(), FILE);
    if let Some((file, error)) = &found.failed {
        return vec![Finding::unread(TOPIC, file, error)];
    }
    let slow: CpuSet = found
        .values
        .iter()
        .filter(|(name, _)| *name != "performance")
        .fold(CpuSet::new(), |all, (_, cpus)| all.union(cpus));
    let Some((name, some)) = found.values.iter().max_by_key(|(name, _)| *name != "performance") else {
        let what = "this kernel does not choose the speed of these CPUs";
        return vec![Finding::ok(TOPIC, what).read(of_first(&subject.cpus, "cpufreq"), "no such folder")];
    };
    let finding = if slow.is_empty() {
        Finding::ok(TOPIC, format!("at full speed: {}", named(some)))
    } else {
        let to_do = format!(
            "as root: for cpu in {}; do echo performance > /sys/devices/system/cpu/cpu$cpu/{FILE}; done",
            shell::each(&slow)
        );
        Finding::fix(TOPIC, format!("the speed of {} follows the load, with a delay", named(&slow)), to_do)
    };
    vec![finding.read(of_first(some, FILE), name)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn a_speed_that_follows_the_load_is_to_be_set() {
        let kernel = FakeKernel::new();
        let none = "ok governor: this kernel does not choose the speed of these CPUs \
                    (/sys/devices/system/cpu/cpu1/cpufreq: no such folder)";
        assert_eq!(said(&kernel, "1-2", examine), [none]);
        let set = |cpu: u32, name: &str| {
            kernel.write(format!("/sys/devices/system/cpu/cpu{cpu}/{FILE}"), format!("{name}\n"));
        };
        set(1, "performance");
        set(2, "powersave");
        let fix = "fix governor: the speed of CPU 2 follows the load, with a delay \
                   (/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor: powersave) -> as root: for cpu in 2; do echo \
                   performance > /sys/devices/system/cpu/cpu$cpu/cpufreq/scaling_governor; done";
        assert_eq!(said(&kernel, "1-2", examine), [fix]);
        set(2, "performance");
        assert!(said(&kernel, "1-2", examine)[0].starts_with("ok governor: at full speed: CPUs 1-2 ("));
        kernel.deny("/sys/devices/system/cpu/cpu2/cpufreq");
        assert!(said(&kernel, "1-2", examine)[0].starts_with("note governor: not known"));
    }
}
