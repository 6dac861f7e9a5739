//! Whether processes are hidden from this command: then nobody knows what else runs on the CPUs.

use crate::doctor::finding::Finding;
use crate::sys::kernel::Kernel;
use crate::vm::look::runs_in_a_container;

/// Why processes may be hidden, by a file and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hidden {
    file: &'static str,
    value: String,
}

const MOUNTS: &str = "/proc/self/mounts";
const NAMESPACE: &str = "/proc/self/ns/pid";

impl Hidden {
    /// From an ordinary user by the mount option `hidepid` of /proc (proc(5)); from everybody in a container by its PID
    /// namespace (pid_namespaces(7)). `None`: all are seen.
    pub(crate) fn look(kernel: &dyn Kernel) -> Option<Self> {
        if runs_in_a_container(kernel) {
            return Some(Self { file: NAMESPACE, value: "that of a container".to_owned() });
        }
        let mounts = kernel.read_text(MOUNTS).unwrap_or_default();
        // The last one that is mounted there is seen.
        let proc = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/proc"))?;
        let mut options = proc.split(' ').nth(3)?.split(',');
        let option = options.find(|option| option.starts_with("hidepid="))?;
        let is_off = ["hidepid=0", "hidepid=off"].contains(&option);
        (!is_off && kernel.user() != 0).then(|| Self { file: MOUNTS, value: option.to_owned() })
    }

    /// What is to be said in place of "there is none".
    pub(crate) fn note(&self, topic: &'static str) -> Finding {
        let to_do = match self.file {
            NAMESPACE => "ask on the host itself",
            _ => "root sees all: sudo pinshim doctor",
        };
        let what = "not known: other processes are hidden from this command";
        Finding::note(topic, what).read(self.file, &*self.value).and_do(to_do)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus;
    use crate::doctor::{irqbalance, kernel_threads, other_vms};
    use crate::sys::fake::FakeKernel;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn said(kernel: &FakeKernel) -> Vec<String> {
        let examinations = [other_vms::examine, kernel_threads::examine, irqbalance::examine];
        examinations.into_iter().flat_map(|examine| said_of_cpus(kernel, "1", examine)).collect()
    }

    #[test]
    fn what_is_hidden_is_not_said_to_be_absent() {
        let kernel = FakeKernel::new();
        let mounted = |option: &str| kernel.write(MOUNTS, format!("proc /proc proc rw,nosuid{option} 0 0\n"));
        for open in ["", ",hidepid=0", ",hidepid=off"] {
            mounted(open);
            assert!(said(&kernel).iter().all(|line| line.starts_with("ok ")), "{:?}", said(&kernel));
        }
        mounted(",hidepid=invisible");
        let note = |topic: &str| {
            format!(
                "note {topic}: not known: other processes are hidden from this command (/proc/self/mounts: \
                 hidepid=invisible) -> root sees all: sudo pinshim doctor"
            )
        };
        assert_eq!(said(&kernel), ["other-vms", "kernel-threads", "irqbalance"].map(note));
        kernel.act_as(0);
        assert!(said(&kernel)[0].starts_with("ok "));
    }

    #[test]
    fn a_container_sees_only_its_own_processes() {
        let kernel = FakeKernel::new();
        kernel.act_as(0);
        fs::remove_file(kernel.path(NAMESPACE)).unwrap();
        symlink("pid:[4026532001]", kernel.path(NAMESPACE)).unwrap();
        assert!(
            said(&kernel)[0].ends_with("(/proc/self/ns/pid: that of a container) -> ask on the host itself")
        );
    }
}
