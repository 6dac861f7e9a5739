//! Domains that have their CPUs for themselves, `exclusive="yes"`, under a real libvirtd: of two that want a CPU one starts,
//! and its QEMU alone has the lease, until it ends.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "shared with the other tests under a libvirtd")]
mod libvirt_world;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use harness::{
    Finished, NOBODY, Process, Program, TimeLimit, TwoCpus, brokers_of, long, or_skip, two_cpus, until,
};
use libvirt_world::{Domain, Libvirt, Qemu};

/// A libvirt and two CPUs to use; or says why the test is skipped.
fn world() -> Option<(Libvirt, TwoCpus)> {
    let cpus = two_cpus()?;
    or_skip(Libvirt::start()).map(|libvirt| (libvirt, cpus))
}

/// A domain that wants the second CPU for itself.
fn exclusive(libvirt: &Libvirt, name: &str, cpus: TwoCpus) -> Domain {
    let (here, there) = (cpus.first, cpus.second);
    Domain::new(libvirt, name, false)
        .placement(&format!("cpus='{here}' vcpus='*@{there}' iothreads='*@{there}' exclusive='yes'"))
}

fn leases(libvirt: &Libvirt) -> PathBuf {
    libvirt.path("run/pinshim/leases")
}

/// The processes that have the lease of a CPU open, with the flags of their descriptors.
fn holders(lease: &Path) -> BTreeMap<u32, u32> {
    let mut holders = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|pid| pid.parse().ok()) else { continue };
        for fd in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            if fs::read_link(fd.path()).is_ok_and(|target| target == lease) {
                let info = process.path().join("fdinfo").join(fd.file_name());
                let info = fs::read_to_string(info).unwrap_or_default();
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap_or("0");
                holders.insert(pid, u32::from_str_radix(flags, 8).unwrap());
            }
        }
    }
    holders
}

/// Whether somebody has the lease.
fn is_leased(lease: &Path) -> bool {
    let Ok(file) = File::open(lease) else { return false };
    // SAFETY: takes no pointer; `file` keeps the descriptor open.
    (unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) != 0
}

/// The QEMU has the lease, closed at exec; nobody else has it, its broker neither.
#[track_caller]
fn assert_has_it_alone(qemu: Qemu, lease: &Path) {
    assert!(is_leased(lease));
    until(10, "QEMU alone with its lease", || (holders(lease).len() == 1).then_some(()));
    let holders = holders(lease);
    assert!(holders[&qemu.pid] & libc::O_CLOEXEC as u32 != 0, "{holders:?}");
    assert_eq!(brokers_of(qemu.pid).len(), 1);
}

/// Ends a QEMU as a crash would.
fn kill(qemu: Qemu) {
    // SAFETY: takes no pointer; the process is one of this test's own domains.
    unsafe { libc::kill(qemu.pid as i32, libc::SIGKILL) };
}

/// The domain did not start, and whoever asked for it is told who has the CPU.
#[track_caller]
fn assert_refused(libvirt: &Libvirt, refused: &Finished, domain: &Domain, holder: &str, cpu: usize) {
    let has = format!("has leased {cpu}");
    assert_eq!(refused.code(), 1, "{refused:?}");
    for said in [&refused.stderr, &libvirt.domain_log(domain)] {
        assert!(said.contains(&has) && said.contains(&format!("domain {holder}")), "{said}");
    }
    assert!(!libvirt.path(&format!("run/pinshim/domains/{}.env", domain.name)).exists());
}

