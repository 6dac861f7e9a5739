//! Another preloaded library that takes `pthread_create` before ours does, as likwid-pin does and profilers do.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Scratch, Source, TimeLimit, TwoCpus, Vm, VmBuilder, always_named, command, compile_library,
    cpus_of_thread, pinshim, threads, two_cpus, until,
};

/// One calls glibc's own pthread_create, past ours; the other calls ours with a routine of its own.
const LIBRARIES: [&str; 2] = ["creates_by_libc.c", "creates_by_next.c"];

/// vCPUs on the second CPU, all else on the first.
fn started(
    accel: Accel,
    file: &str,
    shape: impl FnOnce(VmBuilder) -> VmBuilder,
    cpus: TwoCpus,
) -> Option<(Vm, Scratch)> {
    let scratch = Scratch::new();
    let other = compile_library(&scratch, &Source { file, flags: &[] });
    let vm = VmBuilder::usual(accel)
        .ahead(other)
        .env("PIN_CPUS", &cpus.first.to_string())
        .env("PIN_VCPUS", &format!("*@{}", cpus.second));
    let vm = shape(vm).start()?;
    vm.wait_visits(1);
    let lines = vm.stderr().matches("stands before this library's").count();
    assert_eq!(lines, 1, "one line says so: {}", vm.stderr());
    assert!(!vm.stderr().contains("register is full"), "{}", vm.stderr());
    Some((vm, scratch))
}

fn vcpus_are_on(vm: &mut Vm, cpu: usize) {
    let pid = vm.pid();
    for (index, tid) in vm.qmp.vcpu_tids() {
        assert_eq!(cpus_of_thread(pid, tid), Some(vec![cpu]), "vCPU {index}");
    }
}

fn vcpus_are_placed(accel: Accel, shape: impl Fn(VmBuilder) -> VmBuilder) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    for file in LIBRARIES {
        let Some((mut vm, _scratch)) = started(accel, file, &shape, cpus) else { return };
        vcpus_are_on(&mut vm, cpus.second);
        // Whichever of QEMU's threads the others are, they belong on the base set.
        pinshim(&["check", &vm.pid().to_string()]).assert_clean();
    }
}

#[test]
fn a_vcpu_is_placed_by_what_it_asks_of_kvm() {
    vcpus_are_placed(Accel::Kvm, |vm| vm);
}

#[test]
fn threads_that_qemu_names_itself_are_placed_by_those_names() {
    vcpus_are_placed(Accel::Tcg, |vm| vm.debug_threads(true));
}

#[test]
fn a_thread_whose_role_nobody_can_know_is_not_said_to_be_in_place() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    for file in LIBRARIES {
        let Some((mut vm, _scratch)) = started(Accel::Tcg, file, |vm| vm, cpus) else { return };
        let checked = pinshim(&["check", &vm.pid().to_string()]);
        // A QEMU that has its threads name themselves tells their roles by that.
        if always_named().is_some() {
            checked.assert_clean();
            continue;
        }
        assert_eq!(checked.code(), 1, "{checked:?}");
        for (_, tid) in vm.qmp.vcpu_tids() {
            let line = checked.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{tid} ")));
            let unknown = "UNKNOWN: created unseen by another library's pthread_create";
            assert!(line.is_some_and(|line| line.contains(unknown)), "{checked:?}");
        }
    }
}

#[test]
fn run_puts_the_library_before_the_others() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    for file in LIBRARIES {
        let scratch = Scratch::new();
        let other = compile_library(&scratch, &Source { file, flags: &[] });
        let preload = format!("LD_PRELOAD={}", other.display());
        let (first, all) = (cpus.first.to_string(), format!("*@{}", cpus.second));
        let run =
            ["env", &preload, command().to_str().unwrap(), "run", "--cpus", &first, "--vcpus", &all, "--"];
        let vm = VmBuilder::usual(Accel::Tcg).started_by(run).without_library();
        let Some(mut vm) = vm.start() else { return };
        vm.wait_visits(1);
        vcpus_are_on(&mut vm, cpus.second);
        pinshim(&["check", &vm.pid().to_string()]).assert_clean();
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    }
}

#[test]
fn threads_of_the_register_come_and_go_though_they_were_created_unseen() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let Some((mut vm, _scratch)) = started(
        Accel::Tcg,
        LIBRARIES[0],
        |vm| vm.debug_threads(true).env("PIN_WORKERS", &cpus.second.to_string()),
        cpus,
    ) else {
        return;
    };
    vm.burst();
    let pid = vm.pid();
    until(20, "a worker on its CPU", || {
        let workers = threads(pid).into_iter().filter(|(_, name)| name == "worker");
        workers.filter_map(|(tid, _)| cpus_of_thread(pid, tid)).any(|on| on == [cpus.second]).then_some(())
    });
}
