//! A wrapper that has QEMU's name and becomes QEMU, as NixOS's do: the library acts in both, in one process.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Scratch, Source, TimeLimit, TwoCpus, Vm, VmBuilder, compile, cpus_of, cpus_of_thread, library,
    pinshim, scheduling_of, two_cpus,
};

/// A QEMU that a wrapper of its name has become, started on both CPUs: the emulator on the first, vCPUs on the second.
/// IOThreads belong on the base set.
fn wrapped(cpus: TwoCpus, shape: impl FnOnce(VmBuilder) -> VmBuilder) -> Option<(Vm, Scratch)> {
    let scratch = Scratch::new();
    let wrapper = scratch.join("qemu-system-x86_64");
    std::fs::rename(compile(&scratch, &Source { file: "becomes.c", flags: &[] }), &wrapper).unwrap();
    let vm = VmBuilder::usual(Accel::Tcg)
        .iothread("base")
        .started_by([wrapper])
        .behind(library())
        .affinity(&[cpus.first, cpus.second])
        .env("PIN_EMULATOR", &cpus.first.to_string())
        .env("PIN_VCPUS", &format!("*@{}", cpus.second));
    let vm = shape(vm).start()?;
    vm.wait_visits(1);
    Some((vm, scratch))
}

fn iothread_is_on(vm: &mut Vm, cpus: &[usize]) {
    let pid = vm.pid();
    for (id, tid) in vm.qmp.iothread_tids() {
        assert_eq!(cpus_of_thread(pid, tid).as_deref(), Some(cpus), "{id}");
    }
    pinshim(&["check", &pid.to_string()]).assert_clean();
}

#[test]
fn the_base_set_is_the_affinity_that_the_wrapper_was_started_with() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let Some((mut vm, _scratch)) = wrapped(cpus, |vm| vm) else { return };
    iothread_is_on(&mut vm, &[cpus.first, cpus.second]);
    assert_eq!(cpus_of(&vm.pid().to_string()), [cpus.first], "the main loop");
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
}

#[test]
fn an_affinity_that_was_set_in_between_is_the_base_set() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let Some((mut vm, _scratch)) = wrapped(cpus, |vm| vm.env("MOVE_TO", &cpus.second.to_string())) else {
        return;
    };
    iothread_is_on(&mut vm, &[cpus.second]);
}

/// IOThreads have no class of their own here: they have the one that the wrapper was started with.
#[test]
fn the_class_that_the_wrapper_was_started_with_is_that_of_all_others() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let Some((mut vm, _scratch)) = wrapped(cpus, |vm| vm.env("PIN_SCHED", "emulator@batch")) else { return };
    assert_eq!(scheduling_of(vm.pid()).map(|now| now.class).as_deref(), Some("batch:0"));
    for (id, tid) in vm.qmp.iothread_tids() {
        assert_eq!(scheduling_of(tid).map(|now| now.class).as_deref(), Some("other:0"), "{id}");
    }
    iothread_is_on(&mut vm, &[cpus.first, cpus.second]);
}

#[test]
fn a_fault_is_said_once() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let shape =
        |vm: VmBuilder| vm.env("PIN_ERRORS", "warn").env("PIN_WORKERS", "nonsense").env("PIN_VHOST", "x");
    let Some((mut vm, _scratch)) = wrapped(cpus, shape) else { return };
    iothread_is_on(&mut vm, &[cpus.first, cpus.second]);
    for variable in ["PIN_WORKERS", "PIN_VHOST"] {
        let said = vm.stderr().lines().filter(|line| line.contains(variable)).count();
        assert_eq!(said, 1, "{variable}: {}", vm.stderr());
    }
}
