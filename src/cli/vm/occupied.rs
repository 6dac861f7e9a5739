//! The CPUs that the VMs of this host have.

use crate::lease::taken::Leased;
use crate::output::failure::Failure;
use crate::sys::ending::is_ending;
use crate::sys::host_tree::HostTree;
use crate::sys::kernel::Kernel;
use crate::sys::{host, topology};
use crate::vm::look::{Ask, Vm};
use crate::vm::{find, holder};
use pinning::{CpuSet, RoleKind};
use planning::{Free, Taken, Topology};

/// What VMs have.
#[derive(Debug, Default)]
pub(crate) struct Occupied {
    /// What each has for itself, by its process.
    pub(crate) taken: Vec<(i32, Taken)>,
    /// Where their other threads may run.
    pub(crate) shared: Vec<CpuSet>,
    /// Whether one of them is ending.
    pub(crate) is_passing: bool,
}

/// What of this host may be used beside the VMs that run.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) free: Free,
    /// Whether more may be free in a moment: a VM is ending.
    pub(crate) is_passing: bool,
}

/// What of this host may be used beside the VMs that run: those that are pinned to CPUs, and those that have leases.
///
/// # Errors
/// Not all processes could be looked at.
pub(crate) fn free(host: &HostTree<'_>, topology: &Topology, leased: &[Leased]) -> Result<Beside, Failure> {
    let kernel = host.kernel();
    let available = host::here(kernel).available.intersection(&topology.cpus());
    let Occupied { taken: by_threads, shared, is_passing } = by_vms(kernel, &available)?;
    let is_passing = is_passing || leased.iter().any(|leased| leased.is_passing(kernel));
    let mut taken: Vec<Taken> = leased
        .iter()
        .map(|leased| Taken { cpus: leased.cpus.clone(), by: holder::title(kernel, leased), is_leased: true })
        .collect();
    // What a VM has leased is said once, wherever its threads may run.
    for (pid, mut one) in by_threads {
        let mine = leased.iter().filter(|leased| leased.pid == Some(pid));
        one.cpus = mine.fold(one.cpus, |rest, leased| rest.difference(&leased.cpus));
        if !one.cpus.is_empty() {
            taken.push(one);
        }
    }
    let free = Free { available, taken, shared, memory: topology::free_memory(host), ..Free::default() };
    Ok(Beside { free, is_passing })
}

/// Looks at every QEMU of this host. `available` is where a thread may run that nobody has pinned.
///
/// # Errors
/// Not all processes could be looked at: one of the others may be a VM, too.
pub(crate) fn by_vms(kernel: &dyn Kernel, available: &CpuSet) -> Result<Occupied, Failure> {
    let mut occupied = Occupied::default();
    for vm in find::all(kernel)?.into_vms()? {
        occupied.add(&vm, available);
    }
    Ok(occupied)
}

impl Occupied {
    fn add(&mut self, vm: &Vm<'_>, available: &CpuSet) {
        // A VM that has ended has nothing.
        let Ok(look) = vm.look(&Ask::default()) else { return };
        let main = look.threads.iter().find(|thread| thread.thread.tid.0 == vm.process.pid);
        let emulator = main.map(|main| main.thread.allowed.clone()).unwrap_or_default();
        let (mut taken, mut shared) = (CpuSet::new(), CpuSet::new());
        for thread in &look.threads {
            // What a page says is its QEMU's word; where its threads may run is the kernel's.
            let set = &thread.thread.allowed;
            if available.is_subset(set) {
                continue;
            }
            // Of a QEMU without a page the threads' names may say nothing: then what differs from the main thread was
            // given to it on purpose.
            let is_guests = match thread.role {
                RoleKind::Vcpu => true,
                RoleKind::IoThread => *set != emulator,
                _ => vm.page.is_err() && *set != emulator,
            };
            let all = if is_guests { &mut taken } else { &mut shared };
            *all = all.union(set);
        }
        // `taskset` gives all threads of a VM the same CPUs.
        if taken.is_empty() && vm.page.is_err() {
            std::mem::swap(&mut taken, &mut shared);
        }
        if !taken.is_empty() {
            self.is_passing |= is_ending(vm.process);
            let taken = Taken { cpus: taken, by: vm.title(), is_leased: false };
            self.taken.push((vm.process.pid, taken));
        }
        if !shared.is_empty() {
            self.shared.push(shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use crate::vm::sample::web;

    const QEMU: [&str; 1] = ["/usr/bin/qemu-system-x86_64"];

    fn occupied(kernel: &FakeKernel) -> (Vec<(String, String)>, Vec<String>) {
        let Occupied { taken, shared, .. } = by_vms(kernel, &cpus("0-3")).unwrap();
        let taken = taken.into_iter().map(|(_, taken)| (taken.by, taken.cpus.to_string())).collect();
        (taken, shared.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_pinned_vm_has_the_cpus_of_its_guest() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(
            occupied(&kernel),
            (vec![("web (PID 100)".to_owned(), "1-3".to_owned())], vec!["0".to_owned()])
        );
        // An IOThread beside the emulator is no more its own than the emulator's.
        kernel.move_to(103, "0");
        assert_eq!(occupied(&kernel).0, [("web (PID 100)".to_owned(), "1-2".to_owned())]);
        // Threads that may run anywhere take nothing from anybody.
        for tid in 100..105 {
            kernel.move_to(tid, "0-3");
        }
        assert_eq!(occupied(&kernel), (vec![], vec![]));
    }

    #[test]
    fn where_not_all_processes_were_looked_at_nobody_knows_what_is_free() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &QEMU).thread(200, "qemu-system-x86", "2");
        kernel.slow("/proc/100/cmdline", find::PATIENCE * 2);
        let why = by_vms(&kernel, &cpus("0-3")).unwrap_err().to_string();
        assert_eq!(why, "looking at all processes takes longer than 10 s: 1 process not looked at");
    }

    #[test]
    fn a_vm_without_the_library_has_what_somebody_gave_to_its_threads() {
        let kernel = FakeKernel::new();
        let qemu = |pid| kernel.process(pid, &QEMU).thread(pid, "qemu-system-x86", "0-1");
        // As `taskset` leaves it, and as libvirt's <cputune> does.
        qemu(10).thread(11, "qemu-system-x86", "0-1");
        qemu(20)
            .thread(21, "qemu-system-x86", "2")
            .thread(22, "qemu-system-x86", "3")
            .thread(23, "worker", "0-1");
        let title = |pid| format!("qemu-system-x86_64 (PID {pid})");
        let taken = vec![(title(10), "0-1".to_owned()), (title(20), "2-3".to_owned())];
        assert_eq!(occupied(&kernel), (taken, vec!["0-1".to_owned()]));
    }
}
