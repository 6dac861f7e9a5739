//! `PIN_THREADS` names threads in full, also where the kernel shows less of a name.

use harness::{Accel, TimeLimit, VmBuilder, cpus_of, skip, threads, two_cpus, until};

/// What the kernel leaves of `kvm-nx-lpage-recovery`: a comm has 15 bytes at most.
const CUT_NAME: &str = "kvm-nx-lpage-re";

#[test]
fn a_rule_spells_out_the_name_of_a_thread_of_the_kernels() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let vm = VmBuilder::new(Accel::Kvm)
        .affinity(&[cpus.second])
        .env("PIN_CPUS", &cpus.second.to_string())
        .env("PIN_THREADS", &format!("kvm-nx-lpage-recovery@{}", cpus.first));
    let Some(vm) = vm.start() else { return };
    vm.wait_visits(1);
    let Some((tid, _)) = threads(vm.pid()).into_iter().find(|(_, name)| name == CUT_NAME) else {
        return skip("this kernel makes no kvm-nx-lpage-recovery thread in QEMU");
    };
    until(20, "the recovery thread on the rule's set", || {
        (cpus_of(&format!("{}/task/{tid}", vm.pid())) == [cpus.first]).then_some(())
    });
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
}
