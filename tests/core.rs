//! `PIN_CORE=vm`: QEMU asks the kernel once, before it begins, for core scheduling of its own. Few test machines have a
//! kernel and CPUs for that (Debian's kernels have not), so a library stands in for the kernel. Where this host can do it,
//! every thread's cookie is asked of the kernel itself.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Finished, LIBVIRT_SANDBOX, Program, Scratch, Source, TimeLimit, Vm, VmBuilder, command,
    compile_library, kvm_and_tcg, library, qemu, skip, threads,
};

fn pinshim(verb: &str, vm: &Vm) -> Finished {
    Program::new(command()).args([verb, &vm.pid().to_string()]).run()
}

/// A VM whose kernel answers so.
fn vm(scratch: &Scratch, value: &str, answer: i32) -> Option<Vm> {
    let kernel = compile_library(scratch, &Source { file: "core_scheduling.c", flags: &[] });
    VmBuilder::new(Accel::Tcg)
        .sandbox(LIBVIRT_SANDBOX)
        .behind(kernel)
        .env("PIN_CORE", value)
        .env("CORE_ANSWER", &answer.to_string())
        .start()
}

/// linux/prctl.h: PR_SCHED_CORE_CREATE for all threads (PR_SCHED_CORE_SCOPE_THREAD_GROUP) of the calling process.
const ASKED: &str = "core scheduling: command 1, pid 0, scope 1, 0\n";

#[test]
fn the_kernel_is_asked_once_for_the_whole_process() {
    let _limit = TimeLimit::seconds(100);
    let scratch = Scratch::new();
    let Some(vm) = vm(&scratch, "vm", 0) else { return };
    assert_eq!(vm.stderr(), ASKED);
}

#[test]
fn and_not_at_all_where_nobody_wants_it() {
    let _limit = TimeLimit::seconds(100);
    let scratch = Scratch::new();
    let Some(vm) = vm(&scratch, "off", 0) else { return };
    assert_eq!(vm.stderr(), "");
}

#[test]
fn a_host_that_has_none_is_no_fault_and_named_by_show_and_check() {
    let _limit = TimeLimit::seconds(200);
    let scratch = Scratch::new();
    for (errno, why) in
        [(libc::ENODEV, "the CPUs have no SMT"), (libc::EINVAL, "the kernel has no core scheduling")]
    {
        let Some(vm) = vm(&scratch, "vm", errno) else { return };
        assert_eq!(vm.stderr(), ASKED, "silent: PIN_LOG is warn");
        let note = format!("PIN_CORE=vm is not in force: {why}");
        let shown = pinshim("show", &vm);
        assert!(shown.stdout.contains(&note), "{shown:?}");
        let checked = pinshim("check", &vm);
        assert_eq!((checked.code(), checked.stdout.as_str()), (0, ""), "{checked:?}");
        assert!(checked.stderr.contains(&note), "{checked:?}");
    }
}

#[test]
fn a_refusal_is_one_warning_and_no_check_succeeds() {
    let _limit = TimeLimit::seconds(100);
    let scratch = Scratch::new();
    let Some(vm) = vm(&scratch, "vm", libc::EPERM) else { return };
    let warned = "pinshim: warning: PIN_CORE=vm is not in force: not permitted (EPERM)\n";
    assert_eq!(vm.stderr(), format!("{ASKED}{warned}"));
    let checked = pinshim("check", &vm);
    assert_eq!(checked.code(), 1, "{checked:?}");
    assert!(
        checked.stdout.contains("PIN_CORE=vm is not in force: the kernel refused it (EPERM)"),
        "{checked:?}"
    );
}

/// The core scheduling cookie of a thread.
///
/// # Errors
/// Why there is none: the kernel or the CPUs know no core scheduling.
fn cookie(tid: u32) -> Result<u64, std::io::Error> {
    let mut cookie = 0u64;
    let of_thread = libc::PR_SCHED_CORE_SCOPE_THREAD;
    // SAFETY: the last argument is the address of a live number, which the kernel fills; the others are numbers.
    let result =
        unsafe { libc::prctl(libc::PR_SCHED_CORE, libc::PR_SCHED_CORE_GET, tid, of_thread, &raw mut cookie) };
    if result == 0 { Ok(cookie) } else { Err(std::io::Error::last_os_error()) }
}

/// Whatever this host has: the VM runs, and nothing is wrong. Where it can, every thread has the VM's cookie.
fn a_vm_runs_with_it(accel: Accel) {
    let _limit = TimeLimit::seconds(150);
    let vm = VmBuilder::usual(accel)
        .sandbox(LIBVIRT_SANDBOX)
        .env("PIN_CORE", "vm")
        .env("PIN_LOG", "pinshim::core=info");
    let Some(vm) = vm.start() else { return };
    vm.wait_visits(1);
    let said = vm.stderr();
    assert_eq!(said.lines().filter(|line| line.starts_with("pinshim: ")).count(), 1, "{said}");
    let checked = pinshim("check", &vm);
    assert_eq!((checked.code(), checked.stdout.as_str()), (0, ""), "{checked:?}");
    println!("{said}{}", checked.stderr);
    match cookie(vm.pid()) {
        Err(error) => skip(format!("this host has no core scheduling: {error}")),
        Ok(own) => {
            assert_ne!(own, 0, "the VM has a cookie");
            assert_eq!(cookie(std::process::id()).ok(), Some(0), "nobody else has one");
            // A worker may have ended since.
            let cookies = threads(vm.pid()).into_keys().filter_map(|tid| cookie(tid).ok());
            assert!(cookies.inspect(|cookie| assert_eq!(*cookie, own)).count() >= 5);
        }
    }
}

kvm_and_tcg!(a_kvm_vm_runs_with_it, a_tcg_vm_runs_with_it, a_vm_runs_with_it);

#[test]
fn another_word_is_a_fault_and_a_dry_run_says_what_it_does() {
    let _limit = TimeLimit::seconds(60);
    let Some(qemu) = qemu().ok() else { return skip("there is no QEMU") };
    let run = |value: &str| {
        let pinshim = Program::new(command()).env("PINSHIM_LIB", library());
        pinshim.args(["run", "--core", value, "--dry-run", "--"]).arg(&qemu).run()
    };
    assert!(run("on").stderr.contains("PIN_CORE=on: the value is no word it knows; write vm or off"));
    let tried = run("vm");
    assert!(tried.assert_clean().stdout.contains("core scheduling "), "{tried:?}");
    assert!(!run("off").assert_clean().stdout.contains("core scheduling"));
}
