//! Whether the kernel keeps other programs off the CPUs, and whether threads are spread over CPUs that it keeps free.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::subject::{NOWHERE, Subject};
use crate::doctor::words::named;
use crate::output::text::count;
use crate::vm::expected::VmThread;
use pinning::CpuSet;

const TOPIC: &str = "isolation";

/// CPUs that are isolated since the start (`isolcpus=` in admin-guide/kernel-parameters of the kernel's Documentation).
const BOOT: &str = "/sys/devices/system/cpu/isolated";

/// CPUs that are in isolated partitions (admin-guide/cgroup-v2; Linux 6.7), where version 2 of cgroups is mounted.
const PARTITIONS: [&str; 2] =
    ["/sys/fs/cgroup/cpuset.cpus.isolated", "/sys/fs/cgroup/unified/cpuset.cpus.isolated"];

/// Looks at both, and at threads that the kernel would not spread.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut isolated = CpuSet::new();
    let mut said = Vec::new();
    for file in [BOOT].iter().chain(&PARTITIONS) {
        match read(subject.kernel(), file) {
            Reading::Text(text) => {
                isolated = isolated.union(&CpuSet::parse(&text, &CpuSet::new()).unwrap_or_default());
                said.push((*file, if text.is_empty() { "none".to_owned() } else { text }));
            }
            Reading::Absent => {}
            Reading::Failed(error) => return vec![Finding::unread(TOPIC, file, &error)],
        }
    }
    let mut findings = vec![others_kept_off(subject, &isolated)];
    findings.extend(not_spread(subject, &isolated));
    if let Some(first) = findings.first_mut() {
        *first = said.into_iter().fold(first.clone(), |finding, (file, text)| finding.read(file, text));
    }
    findings
}

fn others_kept_off(subject: &Subject<'_, '_>, isolated: &CpuSet) -> Finding {
    let open = subject.cpus.difference(isolated);
    if open.is_empty() {
        return Finding::ok(TOPIC, format!("the kernel puts no other program on {}", named(&subject.cpus)));
    }
    let what = format!("any program that is not kept off may run on {}", named(&open));
    let to_do = match subject.host.online.difference(&subject.cpus) {
        rest if rest.is_empty() => NOWHERE.to_owned(),
        rest => format!(
            "as root, with systemd and cgroups v2: for unit in system.slice user.slice init.scope; do systemctl \
             set-property --runtime $unit AllowedCPUs={rest}; done; or at boot: isolcpus=domain,managed_irq,{}",
            subject.cpus
        ),
    };
    Finding::note(TOPIC, what).and_do(to_do)
}

/// Threads that may run on several CPUs, all of them isolated: there the scheduler balances no load, so that they stay where
/// they happen to be, all on one CPU at worst.
fn not_spread(subject: &Subject<'_, '_>, isolated: &CpuSet) -> Option<Finding> {
    let is_one = |thread: &&VmThread| {
        let allowed = &thread.thread.allowed;
        allowed.len() > 1 && allowed.is_subset(isolated)
    };
    let threads: Vec<&VmThread> = subject.threads().iter().filter(is_one).collect();
    let first = threads.first().filter(|_| threads.len() > 1)?;
    let pid = subject.vm?.vm.process.pid;
    let cpus = &first.thread.allowed;
    let what = format!(
        "{} may run on several CPUs that are isolated, such as {cpus}: the kernel does not spread them, and all may stay on \
         one",
        count(threads.len(), "thread")
    );
    let to_do = "give each a CPU of its own (PIN_VCPUS=2,3 in place of '*@[2-3]'), and all others CPUs that are not isolated";
    let file = format!("/proc/{pid}/task/{}/status", first.thread.tid);
    Some(Finding::fix(TOPIC, what, to_do).read_affinity(file, cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    #[test]
    fn cpus_that_others_may_use_are_noted_and_isolated_ones_are_as_they_should_be() {
        let kernel = FakeKernel::new();
        kernel.write(BOOT, "\n");
        let of = |list: &str| said_of_cpus(&kernel, list, examine).remove(0);
        let note = "note isolation: any program that is not kept off may run on CPUs 1-2 (/sys/devices/system/cpu/isolated: \
                    none) -> as root, with systemd and cgroups v2: for unit in system.slice user.slice init.scope; do \
                    systemctl set-property --runtime $unit AllowedCPUs=0,3; done; or at boot: \
                    isolcpus=domain,managed_irq,1-2";
        assert_eq!(of("1-2"), note);
        assert!(of("0-3").ends_with(NOWHERE));
        kernel.write(BOOT, "1\n");
        kernel.write(PARTITIONS[0], "2\n");
        let ok = "ok isolation: the kernel puts no other program on CPUs 1-2 (/sys/devices/system/cpu/isolated: 1; \
                  /sys/fs/cgroup/cpuset.cpus.isolated: 2)";
        assert_eq!(of("1-2"), ok);
        assert!(of("1-3").starts_with("note isolation: any program that is not kept off may run on CPU 3"));
        kernel.deny(PARTITIONS[0]);
        assert!(of("1-2").starts_with("note isolation: not known"));
    }

    #[test]
    fn threads_that_share_isolated_cpus_are_to_be_told_apart() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.write(BOOT, "1-2\n");
        assert_eq!(said(&kernel, examine).len(), 1);
        kernel.move_to(101, "1-2");
        assert_eq!(said(&kernel, examine).len(), 1, "one alone has them for itself");
        kernel.move_to(102, "1-2");
        let fix = &said(&kernel, examine)[1];
        let begin = "fix isolation: 2 threads may run on several CPUs that are isolated, such as 1-2: ";
        assert!(
            fix.starts_with(begin) && fix.contains("(/proc/100/task/101/status: Cpus_allowed_list 1-2)"),
            "{fix}"
        );
    }
}
