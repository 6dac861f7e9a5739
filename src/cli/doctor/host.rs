//! What is the same for all VMs of a host: its CPUs, its VMs, its leases and the threads of the kernel's.

use crate::doctor::hidden::Hidden;
use crate::lease::folder::Folder;
use crate::lease::taken::{self, Leased};
use crate::output::failure::Failure;
use crate::sys::host_tree::HostTree;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::threads::{self, Migrations, Thread};
use crate::sys::topology;
use crate::vm::find;
use crate::vm::look::{Ask, Look, Vm};
use pinning::{CpuSet, RoleKind};
use planning::Topology;
use std::io;

/// A VM and one look at it.
#[derive(Debug)]
pub(crate) struct SeenVm<'k> {
    pub(crate) vm: Vm<'k>,
    pub(crate) look: Look,
}

/// The host as it was in one moment.
#[derive(Debug)]
pub(crate) struct Host<'k> {
    pub(crate) kernel: &'k dyn Kernel,
    /// What its CPUs share.
    pub(crate) topology: Topology,
    /// The CPUs that are online.
    pub(crate) online: CpuSet,
    /// Every QEMU, or why not all could be looked at.
    pub(crate) vms: Result<Vec<SeenVm<'k>>, Failure>,
    /// The threads that the kernel runs for itself and lets be moved.
    pub(crate) kernel_threads: io::Result<Vec<Thread>>,
    /// The process of irqbalance, if it runs.
    pub(crate) irqbalance: Option<i32>,
    /// Why other processes are not seen, if so.
    pub(crate) hidden: Option<Hidden>,
    /// The leases that bind this user's VMs, or why the user's own could not be read.
    pub(crate) leases: Result<Vec<Leased>, Failure>,
}

impl<'k> Host<'k> {
    /// Looks at the host.
    pub(crate) fn look(kernel: &'k dyn Kernel) -> Self {
        let topology = topology::read(&HostTree::here(kernel));
        Self {
            kernel,
            online: topology.cpus(),
            topology,
            vms: find::all(kernel).and_then(find::Found::into_vms).map(|vms| {
                // A VM that has ended has nothing.
                vms.into_iter().filter_map(|vm| SeenVm::look(vm).ok()).collect()
            }),
            kernel_threads: kernel_threads(kernel),
            hidden: Hidden::look(kernel),
            irqbalance: process_called(kernel, "irqbalance"),
            leases: leases(kernel),
        }
    }
}

/// The user's own leases, and root's.
fn leases(kernel: &dyn Kernel) -> Result<Vec<Leased>, Failure> {
    let mut leased = taken::of_root(kernel);
    if let Some(folder) = Folder::existing(kernel)? {
        let mutex = folder.mutex_within(kernel, LEASE_PATIENCE)?;
        leased.extend(taken::leased(kernel, &folder, &mutex)?);
    }
    Ok(leased)
}

/// How long to wait for others that plan or lease.
const LEASE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

impl<'k> SeenVm<'k> {
    /// Looks at a VM.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn look(vm: Vm<'k>) -> Result<Self, Failure> {
        let look = vm.look(&Ask::default())?;
        Ok(Self { vm, look })
    }

    /// Where its vCPUs may run; none where no thread is known to be one.
    pub(crate) fn vcpus(&self) -> CpuSet {
        self.where_may_run(|role| role == RoleKind::Vcpu)
    }

    /// Where its threads of these roles may run.
    pub(crate) fn where_may_run(&self, is_meant: impl Fn(RoleKind) -> bool) -> CpuSet {
        let threads = self.look.threads.iter().filter(|thread| is_meant(thread.role));
        threads.fold(CpuSet::new(), |all, thread| all.union(&thread.thread.allowed))
    }
}

/// The kernel's threads that nothing binds to their CPUs (the flags PF_KTHREAD, 0x200000, and PF_NO_SETAFFINITY, 0x4000000,
/// in include/linux/sched.h).
fn kernel_threads(kernel: &dyn Kernel) -> io::Result<Vec<Thread>> {
    let is_one = |process: &Process<'_>| {
        threads::flags(*process).is_some_and(|flags| flags & 0x0420_0000 == 0x0020_0000)
    };
    let processes = Process::all(kernel)?.into_iter().filter(is_one);
    Ok(processes.flat_map(|process| threads::list(process, Migrations::Ignore).unwrap_or_default()).collect())
}

/// The first process with this comm that is no thread of the kernel's.
fn process_called(kernel: &dyn Kernel, comm: &str) -> Option<i32> {
    let is_it = |process: &Process<'_>| {
        kernel.read(process.file("comm")).is_ok_and(|found| found.trim_ascii() == comm.as_bytes())
    };
    Process::all(kernel).ok()?.into_iter().find(is_it).map(|process| process.pid)
}
