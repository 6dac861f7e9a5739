//! The CPUs that the VMs of this host have.

use crate::output::failure::Failure;
use crate::sys::kernel::Kernel;
use crate::vm::find;
use crate::vm::look::{Ask, Vm};
use pinning::{CpuSet, RoleKind};
use planning::Taken;

/// What VMs have.
#[derive(Debug, Default)]
pub(crate) struct Occupied {
    /// What each has for itself.
    pub(crate) taken: Vec<Taken>,
    /// Where their other threads may run.
    pub(crate) shared: Vec<CpuSet>,
}

/// Looks at every QEMU of this host. `available` is where a thread may run that nobody has pinned.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn by_vms(kernel: &dyn Kernel, available: &CpuSet) -> Result<Occupied, Failure> {
    let found = find::all(kernel)?;
    let others = found.not_pinned.into_iter().chain(found.unreadable).map(Vm::new);
    let mut occupied = Occupied::default();
    for vm in found.pinned.into_iter().chain(found.bad).chain(others) {
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
            self.taken.push(Taken { cpus: taken, by: vm.title() });
        }
        if !shared.is_empty() {
            self.shared.push(shared);
        }
    }
}
