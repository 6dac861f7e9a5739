//! `PIN_THREADS` names threads in full, also where the kernel shows less of a name.

use std::fs;

use harness::{Accel, TimeLimit, VmBuilder, cpus_of, skip, two_cpus, until};

/// The id of the thread of `pid` whose comm begins like this.
fn thread(pid: u32, begins: &str) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the threads").flatten();
    let mut named = tasks.filter(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(begins))
    });
    named.next()?.file_name().to_str()?.parse().ok()
}

/// The kernel cuts the name to `kvm-nx-lpage-re`.
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
    let Some(tid) = thread(vm.pid(), "kvm-nx-lpage-re") else {
        return skip("this kernel makes no kvm-nx-lpage-recovery thread in QEMU");
    };
    until(20, "the recovery thread on the rule's set", || {
        (cpus_of(&format!("{}/task/{tid}", vm.pid())) == [cpus.first]).then_some(())
    });
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
}
