//! vhost workers that are no threads of QEMU, and so nobody's to place but root's: before Linux 6.4, and later where the
//! module's parameter `fork_from_owner_default` is 0, the kernel makes them for itself (drivers/vhost/vhost.c).

use crate::output::text::count;
use crate::sys::process::Process;
use crate::sys::threads;
use crate::vm::expected::VmThread;
use crate::vm::look::Vm;
use pinning::{Policy, RoleKind, Tid};

/// So many commands are given.
const COMMANDS: usize = 4;

/// Sentences on a VM's workers that `PIN_VHOST` names and that are the kernel's own, and on what root can do.
pub(crate) fn notes(vm: &Vm<'_>, policy: &Policy, own: &[VmThread]) -> Vec<String> {
    let is_placed = policy.entries().iter().any(|(name, _)| name == "PIN_VHOST");
    if !is_placed || own.iter().any(|thread| thread.role == RoleKind::Vhost) {
        return Vec::new();
    }
    let workers = workers(vm.process);
    if workers.is_empty() {
        return Vec::new();
    }
    let all = count(workers.len(), "vhost worker");
    let mut notes = vec![format!(
        "{all} not placed: the kernel makes them for itself and not as threads of QEMU (before Linux 6.4, or with \
         fork_from_owner_default=0 in the module vhost), so only root can move them"
    )];
    let set = |order| policy.set(policy.vhost(order));
    let commands =
        (0u32..).zip(&workers).map(|(order, tid)| format!("as root: taskset -pc {} {tid}", set(order)));
    notes.extend(commands.take(COMMANDS));
    let more = workers.len().saturating_sub(COMMANDS);
    notes.extend((more > 0).then(|| format!("and {more} more")));
    notes
}

/// The kernel's threads that work for a process, in the order in which they were started. They bear its id (vhost_worker_create),
/// which anybody could; that they are the kernel's nobody can pretend.
pub(crate) fn workers(process: Process<'_>) -> Vec<Tid> {
    let comm = format!("vhost-{}", process.pid);
    let Ok(all) = Process::all(process.kernel) else { return Vec::new() };
    let mut workers: Vec<(u64, Tid)> = all
        .into_iter()
        .filter(|other| threads::is_kernel_thread(*other, comm.as_bytes()))
        .filter_map(|other| Some((threads::started(other, Tid(other.pid))?, Tid(other.pid))))
        .collect();
    workers.sort_unstable();
    workers.into_iter().map(|(_, tid)| tid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::vm::find;
    use crate::vm::look::Ask;
    use crate::vm::sample::threads_of_web;

    /// PF_KTHREAD.
    const OF_THE_KERNEL: u64 = 0x0020_0000;

    fn said(vhost: &str, change: impl Fn(&FakeKernel)) -> Vec<String> {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel).page(&[("PIN_EMULATOR", "0"), ("PIN_VHOST", vhost)]);
        for (pid, comm) in [(7, "vhost-100"), (8, "vhost-100"), (9, "vhost-1000")] {
            kernel.process(pid, &["-"]).thread(pid, comm, "0-3");
            kernel.change(pid, |thread| thread.flags = OF_THE_KERNEL);
        }
        change(&kernel);
        let vm = find::named(&kernel, "web").unwrap();
        let look = vm.look(&Ask::default()).unwrap();
        notes(&vm, &look.content.as_ref().unwrap().policy, &look.threads)
    }

    #[test]
    fn what_root_can_do_for_each_is_named_in_the_order_of_their_start() {
        let later = |kernel: &FakeKernel| kernel.change(7, |thread| thread.started = 99);
        let commands = ["as root: taskset -pc 1 8", "as root: taskset -pc 2 7"];
        let notes = said("0@1,1@2", later);
        assert!(notes[0].starts_with("2 vhost workers not placed: "), "{notes:?}");
        assert_eq!(notes[1..], commands);
        assert_eq!(said("3", |_| {})[1], "as root: taskset -pc 3 7");
    }

    #[test]
    fn who_only_calls_himself_so_is_no_worker() {
        let no_kernel_threads = |kernel: &FakeKernel| {
            for pid in [7, 8] {
                kernel.change(pid, |thread| thread.flags = 0);
            }
        };
        assert_eq!(said("3", no_kernel_threads), [""; 0]);
    }
}
