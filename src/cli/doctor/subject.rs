//! What the doctor is asked about: a VM, or CPUs for one that does not run yet.

use crate::doctor::finding::Finding;
use crate::doctor::host::{Host, SeenVm};
use crate::sys::kernel::Kernel;
use crate::vm::expected::VmThread;
use pinning::{CpuSet, RoleKind};

/// A VM or a set of CPUs, on a host.
#[derive(Debug)]
pub(crate) struct Subject<'h, 'k> {
    pub(crate) host: &'h Host<'k>,
    /// The CPUs on which vCPUs run or are to run.
    pub(crate) cpus: CpuSet,
    /// The VM; `None` where the user asks about CPUs.
    pub(crate) vm: Option<&'h SeenVm<'k>>,
}

impl<'h, 'k> Subject<'h, 'k> {
    /// CPUs.
    pub(crate) fn cpus(host: &'h Host<'k>, cpus: CpuSet) -> Self {
        Self { host, cpus, vm: None }
    }

    /// A VM. Where no thread is known to be a vCPU, any may be one.
    pub(crate) fn vm(host: &'h Host<'k>, vm: &'h SeenVm<'k>) -> Self {
        let vcpus = vm.vcpus();
        let cpus = if vcpus.is_empty() { vm.where_may_run(|_| true) } else { vcpus };
        Self { host, cpus, vm: Some(vm) }
    }

    /// The kernel that is asked.
    pub(crate) fn kernel(&self) -> &'k dyn Kernel {
        self.host.kernel
    }

    /// The CPUs that are online.
    pub(crate) fn online(&self) -> CpuSet {
        self.cpus.intersection(&self.host.online)
    }

    /// The threads of the VM.
    pub(crate) fn threads(&self) -> &'h [VmThread] {
        self.vm.map_or(&[], |seen| &seen.look.threads)
    }

    /// The threads of the VM that are known to be vCPUs.
    pub(crate) fn vcpus(&self) -> impl Iterator<Item = &'h VmThread> {
        self.threads().iter().filter(|thread| thread.role == RoleKind::Vcpu)
    }

    /// Whether nothing keeps its vCPUs from any CPU of the host.
    pub(crate) fn is_anywhere(&self) -> bool {
        let all = &self.host.online;
        let mut vcpus = self.vcpus().peekable();
        let is_anywhere = |thread: &VmThread| all.is_subset(&thread.thread.allowed);
        match vcpus.peek() {
            _ if all.len() < 2 => false,
            Some(_) => vcpus.all(is_anywhere),
            None => self.vm.is_some() && self.threads().iter().all(is_anywhere),
        }
    }

    /// What is said where nothing was found that runs; where processes are hidden, that nobody knows.
    pub(crate) fn unless_hidden(&self, found_nothing: Finding) -> Finding {
        let topic = found_nothing.topic;
        self.host.hidden.as_ref().map_or(found_nothing, |hidden| hidden.note(topic))
    }

    /// The other VMs that run, as far as they could be looked at.
    pub(crate) fn others(&self) -> impl Iterator<Item = &'h SeenVm<'k>> {
        let own = self.vm.map(|seen| seen.vm.process.pid);
        self.host.vms.iter().flatten().filter(move |other| Some(other.vm.process.pid) != own)
    }

    /// Where else something can go: the other CPUs, without those of other VMs' vCPUs if any are left then.
    pub(crate) fn elsewhere(&self) -> Option<CpuSet> {
        let rest = self.host.online.difference(&self.cpus);
        let taken = self.others().map(SeenVm::vcpus).filter(|vcpus| !self.host.online.is_subset(vcpus));
        let free = taken.fold(rest.clone(), |free, vcpus| free.difference(&vcpus));
        [free, rest].into_iter().find(|cpus| !cpus.is_empty())
    }
}

/// What stands before a command that moves threads of a user's, where it takes other rights than this command has.
pub(crate) fn by_whom(kernel: &dyn Kernel, owner: Option<u32>) -> &'static str {
    let own = kernel.user();
    if own == 0 || owner == Some(own) { "" } else { "as root: " }
}

/// What to do where there is no other CPU.
pub(crate) const NOWHERE: &str = "no CPU of the host is left for it: give the vCPUs fewer CPUs";
