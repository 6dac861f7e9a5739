//! vhost workers that are threads of the kernel's and not of QEMU's, so that only root can move them.

use crate::doctor::finding::Finding;
use crate::doctor::subject::{NOWHERE, Subject};
use crate::doctor::words::named;
use crate::output::text::count;
use crate::sys::process::Process;
use crate::sys::threads::{self, Migrations, Thread};
use crate::verdict::vhost_in_kernel::workers;
use pinning::RoleKind;

const TOPIC: &str = "vhost";

/// So many stand in a command.
const IDS: usize = 64;

/// Looks for the workers of the VM: threads of its own from Linux 6.4 on, before that the kernel's.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(seen) = subject.vm else { return Vec::new() };
    let kernel = subject.kernel();
    let tids = workers(seen.vm.process);
    let workers: Vec<Thread> = tids
        .iter()
        .flat_map(|tid| threads::list(Process { kernel, pid: tid.0 }, Migrations::Ignore).unwrap_or_default())
        .collect();
    let there: Vec<&Thread> =
        workers.iter().filter(|worker| !worker.allowed.intersection(&subject.cpus).is_empty()).collect();
    let own = subject.threads().iter().filter(|thread| thread.role == RoleKind::Vhost).count();
    let finding = match (there.first(), workers.len()) {
        (Some(first), _) => {
            let what = format!(
                "{} of the kernel's may run on {}",
                count(there.len(), "vhost worker"),
                named(&subject.cpus)
            );
            let to_do = subject.elsewhere().map_or(NOWHERE.to_owned(), |elsewhere| {
                let ids: Vec<String> = there.iter().take(IDS).map(|worker| worker.tid.to_string()).collect();
                format!("as root: for pid in {}; do taskset -pc {elsewhere} $pid; done", ids.join(" "))
            });
            let file = format!("/proc/{}/status", first.tid);
            Finding::fix(TOPIC, what, to_do).read_affinity(file, &first.allowed)
        }
        (None, 0) if own == 0 => Finding::ok(TOPIC, "it has no vhost workers"),
        (None, 0) => {
            Finding::ok(TOPIC, format!("{} of the VM's own, placed as PIN_VHOST says", count(own, "worker")))
        }
        (None, number) => {
            let what = format!(
                "{} of the kernel's, and none may run on {}",
                count(number, "worker"),
                named(&subject.cpus)
            );
            Finding::ok(TOPIC, what)
        }
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    #[test]
    fn workers_of_the_kernels_are_to_be_moved_by_root() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        assert_eq!(said(&kernel, examine), ["ok vhost: it has no vhost workers"]);
        vm.thread(105, "vhost-100", "0");
        kernel.change(105, |thread| thread.flags = 0x4000);
        assert_eq!(said(&kernel, examine), ["ok vhost: 1 worker of the VM's own, placed as PIN_VHOST says"]);
        kernel.end(105);
        kernel.process(300, &["x"]).thread(300, "vhost-100", "0-3");
        kernel.change(300, |thread| thread.flags = 0x0020_8040);
        let fix = "fix vhost: 1 vhost worker of the kernel's may run on CPUs 1-2 (/proc/300/status: Cpus_allowed_list 0-3) -> as \
                   root: for pid in 300; do taskset -pc 0,3 $pid; done";
        assert_eq!(said(&kernel, examine), [fix]);
        kernel.move_to(300, "0");
        assert_eq!(
            said(&kernel, examine),
            ["ok vhost: 1 worker of the kernel's, and none may run on CPUs 1-2"]
        );
    }
}
