//! A QEMU that becomes a daemon: the status page's register is that of the process that runs the VM.

use harness::{
    Accel, Daemon, Program, Scratch, Source, TimeLimit, command, compile_library, cpus_of, kvm_and_tcg,
    library, or_skip, threads, two_cpus, until,
};

/// The constructor of another library creates a thread, which makes the library under test read its
/// environment before its own constructor has run.
fn the_daemon_is_checked_although_another_library_comes_first(accel: Accel) {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let early = compile_library(&scratch, &Source { file: "early.c", flags: &[] });
    let daemon = Daemon::start(&scratch, accel, ["-object", "iothread,id=io1"], |program| {
        program
            // The loader runs the constructors of the last one first.
            .preload(library())
            .preload(early)
            .affinity(&[cpus.first])
            .env("PIN_CPUS", cpus.first.to_string())
            .env("PIN_IOTHREADS", format!("*@{}", cpus.second))
    });
    let Some(daemon) = or_skip(daemon) else { return };
    // QEMU itself may warn of features that the host's CPU has not got.
    assert!(!daemon.started().stderr.contains("pinshim"), "{:?}", daemon.started());
    let pid = daemon.process().pid;
    until(60, "the vCPU's thread", || {
        threads(pid).values().any(|name| name.starts_with("CPU 0/")).then_some(())
    });
    assert_eq!(cpus_of(&pid.to_string()), [cpus.first]);
    let check = Program::new(command()).args(["check", &pid.to_string()]).run();
    check.assert_clean();
    let show = Program::new(command()).args(["show", "--json", &pid.to_string()]).run();
    for thread in ["CPU 0/", "IO io1"] {
        assert!(show.assert_clean().stdout.contains(thread), "{thread}: {show:?}");
    }
}

kvm_and_tcg!(
    the_daemon_of_a_kvm_guest_is_checked_although_another_library_comes_first,
    the_daemon_of_a_tcg_guest_is_checked_although_another_library_comes_first,
    the_daemon_is_checked_although_another_library_comes_first
);
