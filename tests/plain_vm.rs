//! Tests of what the other tests rely on (guest, observer and judge), with a VM without the library.

use std::time::Duration;

use harness::{
    Accel, Expected, NOBODY, Observer, Rule, TimeLimit, VmBuilder, judge, kvm_and_tcg, root_missing, skip,
    two_cpus,
};

fn boots_computes_and_visits_its_disks(accel: Accel) {
    let _limit = TimeLimit::seconds(150);
    let Some(mut vm) = VmBuilder::usual(accel).without_library().start() else { return };
    vm.wait_visits(3);
    assert!(
        vm.serial().starts_with("fib(0) = 0\r\nfib(1) = 1\r\nfib(2) = 1\r\nfib(3) = 2\r\n"),
        "{}",
        vm.serial()
    );
    assert_eq!(vm.qmp.vcpu_tids().len(), 2);
    assert_eq!(vm.qmp.iothread_tids().len(), 1);
    let observer = Observer::start(vm.pid());
    vm.burst();
    vm.wait_visits(1);
    let seen = observer.finish();
    // Main, call_rcu, io1, two vCPUs, and a burst's workers in two pools.
    println!("{} threads", seen.count());
    assert!(seen.count() >= 5 + 8, "only {} threads", seen.count());
    let left = vm.quit();
    assert!(left.status.success(), "{left:?}");
}

kvm_and_tcg!(a_kvm_guest_boots, a_tcg_guest_boots, boots_computes_and_visits_its_disks);

#[test]
fn an_ordinary_user_gets_kvm() {
    let _limit = TimeLimit::seconds(100);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(vm) = VmBuilder::new(Accel::Kvm).without_library().user(NOBODY).start() else { return };
    let status = std::fs::read_to_string(format!("/proc/{}/status", vm.pid())).expect("QEMU's status");
    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
    vm.wait_visits(1);
}

#[test]
fn the_judge_sees_a_thread_off_its_set() {
    let _limit = TimeLimit::seconds(100);
    let Some(cpus) = two_cpus() else { return };
    let Some(vm) = VmBuilder::new(Accel::Tcg).without_library().affinity(&[cpus.first]).start() else {
        return;
    };
    let seen = Observer::watch(vm.pid(), Duration::from_millis(300));
    let on = |cpu| judge(&seen, Rule::Promise, move |_| Expected::cpu(cpu));
    assert!(on(cpus.first).is_empty(), "taskset confines them all");
    assert_eq!(on(cpus.second).len(), seen.count(), "each is off another set");
}
