//! Whether a cgroup of the VM's stops its threads once they have had so much time: they wait for the next period then.
//!
//! In version 2 of cgroups that is `cpu.max` of the group or of any above it (admin-guide/cgroup-v2 of the kernel's
//! Documentation), in version 1 `cpu.cfs_quota_us` and `cpu.cfs_period_us` (scheduler/sched-bwc).

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::shell;
use crate::doctor::subject::Subject;
use crate::sys::cgroup;
use crate::vm::expected::VmThread;
use std::collections::BTreeSet;
use std::path::PathBuf;

const TOPIC: &str = "quota";

/// A file that has a quota, and what it has without one.
const FILES: [(&str, &str); 2] = [("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")];

/// Looks at the groups of all threads, and at those above them.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(seen) = subject.vm else { return Vec::new() };
    let mut groups: BTreeSet<PathBuf> = BTreeSet::new();
    for VmThread { thread, .. } in subject.threads() {
        match cgroup::folders_of(seen.vm.process, thread.tid, "cpu") {
            Ok(folders) => groups.extend(folders),
            Err(error) => {
                let file = seen.vm.process.file(&format!("task/{}/cgroup", thread.tid));
                return vec![Finding::unread(TOPIC, file, &error)];
            }
        }
    }
    let mut findings = Vec::new();
    let mut looked_at = 0;
    for group in groups {
        for (name, none) in FILES {
            let file = group.join(name);
            match read(subject.kernel(), &file) {
                Reading::Text(text) => {
                    looked_at += 1;
                    if !text.starts_with(none) {
                        let what = "a cgroup stops the VM's threads when they have used up their time";
                        let to_do = format!("as root: echo {none} > {}", shell::path(&file, "that file"));
                        findings.push(Finding::fix(TOPIC, what, to_do).read(&file, text));
                    }
                }
                Reading::Absent => {}
                Reading::Failed(error) => findings.push(Finding::unread(TOPIC, &file, &error)),
            }
        }
    }
    if findings.is_empty() {
        let what = if looked_at == 0 { "no cgroup of the VM's has one" } else { "its cgroups have none" };
        findings.push(Finding::ok(TOPIC, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    fn in_groups(kernel: &FakeKernel, mounts: &str, of: impl Fn(i32) -> String) {
        let vm = web(kernel);
        kernel.write("/proc/self/mounts", mounts);
        for tid in 100..105 {
            let _ = vm.write(&format!("task/{tid}/cgroup"), of(tid));
        }
    }

    #[test]
    fn a_quota_of_any_group_above_is_to_be_taken_away() {
        let kernel = FakeKernel::new();
        in_groups(&kernel, "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", |tid| format!("0::/vm s/x/t{tid}\n"));
        kernel.write("/sys/fs/cgroup/vm s/cpu.max", "max 100000\n");
        assert_eq!(said(&kernel, examine), ["ok quota: its cgroups have none"]);
        kernel.write("/sys/fs/cgroup/vm s/cpu.max", "50000 100000\n");
        kernel.write("/sys/fs/cgroup/vm s/x/t101/cpu.max", "max 100000\n");
        let fix = "fix quota: a cgroup stops the VM's threads when they have used up their time \
                   (/sys/fs/cgroup/vm s/cpu.max: 50000 100000) -> as root: echo max > '/sys/fs/cgroup/vm s/cpu.max'";
        assert_eq!(said(&kernel, examine), [fix]);
        kernel.deny("/sys/fs/cgroup/vm s/cpu.max");
        assert!(said(&kernel, examine)[0].starts_with("note quota: not known"));
        kernel.deny("/proc/100/task/103/cgroup");
        assert!(said(&kernel, examine)[0].contains("(/proc/100/task/103/cgroup: permission denied)"));
    }

    #[test]
    fn version_1_has_another_file() {
        let kernel = FakeKernel::new();
        let mounts = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n";
        in_groups(&kernel, mounts, |_| "2:cpu,cpuacct:/machine/web\n0::/\n".to_owned());
        kernel.write("/sys/fs/cgroup/cpu,cpuacct/machine/cpu.cfs_quota_us", "-1\n");
        assert_eq!(said(&kernel, examine), ["ok quota: its cgroups have none"]);
        kernel.write("/sys/fs/cgroup/cpu,cpuacct/machine/web/cpu.cfs_quota_us", "200000\n");
        let fix = &said(&kernel, examine)[0];
        let end = "-> as root: echo -1 > /sys/fs/cgroup/cpu,cpuacct/machine/web/cpu.cfs_quota_us";
        assert!(fix.starts_with("fix quota: ") && fix.ends_with(end), "{fix}");
    }

    #[test]
    fn a_group_whose_name_would_leave_its_quotes_is_in_no_command() {
        let kernel = FakeKernel::new();
        in_groups(&kernel, "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", |_| "0::/x'$(reboot)'\n".to_owned());
        kernel.write("/sys/fs/cgroup/x'$(reboot)'/cpu.max", "1000 100000\n");
        assert!(said(&kernel, examine)[0].ends_with(" -> as root: echo max > that file"));
    }
}
