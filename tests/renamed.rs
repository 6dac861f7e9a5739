//! Threads that are given another name: a rule of `PIN_THREADS` matches the name that QEMU gave a thread or the one that it
//! has been given since. The library, `check` and `apply` agree on that.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Aio, Bus, Drive, LIBVIRT_SANDBOX, Program, Scratch, Source, TimeLimit, VmBuilder, compile,
    cpus_of_thread, pinshim, qemu, skip, threads, two_cpus, until,
};

#[test]
fn a_thread_follows_the_rules_at_the_moment_that_it_is_renamed() {
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "renamed.c", flags: &[] });
    let (rule, other) = (cpus.first.to_string(), cpus.second.to_string());
    let finished = Program::new(program)
        .env("RULE_CPU", &rule)
        .env("EXPECT_CPU", &other)
        .env("PIN_TARGET", "renamed")
        .env("PIN_CPUS", &other)
        .env("PIN_THREADS", format!("ruled*@{rule}"))
        .with_library()
        .run();
    let expected = "ruled but cut t, errno 4321\n0 wrong\n";
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (0, expected, ""));
}

/// A VM with SPICE, which names its thread once that runs. `None` where this QEMU has no SPICE.
fn with_spice(scratch: &Scratch, shape: impl FnOnce(VmBuilder) -> VmBuilder) -> Option<harness::Vm> {
    let says = |arguments: [&str; 2]| {
        let said = qemu().map(|qemu| Program::new(qemu).args(arguments).run()).ok()?;
        Some(said.stdout + &said.stderr)
    };
    if !says(["-device", "help"])?.contains("\"qxl\"")
        || !says(["-spice", "help"])?.contains("disable-ticketing")
    {
        skip("this QEMU has no SPICE (in Debian it is in qemu-system-modules-spice)");
        return None;
    }
    let socket = scratch.join("spice");
    let spice = format!("unix=on,addr={},disable-ticketing=on", socket.display());
    shape(VmBuilder::new(Accel::Tcg)).args(&["-device", "qxl", "-spice", &spice]).start()
}

/// The one CPU that SPICE's thread may run on, once it has its name and is settled there.
fn spice_worker_is_on(pid: u32, cpu: usize) {
    until(20, "SPICE's thread on its CPU", || {
        let (tid, _) = threads(pid).into_iter().find(|(_, name)| name == "SPICE Worker")?;
        (cpus_of_thread(pid, tid)? == [cpu]).then_some(())
    });
}

fn spice_s_thread_is_placed(how: impl Fn(VmBuilder) -> VmBuilder) {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let rule = format!("SPICE*@{}", cpus.first);
    let base = cpus.second.to_string();
    let vm = with_spice(&scratch, |vm| how(vm).env("PIN_CPUS", &base).env("PIN_THREADS", &rule));
    let Some(vm) = vm else { return };
    spice_worker_is_on(vm.pid(), cpus.first);
    vm.wait_visits(1);
    pinshim(&["check", &vm.pid().to_string()]).assert_clean();
    assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    spice_worker_is_on(vm.pid(), cpus.first);
}

#[test]
fn spice_s_own_thread_is_placed_by_its_name() {
    spice_s_thread_is_placed(|vm| vm);
}

#[test]
fn spice_s_own_thread_is_placed_by_its_name_in_the_sandbox() {
    spice_s_thread_is_placed(|vm| vm.sandbox(LIBVIRT_SANDBOX));
}

#[test]
fn apply_means_the_same_by_a_rule_with_the_library_and_without() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let (rule, base) = (format!("SPICE*@{}", cpus.first), cpus.second.to_string());
    let pinned = |vm: VmBuilder| vm.env("PIN_CPUS", &base);
    for shape in [&pinned as &dyn Fn(VmBuilder) -> VmBuilder, &|vm| vm.without_library()] {
        let scratch = Scratch::new();
        let Some(vm) = with_spice(&scratch, shape) else { return };
        let pid = vm.pid();
        until(20, "SPICE's thread", || {
            threads(pid).values().any(|name| name == "SPICE Worker").then_some(())
        });
        let applied = pinshim(&["apply", &pid.to_string(), "--cpus", &base, "--thread", &rule]);
        assert_eq!(applied.code(), 0, "{applied:?}");
        spice_worker_is_on(pid, cpus.first);
        for (tid, name) in threads(pid) {
            // A worker may have ended since.
            let Some(on) = cpus_of_thread(pid, tid) else { continue };
            assert!(name == "SPICE Worker" || on == [cpus.second], "{name}: {on:?}");
        }
    }
}

#[test]
fn the_workers_of_io_uring_follow_a_rule_that_names_them() {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let vm = VmBuilder::new(Accel::Tcg)
        .drive(Drive::new(Bus::Virtio).aio(Aio::IoUring))
        .env("PIN_CPUS", &cpus.second.to_string())
        .env("PIN_THREADS", &format!("iou-wrk-*@{}", cpus.first));
    let Some(mut vm) = vm.start() else { return };
    vm.wait_visits(1);
    let pid = vm.pid();
    let mut seen = 0;
    for _ in 0..20 {
        vm.burst();
        for (tid, name) in threads(pid) {
            if !name.starts_with("iou-wrk-") {
                continue;
            }
            if let Some(on) = cpus_of_thread(pid, tid) {
                seen += 1;
                assert_eq!(on, [cpus.first], "{name}");
            }
        }
    }
    if seen == 0 {
        return skip("this kernel makes no io_uring workers for these requests");
    }
    pinshim(&["check", &pid.to_string()]).assert_clean();
}
