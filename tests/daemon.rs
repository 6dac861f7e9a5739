//! A QEMU that becomes a daemon: the status page's register is that of the process that runs the VM.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use harness::{
    Accel, Companion, Daemon, LeftRunning, Program, Scratch, Source, TimeLimit, compile, compile_library,
    cpus_of, cpus_of_thread, kvm_and_tcg, library, or_skip, pinshim, threads, two_cpus, until,
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
    let check = pinshim(&["check", &pid.to_string()]);
    check.assert_clean();
    let show = pinshim(&["show", "--json", &pid.to_string()]);
    for thread in ["CPU 0/", "IO io1"] {
        assert!(show.assert_clean().stdout.contains(thread), "{thread}: {show:?}");
    }
}

kvm_and_tcg!(
    the_daemon_of_a_kvm_guest_is_checked_although_another_library_comes_first,
    the_daemon_of_a_tcg_guest_is_checked_although_another_library_comes_first,
    the_daemon_is_checked_although_another_library_comes_first
);

/// The server forks, and its parent ends once it serves; nothing in its arguments says so to the library.
#[test]
fn a_qemu_nbd_that_forks_is_pinned_and_its_check_says_so() {
    let _limit = TimeLimit::seconds(90);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let path = |name: &str| scratch.join(name).display().to_string();
    std::fs::write(scratch.join("image"), vec![7; 1 << 20]).expect("make an image");
    let started = Program::new("qemu-nbd")
        .args(["--fork", "--persistent", "--format", "raw", "--socket", &path("socket")])
        .args(["--pid-file", &path("pid"), &path("image")])
        .with_library()
        .affinity(&[cpus.first])
        .env("PIN_TARGET", "qemu-nbd")
        .env("PIN_CPUS", cpus.second.to_string());
    let Some(started) = started.run_or_skip() else { return };
    started.assert_clean();
    let pid = std::fs::read_to_string(scratch.join("pid")).expect("the server's pid").trim().to_owned();
    let server = Companion::of(pid.parse().expect("a pid")).expect("the server runs");
    let _server = LeftRunning(server);
    // Its workers come with the first requests.
    let uri = format!("nbd+unix:///?socket={}", path("socket"));
    let read = Program::new("qemu-io").args(["-f", "raw", "-r", "-c", "read -P 7 0 1M", &uri]).run();
    assert!(read.code() == 0 && read.stdout.contains("read 1048576/1048576 bytes"), "{read:?}");
    let all = threads(server.pid);
    assert!(all.values().any(|name| name == "worker"), "{all:?}");
    for (tid, name) in all {
        assert_eq!(
            cpus_of_thread(server.pid, tid).unwrap_or_else(|| vec![cpus.second]),
            [cpus.second],
            "{name}"
        );
    }
    pinshim(&["check", &pid]).assert_clean();
}

/// Starts a program that goes on in a forked child, and has `look` look at the child by its pid.
fn in_a_forked_child(arguments: &[&str], look: impl FnOnce(&str)) {
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let program = compile(&scratch, &Source { file: "goes_on.c", flags: &[] });
    let process = Program::new(program)
        .args(arguments)
        .affinity(&[cpus.first])
        .with_library()
        .env("PIN_TARGET", "goes_on")
        .env("PIN_CPUS", cpus.second.to_string())
        .env("EXPECT_CPU", cpus.second.to_string())
        .start();
    let pid = until(30, "the child", || Some(process.stdout().lines().next()?.to_owned()));
    let _child = LeftRunning(Companion::of(pid.parse().expect("a pid")).expect("the child lives"));
    assert_eq!(cpus_of(&pid), [cpus.second]);
    look(&pid);
    assert_eq!(process.stderr(), "");
}

/// A process is known by what it does, not by its arguments.
#[test]
fn a_forked_child_that_goes_on_has_a_status_page_of_its_own_and_no_other() {
    for arguments in
        [&["daemon"][..], &["daemon", "threads"], &["setsid"], &["threads"], &["threads", "closes"]]
    {
        in_a_forked_child(arguments, |pid| {
            pinshim(&["check", pid]).assert_clean();
            let threads = threads(pid.parse().expect("a pid")).len();
            let all = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
            let show = pinshim(&["show", pid]);
            assert!(
                show.stdout.contains(&format!("{all}, all where they belong")),
                "{arguments:?}: {show:?}"
            );
            let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
            let pages = links.filter(|link| {
                let target = link.as_ref().ok().and_then(|link| std::fs::read_link(link.path()).ok());
                target.is_some_and(|target| target.to_string_lossy().contains("memfd:pinshim"))
            });
            assert_eq!(pages.count(), 1, "{arguments:?}");
        });
    }
}

/// A child that has done nothing but to be forked may execute another program at any time.
#[test]
fn a_forked_child_that_does_nothing_yet_is_said_to_hold_its_parents_page() {
    in_a_forked_child(&["child"], |pid| {
        let check = pinshim(&["check", pid]);
        let why = "as a child that QEMU forks has until it creates a thread";
        assert!(check.code() == 3 && check.stdout.contains(why), "{check:?}");
    });
}

#[test]
fn the_parent_of_a_child_that_goes_on_keeps_its_own_page() {
    in_a_forked_child(&["threads"], |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the child's state");
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).expect("a parent");
        pinshim(&["check", parent]).assert_clean();
        let show = pinshim(&["show", parent]);
        assert!(show.stdout.contains("1 thread, all where they belong"), "{show:?}");
    });
}
