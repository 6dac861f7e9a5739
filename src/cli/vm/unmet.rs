//! What a policy names and a VM does not have.

use crate::vm::command_line;
use crate::vm::expected::VmThread;
use crate::vm::look::Vm;
use pinning::{KernelThread, Policy, RoleKind, Unmet, glob_matches};

/// The vCPUs, IOThreads and vhost workers that a policy names by index, id and number, and that are not among these threads.
pub(crate) fn unmet(policy: &Policy, threads: &[VmThread]) -> Vec<Unmet> {
    let of_role = |role| threads.iter().filter(move |thread| thread.role == role);
    let vcpus: Vec<u32> = of_role(RoleKind::Vcpu).filter_map(|thread| thread.index).collect();
    // One thread that runs all vCPUs in turn has no index: it is each of them.
    let runs_all = of_role(RoleKind::Vcpu).any(|thread| thread.index.is_none());
    let ids = of_role(RoleKind::IoThread).filter_map(|thread| thread.name.strip_prefix("IO "));
    let ids: Vec<&[u8]> = ids.map(str::as_bytes).collect();
    let mut unmet = policy.unmet(&vcpus, &ids);
    let workers: Vec<u32> = of_role(RoleKind::Vhost).filter_map(|thread| thread.index).collect();
    unmet.extend(policy.unmet_vhost_workers(&workers));
    // An IOThread that may have this id is no proof that there is none.
    let is_in_doubt = |id: &String| threads.iter().any(|thread| thread.may_be.contains(id));
    unmet.retain(|wish| match wish {
        Unmet::Vcpus(..) => !runs_all,
        Unmet::IoThread(id) => !is_in_doubt(id),
        Unmet::VhostWorkers(..) | Unmet::Rule(_) => true,
    });
    unmet
}

/// The same for a VM and the policy that it was started with. A vCPU that can be plugged in later (`-smp …,maxcpus=`) is no
/// unmet wish.
pub(crate) fn unmet_by(vm: &Vm<'_>, policy: &Policy, threads: &[VmThread]) -> Vec<Unmet> {
    let most = command_line::smp(&vm.process.arguments()).map_or(0, |smp| smp.vcpus);
    let mut unmet = unmet(policy, threads);
    unmet.retain(|wish| !matches!(wish, Unmet::Vcpus(_, last) if *last < most));
    unmet
}

/// The rules of a policy that match the name of none of these threads. Unlike vCPUs and IOThreads, many threads come
/// and go: this counts only for a policy that is used once.
pub(crate) fn unmet_rules(policy: &Policy, threads: &[VmThread]) -> Vec<Unmet> {
    policy.unmet_rules(|glob| {
        let matches = |name: &[u8]| glob_matches(glob.as_bytes(), name);
        threads.iter().any(|thread| {
            let comm = &thread.thread.comm;
            let full_name = KernelThread::from_comm(comm).and_then(KernelThread::full_name);
            matches(thread.name.as_bytes())
                || matches(comm)
                || full_name.is_some_and(|name| matches(name.as_bytes()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use crate::sys::process::Process;
    use crate::vm::sample::vm_thread;
    use pinning::{CpuSet, Host};

    fn said(threads: &[VmThread]) -> Vec<String> {
        let host = Host { available: CpuSet::from_words(&[3]), start: CpuSet::from_words(&[3]) };
        let environment = [("PIN_VCPUS", "0@0,1@1"), ("PIN_IOTHREADS", "io1@0")];
        let policy = Policy::parse(environment, &host).policy.unwrap();
        unmet(&policy, threads).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_is_met_by_the_name_or_the_comm_of_a_thread() {
        let host = Host { available: CpuSet::from_words(&[3]), start: CpuSet::from_words(&[3]) };
        let environment = [("PIN_THREADS", "IO io1@0,kvm-nx-lpage-recovery@1,wor?er@0,SPICE*@1")];
        let policy = Policy::parse(environment, &host).policy.unwrap();
        let mut recovery = vm_thread(9, RoleKind::Emulator, "kvm-nx-lpage-re");
        recovery.thread.comm = b"kvm-nx-lpage-re".to_vec();
        let threads =
            [vm_thread(7, RoleKind::IoThread, "IO io1"), vm_thread(8, RoleKind::Worker, "worker"), recovery];
        assert_eq!(unmet_rules(&policy, &threads), [Unmet::Rule("SPICE*".to_owned())]);
    }

    #[test]
    fn a_vcpu_that_can_be_plugged_in_is_no_unmet_wish() {
        let kernel = FakeKernel::new();
        let host = Host { available: cpus("0-3"), start: cpus("0-3") };
        let policy = Policy::parse([("PIN_VCPUS", "0@0,1@1,3@2")], &host).policy.unwrap();
        let threads = [VmThread { index: Some(0), ..vm_thread(7, RoleKind::Vcpu, "CPU") }];
        let unmet = |pid, smp| {
            kernel.process(pid, &["/usr/bin/qemu-system-x86_64", "-smp", smp]).thread(pid, "qemu", "0");
            let vm = Vm::new(Process::new(&kernel, pid).unwrap());
            unmet_by(&vm, &policy, &threads)
        };
        assert_eq!(unmet(100, "1"), [Unmet::Vcpus(1, 1), Unmet::Vcpus(3, 3)]);
        assert_eq!(unmet(200, "1,maxcpus=2"), [Unmet::Vcpus(3, 3)]);
        assert_eq!(unmet(300, "1,maxcpus=4"), []);
    }

    #[test]
    fn each_name_that_no_thread_has_is_unmet() {
        let vcpu = |index| VmThread { index, ..vm_thread(7, RoleKind::Vcpu, "CPU") };
        let no_vcpu = "PIN_VCPUS places vCPU 1, and there is no such vCPU";
        let no_iothread = "PIN_IOTHREADS places io1, and there is no such IOThread";
        assert_eq!(said(&[vcpu(Some(0))]), [no_vcpu, no_iothread]);
        assert_eq!(said(&[vcpu(None)]), [no_iothread], "one thread for all vCPUs");
        let all = [vcpu(Some(0)), vcpu(Some(1)), vm_thread(8, RoleKind::IoThread, "IO io1")];
        assert_eq!(said(&all), [""; 0]);
    }
}
