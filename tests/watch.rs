//! Threads leave their set while the VM runs: by a hand that moves them, or because their cpuset has become smaller.
//! Under `PIN_WATCH` they come back by themselves; without it `pinshim apply --watch` brings them back.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use harness::{
    Accel, ChildCpuset, LIBVIRT_SANDBOX, Program, TimeLimit, TwoCpus, Vm, VmBuilder, brokers_of, command,
    cpus_of, kvm_and_tcg, move_thread, or_skip, pinshim, two_cpus, until,
};
use serde_json::json;

/// An emulator on the first CPU, a vCPU and IOThreads on the second.
fn vm(accel: Accel, cpus: TwoCpus) -> VmBuilder {
    VmBuilder::new(accel)
        .env("PIN_CPUS", &cpus.first.to_string())
        .env("PIN_VCPUS", &format!("*@{}", cpus.second))
        .env("PIN_IOTHREADS", &format!("*@{}", cpus.second))
        .iothread("io1")
}

/// The threads on the second CPU, and the main thread, which is on the first.
fn threads(vm: &mut Vm) -> (Vec<u32>, u32) {
    let vcpus = vm.qmp.vcpu_tids().into_iter().map(|(_, tid)| tid);
    let tids =
        vcpus.collect::<Vec<_>>().into_iter().chain(vm.qmp.iothread_tids().into_iter().map(|(_, tid)| tid));
    (tids.collect(), vm.pid())
}

fn on(tid: u32) -> Vec<usize> {
    cpus_of(&tid.to_string())
}

#[track_caller]
fn wait_until_on(tids: &[u32], cpu: usize) {
    until(60, "every thread back on its set", || tids.iter().all(|&tid| on(tid) == [cpu]).then_some(()));
}

fn new_iothread(vm: &mut Vm, id: &str) -> u32 {
    vm.qmp.execute("object-add", json!({"qom-type": "iothread", "id": id}));
    vm.qmp.iothread_tids().into_iter().find(|(name, _)| name == id).expect("the new IOThread").1
}

fn what_is_moved_by_hand_comes_back(accel: Accel, shape: impl Fn(VmBuilder) -> VmBuilder) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let Some(mut vm) = shape(vm(accel, cpus)).env("PIN_WATCH", "1").start() else { return };
    let brokers = brokers_of(vm.pid());
    assert_eq!(brokers.len(), 1, "also without a sandbox");
    vm.wait_visits(1);
    let (tids, main) = threads(&mut vm);
    // Twice, as the first look may have been the last.
    for _ in 0..2 {
        for &tid in &tids {
            assert!(move_thread(tid, &[cpus.first]));
        }
        assert!(move_thread(main, &[cpus.first, cpus.second]));
        wait_until_on(&tids, cpus.second);
        wait_until_on(&[main], cpus.first);
    }
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    assert!(vm.quit().status.success());
    until(60, "the broker's end", || (!brokers[0].lives()).then_some(()));
}

kvm_and_tcg!(kvm_without_a_sandbox, tcg_without_a_sandbox, |accel| {
    what_is_moved_by_hand_comes_back(accel, |vm| vm);
});
kvm_and_tcg!(kvm_in_a_sandbox, tcg_in_a_sandbox, |accel| {
    what_is_moved_by_hand_comes_back(accel, |vm| vm.sandbox(LIBVIRT_SANDBOX));
});

/// A VM in a cpuset that loses the second CPU, has an IOThread born meanwhile, and gets the CPU back. Answers the
/// threads that belong on the second CPU.
fn shrunk_and_grown(vm: &mut Vm, cpuset: &ChildCpuset, cpus: TwoCpus, born: &str) -> Vec<u32> {
    vm.wait_visits(1);
    let (mut tids, _) = threads(vm);
    cpuset.change(&[cpus.first]);
    for &tid in &tids {
        until(60, "the kernel's own choice", || (on(tid) == [cpus.first]).then_some(()));
    }
    tids.push(new_iothread(vm, born));
    cpuset.change(&[cpus.first, cpus.second]);
    tids
}

#[test]
fn what_a_smaller_cpuset_has_moved_comes_back_when_it_has_grown_again() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    for sandbox in [None, Some(LIBVIRT_SANDBOX)] {
        let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.first, cpus.second])) else { return };
        let vm = vm(Accel::Tcg, cpus).env("PIN_WATCH", "1");
        let vm = sandbox.into_iter().fold(vm, |vm, how| vm.sandbox(how));
        let Some(mut vm) = vm.start_in(Some(&cpuset)) else { return };
        let tids = shrunk_and_grown(&mut vm, &cpuset, cpus, "meanwhile");
        wait_until_on(&tids, cpus.second);
        assert!(vm.quit().status.success());
    }
}

#[test]
fn without_a_watch_show_says_what_to_do_and_apply_does_it() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let Some(cpuset) = or_skip(ChildCpuset::new(&[cpus.first, cpus.second])) else { return };
    let Some(mut vm) = vm(Accel::Tcg, cpus).start_in(Some(&cpuset)) else { return };
    let pid = vm.pid().to_string();
    let tids = shrunk_and_grown(&mut vm, &cpuset, cpus, "meanwhile");
    let meanwhile = *tids.last().expect("the new one");
    assert_eq!(on(meanwhile), [cpus.first]);
    let shown = pinshim(&["show", &pid]);
    let hint = format!("`pinshim apply {pid}` puts threads back where they belong");
    assert!(shown.stdout.contains(&hint), "{shown:?}");
    let apply = Program::new(command()).args(["apply", &pid, "--watch", "1"]).start();
    wait_until_on(&tids, cpus.second);
    // And once more, since the watch goes on.
    let again = shrunk_and_grown(&mut vm, &cpuset, cpus, "later");
    wait_until_on(&again, cpus.second);
    assert!(vm.quit().status.success());
    let applied = apply.wait();
    assert_eq!(applied.code(), 0, "{applied:?}");
}
