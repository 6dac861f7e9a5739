//! Whether CPUs on which threads belong are offline.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::shell;
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use pinning::CpuSet;

const TOPIC: &str = "offline";

/// The CPUs that are online (ABI/stable/sysfs-devices-system-cpu of the kernel's Documentation).
const FILE: &str = "/sys/devices/system/cpu/online";

/// So many stand in a command: a page can name tens of thousands.
const COMMAND: usize = 64;

/// Looks at the CPUs that were named, or that the VM's policy names for any of its threads.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let online = match read(subject.kernel(), FILE) {
        Reading::Text(text) => text,
        Reading::Absent => return Vec::new(),
        Reading::Failed(error) => return vec![Finding::unread(TOPIC, FILE, &error)],
    };
    let expected = subject.threads().iter().filter_map(|thread| thread.expected.as_ref());
    let all = expected.fold(subject.cpus.clone(), |all, cpus| all.union(cpus));
    let missing = all.difference(&CpuSet::parse(&online, &CpuSet::new()).unwrap_or_default());
    let finding = if missing.is_empty() {
        Finding::ok(TOPIC, format!("online: {}", named(&all)))
    } else {
        let to_do = format!(
            "as root: for cpu in {}; do echo 1 > /sys/devices/system/cpu/cpu$cpu/online; done; then pinshim apply",
            shell::each(&missing.iter().take(COMMAND).collect())
        );
        Finding::fix(TOPIC, format!("offline, and threads belong there: {}", named(&missing)), to_do)
    };
    vec![finding.read(FILE, online)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    #[test]
    fn a_cpu_that_is_offline_is_named() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(said(&kernel, examine), [format!("ok offline: online: CPUs 0-3 ({FILE}: 0-3)")]);
        kernel.write(FILE, "0-2\n");
        let fix = "fix offline: offline, and threads belong there: CPU 3 (/sys/devices/system/cpu/online: 0-2) -> as \
                   root: for cpu in 3; do echo 1 > /sys/devices/system/cpu/cpu$cpu/online; done; then pinshim apply";
        assert_eq!(said(&kernel, examine), [fix]);
        assert_eq!(said_of_cpus(&kernel, "2-3", examine), [fix]);
        assert!(said_of_cpus(&kernel, "2", examine)[0].starts_with("ok offline: online: CPU 2"));
        kernel.deny(FILE);
        assert!(said(&kernel, examine)[0].starts_with("note offline: not known"));
    }
}
