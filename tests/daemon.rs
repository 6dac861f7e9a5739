//! A QEMU that becomes a daemon: the register is that of the process which runs the VM.

use std::fs;

use harness::{
    Companion, Program, Scratch, Source, TimeLimit, assemble, command, compile_library, cpus_of, kvm_missing,
    library, qemu, skip, two_cpus, until,
};

/// The process that runs the VM. It is killed when the value goes.
struct Daemon(Companion);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.signal(libc::SIGKILL);
    }
}

/// The names of the threads of a process.
fn names(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the threads").flatten();
    tasks
        .filter_map(|task| Some(fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned()))
        .collect()
}

/// Another library's constructor has the library under test decide before its own constructor has run.
fn the_daemon_is_checked_although_another_library_comes_first(accel: &str) {
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let binary = match qemu() {
        Ok(binary) => binary,
        Err(why) => return skip(why),
    };
    let scratch = Scratch::new();
    let early = compile_library(&scratch, &Source { file: "early.c", flags: &[] });
    let pid_file = scratch.join("pid");
    let process = Program::new(binary)
        .args(["-accel", accel, "-display", "none", "-nodefaults", "-no-user-config"])
        .args(["-drive", &format!("format=raw,file={}", assemble(&scratch).display())])
        .args(["-object", "iothread,id=io1", "-daemonize", "-pidfile"])
        .arg(&pid_file)
        // The loader runs the constructors of the last one first.
        .preload(library())
        .preload(early)
        .affinity(&[cpus.first])
        .env("PIN_CPUS", cpus.first.to_string())
        .env("PIN_IOTHREADS", format!("*@{}", cpus.second))
        .start();
    // The parent ends once the daemon runs. What QEMU says of the host's CPU is no matter here.
    let parent = process.wait();
    let pid = fs::read_to_string(&pid_file).expect("the daemon's pid").trim().parse().expect("a pid");
    let _daemon = Daemon(Companion::of(pid).expect("the daemon runs"));
    assert!(parent.status.success() && !parent.stderr.contains("pinshim"), "{parent:?}");
    until(60, "the vCPU's thread", || names(pid).iter().any(|name| name.starts_with("CPU 0/")).then_some(()));
    assert_eq!(cpus_of(&pid.to_string()), [cpus.first]);
    let check = Program::new(command()).args(["check", &pid.to_string()]).run();
    check.assert_clean();
    let show = Program::new(command()).args(["show", "--json", &pid.to_string()]).run();
    for thread in ["CPU 0/", "IO io1"] {
        assert!(show.assert_clean().stdout.contains(thread), "{thread}: {show:?}");
    }
}

#[test]
fn the_daemon_of_a_tcg_guest_is_checked_although_another_library_comes_first() {
    the_daemon_is_checked_although_another_library_comes_first("tcg");
}

#[test]
fn the_daemon_of_a_kvm_guest_is_checked_although_another_library_comes_first() {
    match kvm_missing() {
        Some(why) => skip(why),
        None => the_daemon_is_checked_although_another_library_comes_first("kvm"),
    }
}
