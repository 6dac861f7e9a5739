//! The threads that the kernel makes in a domain's QEMU, which libvirt does not know of.
//!
//! Such a thread begins in the cgroup of the thread that needs it: `kvm-nx-lpage-recovery` in that of the vCPU that runs
//! the guest first. Where `<cputune>` or `virsh vcpupin` gives that vCPU CPUs of its own, they are all that the thread can
//! have. It belongs to no vCPU, so it is moved to where libvirt keeps the rest of QEMU: the cgroup `emulator`.

use crate::sys::thread_cgroup::{EMULATOR, ThreadCgroup};
use crate::sys::{cgroup, cpuset, threads};
use crate::vm::expected::VmThread;
use crate::vm::look::Vm;
use pinning::{KernelThread, RoleKind};

/// Whether the kernel made a thread. Its name does not count: that is QEMU's own word.
pub(crate) fn is_made_by_the_kernel(vm: &Vm<'_>, thread: &VmThread) -> bool {
    KernelThread::from_comm(&thread.thread.comm).is_some()
        && threads::is_user_worker(vm.process, thread.thread.tid)
}

/// Moves a thread that the kernel made out of the cgroup of a vCPU or an IOThread, also where that does not keep it from
/// its set: `virsh vcpupin` would take it along. It stays where it can have its set, and could not in the other cgroup.
/// The answer is whether it was moved; the kernel has given it all CPUs of the cgroup then.
pub(crate) fn move_to_the_emulator(vm: &Vm<'_>, thread: &VmThread) -> bool {
    let (process, tid) = (vm.process, thread.thread.tid);
    let Some((expected, cpuset)) = thread.expected.as_ref().zip(cpuset::of_thread(process, tid)) else {
        return false;
    };
    let is_of_one_thread = |group| matches!(group, Some(ThreadCgroup::Vcpu(_) | ThreadCgroup::IoThread(_)));
    if !is_of_one_thread(cpuset.of_libvirt()) || !is_made_by_the_kernel(vm, thread) {
        return false;
    }
    let is_better_here = expected.is_subset(&cpuset.cpus)
        && cpuset.beside(process.kernel, EMULATOR).is_some_and(|there| !expected.is_subset(&there));
    !is_better_here
        && vm.held.has(thread.thread.key())
        && cgroup::move_beside(
            process.kernel,
            tid,
            |name| is_of_one_thread(ThreadCgroup::called(name)),
            EMULATOR,
        )
}

/// Whether the thread that KVM makes when the guest first runs is still to come, or to be moved out of a vCPU's cgroup.
pub(crate) fn one_may_come(vm: &Vm<'_>, threads: &[VmThread]) -> bool {
    let group =
        |thread: &VmThread| cpuset::of_thread(vm.process, thread.thread.tid).and_then(|of| of.of_libvirt());
    let is_kvms = |thread: &VmThread| {
        // TCG makes none.
        thread.role == RoleKind::Vcpu
            && thread.name.ends_with("/KVM")
            && matches!(group(thread), Some(ThreadCgroup::Vcpu(_)))
    };
    let has_come = |thread: &VmThread| {
        KernelThread::from_comm(&thread.thread.comm) == Some(KernelThread::NxRecovery)
            && is_made_by_the_kernel(vm, thread)
            && !matches!(group(thread), Some(ThreadCgroup::Vcpu(_)))
    };
    threads.iter().any(is_kvms) && !threads.iter().any(has_come)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::sys::kernel::Kernel;
    use crate::sys::process::Process;
    use crate::vm::look::Ask;
    use crate::vm::sample::web;

    const LIST: &str = "/sys/fs/cgroup/web/emulator/cgroup.threads";

    /// Tries to move thread 105, with these flags, name, cgroup and cpusets of that and of the emulator; what was written
    /// to the emulator's list of threads.
    fn moved(flags: u64, comm: &str, group: &str, has: &str, emulator_has: &str) -> String {
        let kernel = FakeKernel::new();
        let vm = web(&kernel).thread(105, comm, has).cpuset(105, group, has);
        kernel.change(105, |thread| thread.flags = flags);
        let _ = vm.write("task/105/cgroup", format!("0::{group}\n"));
        kernel.write("/proc/105/cgroup", format!("0::{group}\n"));
        kernel.write("/sys/fs/cgroup/web/emulator/cpuset.cpus.effective", emulator_has);
        kernel.write(LIST, "");
        let vm = Vm::new(Process::new(&kernel, 100).unwrap());
        let threads = vm.look(&Ask::default()).unwrap().threads;
        let thread = threads.iter().find(|thread| thread.thread.tid.0 == 105).unwrap();
        let answer = move_to_the_emulator(&vm, thread);
        let written = (&kernel as &dyn Kernel).read_text(LIST).unwrap();
        assert_eq!(answer, !written.is_empty());
        written
    }

    const MADE_BY_THE_KERNEL: u64 = 0x4000;
    const NX: &str = "kvm-nx-lpage-re";

    #[test]
    fn a_thread_of_the_kernels_is_moved_out_of_a_vcpus_cgroup() {
        assert_eq!(moved(MADE_BY_THE_KERNEL, NX, "/web/vcpu0", "2", "0-1"), "105");
        assert_eq!(moved(MADE_BY_THE_KERNEL, "vhost-100", "/web/iothread1", "2", "0-1"), "105");
        // Also where it could have its set: virsh vcpupin would take it along.
        assert_eq!(moved(MADE_BY_THE_KERNEL, NX, "/web/vcpu0", "0-3", "0-3"), "105");
    }

    #[test]
    fn any_other_thread_and_one_that_is_better_off_there_stays() {
        assert_eq!(moved(0, NX, "/web/vcpu0", "2", "0-1"), "", "a name is QEMU's own word");
        assert_eq!(moved(0x4010, "iou-wrk-100", "/web/vcpu0", "2", "0-1"), "", "an io_uring worker");
        assert_eq!(moved(MADE_BY_THE_KERNEL, NX, "/web/emulator", "2", "0-1"), "");
        assert_eq!(moved(MADE_BY_THE_KERNEL, NX, "/web/other", "2", "0-1"), "");
        assert_eq!(moved(MADE_BY_THE_KERNEL, NX, "/web/vcpu0", "0-1", "3"), "");
    }
}