#[test]
fn of_two_domains_at_once_one_has_the_cpu_until_it_is_destroyed() {
    let _limit = TimeLimit::seconds(if long() { 900 } else { 200 });
    let Some((libvirt, cpus)) = world() else { return };
    let domains = ["one", "other"].map(|name| exclusive(&libvirt, name, cpus));
    domains.iter().for_each(|domain| libvirt.define(domain));
    let lease = leases(&libvirt).join(format!("cpu{}", cpus.second));
    for round in 0..if long() { 25 } else { 2 } {
        let start = |domain: &Domain| libvirt.virsh_program(&["start", &domain.name]).start();
        let both = domains.each_ref().map(start);
        let done: Vec<Finished> = both.into_iter().map(Process::wait).collect();
        let started: Vec<usize> = (0..2).filter(|&index| done[index].status.success()).collect();
        assert_eq!(started.len(), 1, "round {round}: {done:?}");
        let (first, second) = (started[0], 1 - started[0]);
        let qemu = libvirt.qemu(&domains[first]).unwrap();
        assert_has_it_alone(qemu, &lease);
        assert_refused(&libvirt, &done[second], &domains[second], &domains[first].name, cpus.second);
        // Once more, now that it runs.
        assert_refused(
            &libvirt,
            &start(&domains[second]).wait(),
            &domains[second],
            &domains[first].name,
            cpus.second,
        );
        libvirt.destroy(&domains[first], qemu);
        let qemu = libvirt.start_domain(&domains[second]);
        assert_has_it_alone(qemu, &lease);
        kill(qemu);
        until(10, "the lease's end", || (!is_leased(&lease)).then_some(()));
        until(30, "the domain's end", || {
            libvirt.virsh(&["destroy", &domains[second].name]).stderr.contains("not running").then_some(())
        });
    }
    let modes = [leases(&libvirt), lease].map(|path| path.metadata().unwrap().permissions().mode() & 0o7777);
    assert_eq!(modes, [0o755, 0o600]);
    let left: Vec<_> = fs::read_dir(libvirt.path("run/pinshim/domains")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A program in the wrapper's place, which waits before it becomes the wrapper.
fn slow_wrapper(libvirt: &Libvirt, begun: &Path, go: &Path) -> PathBuf {
    let path = libvirt.path("usr/bin/slow");
    let wrapper = libvirt.wrapper();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' guest='*)\n    touch {}\n    while [ ! -e {} ]; do sleep 0.02; done ;;\nesac\n\
         exec {wrapper} \"$@\"\n",
        begun.display(),
        go.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn nobody_gets_a_domains_leases_but_the_process_that_libvirt_has_started_for_it() {
    let _limit = TimeLimit::seconds(120);
    let Some((libvirt, cpus)) = world() else { return };
    let folder = libvirt.path("signals");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let (begun, go) = (folder.join("begun"), folder.join("go"));
    let slow = slow_wrapper(&libvirt, &begun, &go);
    let domain = exclusive(&libvirt, "slow", cpus).emulator(slow.to_str().unwrap());
    libvirt.define(&domain);
    let lease = leases(&libvirt).join(format!("cpu{}", cpus.second));
    let start = libvirt.virsh_program(&["start", &domain.name]).start();
    until(60, "the wrapper's beginning", || begun.exists().then_some(()));
    assert!(is_leased(&lease), "by the hook's keeper");
    let left = fs::read_to_string(libvirt.path(&format!("run/pinshim/domains/{}.env", domain.name))).unwrap();
    let socket = left.lines().find_map(|line| line.strip_prefix("LEASES=")).unwrap().to_owned();
    // With all that the wrapper has, but for the place that libvirt gave it.
    let take = Program::new(libvirt.path("usr/bin/pinshim"))
        .user(NOBODY)
        .args(["libvirt-take", "--socket", &socket, "--", "/bin/true"])
        .run();
    assert!(take.code() == 78 && take.stderr.contains("is not known as that"), "{take:?}");
    assert!(is_leased(&lease) && holders(&lease).len() == 1, "{:?}", holders(&lease));
    fs::write(&go, "").unwrap();
    let start = start.wait();
    assert!(start.status.success(), "{}", start.stderr);
    let qemu = libvirt.qemu(&domain).unwrap();
    assert_has_it_alone(qemu, &lease);
    libvirt.destroy(&domain, qemu);
    assert!(!is_leased(&lease));

    // What never becomes QEMU gives them back as it ends, for the next start at once.
    for path in [&begun, &go] {
        fs::remove_file(path).unwrap();
    }
    let start = libvirt.virsh_program(&["start", &domain.name]).start();
    until(60, "the wrapper's beginning", || begun.exists().then_some(()));
    assert!(is_leased(&lease));
    kill(libvirt.qemu(&domain).unwrap());
    assert!(!start.wait().status.success());
    assert!(!is_leased(&lease));
    fs::write(&go, "").unwrap();
    let qemu = libvirt.start_domain(&domain);
    assert_has_it_alone(qemu, &lease);
    libvirt.destroy(&domain, qemu);
}
