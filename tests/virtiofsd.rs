//! The real virtiofsd, which forbids itself all system calls but those that it knows: it serves a front end under the
//! library as it does without, and its threads are on their set.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use harness::{
    Companion, LeftRunning, Process, Program, Scratch, Source, TimeLimit, children_of, compile,
    cpus_of_thread, own_mounts_missing, pinshim, root_missing, skip, threads, two_cpus, until,
};

/// QEMU's own up to version 7, in C, and its successor in Rust.
const PLACES: [&str; 3] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"];

/// The server and what it serves, as it is started on the command line.
fn server(scratch: &Scratch) -> Option<Program> {
    let missing = root_missing().or_else(own_mounts_missing);
    let Some(path) = PLACES.map(Path::new).into_iter().find(|path| path.exists()) else {
        skip("there is no virtiofsd");
        return None;
    };
    if let Some(why) = missing {
        skip(why);
        return None;
    }
    let shared = scratch.join("shared");
    fs::create_dir(&shared).expect("make a folder");
    fs::write(shared.join("hello"), "").expect("make a file");
    let is_rusts = Program::new(path).arg("--help").run().stdout.contains("--shared-dir");
    let socket = format!("--socket-path={}", scratch.join("socket").display());
    let server = Program::new(path).args([&*socket, "--thread-pool-size=4"]);
    Some(if is_rusts {
        server.arg("--shared-dir").arg(shared)
    } else {
        server.arg("-o").arg(format!("source={}", shared.display()))
    })
}

/// Has a front end mount the file system and look a file up in it, and go on.
fn served(scratch: &Scratch, server: &Process) -> Process {
    let front_end: PathBuf = compile(scratch, &Source { file: "front_end.c", flags: &[] });
    let front_end = Program::new(front_end).arg(scratch.join("socket")).arg("hello").start();
    until(60, "the answers", || {
        assert!(front_end.ended().is_none() && server.ended().is_none(), "{}", server.stderr());
        front_end.stdout().ends_with("served\n").then_some(())
    });
    assert_eq!(front_end.stdout(), "request 26: Success\nrequest 1: Success\nserved\n");
    front_end
}

#[test]
fn it_serves_under_the_library_with_every_thread_in_place() {
    let _limit = TimeLimit::seconds(120);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let Some(server) = server(&scratch) else { return };
    let server = server
        .with_library()
        .affinity(&[cpus.first])
        .env("PIN_TARGET", "virtiofsd")
        .env("PIN_CPUS", cpus.second.to_string())
        .start();
    let front_end = served(&scratch, &server);
    // It forks to be in namespaces of its own.
    let children = children_of(server.pid()).into_iter().filter_map(Companion::of);
    let children: Vec<LeftRunning> = children.map(LeftRunning).collect();
    let pids: Vec<u32> = children.iter().map(|child| child.0.pid).chain([server.pid()]).collect();
    for &pid in &pids {
        for (tid, name) in threads(pid) {
            let Some(on) = cpus_of_thread(pid, tid) else { continue };
            assert_eq!(on, [cpus.second], "{name}");
        }
        pinshim(&["check", &pid.to_string()]).assert_clean();
    }
    // A thread for each queue, beside the main one.
    assert!(pids.iter().any(|&pid| threads(pid).len() >= 3), "{pids:?}");
    assert!(!server.stderr().contains("pinshim"), "{}", server.stderr());
    // It ends with its front end, and not before.
    front_end.kill();
    let ended = server.wait();
    assert_eq!(ended.code(), 0, "{ended:?}");
    until(60, "the end of its processes", || children.iter().all(|child| !child.0.lives()).then_some(()));
}
