//! `pinshim libvirt` under a real libvirtd: enabling a domain, what it runs as then, and taking that back.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

// The other tests under a libvirtd use more of it.
#[allow(dead_code, reason = "shared with the other tests under a libvirtd")]
mod libvirt_world;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{Finished, Program, Scratch, TimeLimit, TwoCpus, command, or_skip, two_cpus, until};
use libvirt_world::{Domain, Libvirt, Qemu};

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

fn world() -> Option<(Libvirt, TwoCpus)> {
    let cpus = two_cpus()?;
    or_skip(Libvirt::start()).map(|libvirt| (libvirt, cpus))
}

/// Runs `pinshim libvirt`, as it was installed, on that libvirt.
fn pinshim(libvirt: &Libvirt, arguments: &[&str]) -> Finished {
    let folder = |name: &str| libvirt.path(name).display().to_string();
    Program::new(libvirt.path("usr/bin/pinshim"))
        .arg("libvirt")
        .args(arguments)
        .args(["--connect", &libvirt.uri(), "--run", &folder("run/pinshim")])
        .args(["--config", &folder("etc/pinshim"), "--pid-files", &folder("run/libvirt/qemu")])
        .args(["--hooks", &folder("etc/libvirt/hooks")])
        .run()
}

#[track_caller]
fn pinshim_ok(libvirt: &Libvirt, arguments: &[&str]) -> String {
    let done = pinshim(libvirt, arguments);
    assert_eq!((done.code(), done.stderr.as_str()), (0, ""), "{arguments:?}: {done:?}");
    done.stdout
}

/// The row of a domain in `pinshim libvirt status`, without its name; and the exit status.
#[track_caller]
fn status(libvirt: &Libvirt, domain: &Domain) -> (i32, String) {
    let done = pinshim(libvirt, &["status", &domain.name]);
    let row = done.stdout.lines().find_map(|line| line.strip_prefix(&domain.name));
    let words = row.unwrap_or_else(|| panic!("{done:?}")).split_whitespace();
    (done.code(), words.collect::<Vec<_>>().join(" "))
}

fn start(libvirt: &Libvirt, domain: &Domain) -> Qemu {
    libvirt.virsh_ok(&["start", "--paused", &domain.name]);
    libvirt.qemu(domain).expect("a QEMU")
}

fn inactive_xml(libvirt: &Libvirt, domain: &Domain) -> String {
    libvirt.virsh_ok(&["dumpxml", "--inactive", "--security-info", &domain.name])
}

#[test]
fn a_domain_is_enabled_and_starts_pinned_is_disabled_and_starts_as_it_was() {
    let _limit = TimeLimit::seconds(150);
    let Some((libvirt, cpus)) = world() else { return };
    let (here, there) = (cpus.first.to_string(), cpus.second.to_string());
    let domain = Domain::new(&libvirt, "managed", false).emulator(QEMU);
    libvirt.define(&domain);
    let before = inactive_xml(&libvirt, &domain);
    let placement = ["--cpus", &here, "--vcpus", &format!("*@{there}")];
    assert_eq!(status(&libvirt, &domain), (0, "plain".to_owned()));

    // A dry run shows the difference, and changes nothing.
    let enable = [&["enable", domain.name.as_str()], &placement[..]].concat();
    let shown = pinshim_ok(&libvirt, &[&enable[..], &["--dry-run"]].concat());
    for line in [
        format!("--- {}", domain.name),
        format!(
            "+    <pin:placement xmlns:pin=\"urn:pinshim:domain:1\" cpus=\"{here}\" vcpus=\"*@{there}\"/>"
        ),
        format!("-    <emulator>{QEMU}</emulator>"),
        format!("+    <emulator>{}</emulator>", libvirt.wrapper()),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert_eq!(inactive_xml(&libvirt, &domain), before);

    // While it runs: from the next start on.
    let qemu = start(&libvirt, &domain);
    let said = pinshim_ok(&libvirt, &enable);
    assert!(said.starts_with(&shown), "{said}");
    assert!(said.contains("runs as before until it is started anew; a reboot is not enough"), "{said}");
    assert_eq!(qemu.variable("PIN_CPUS"), None);
    let (code, row) = status(&libvirt, &domain);
    assert!(code == 1 && row.starts_with("unpinned"), "{row}");
    libvirt.destroy(&domain, qemu);
    assert_eq!(status(&libvirt, &domain), (0, "ready placed by its XML".to_owned()));

    let qemu = start(&libvirt, &domain);
    assert_eq!(qemu.cpus_of("call_rcu"), Some(here.clone()));
    until(20, "the vCPU's place", || (qemu.cpus_of("CPU 0/TCG")? == there).then_some(()));
    let row = until(20, "the verdict", || {
        let (code, row) = status(&libvirt, &domain);
        (code == 0).then_some(row)
    });
    assert!(row.starts_with("pinned") && row.ends_with("threads, placed by its XML"), "{row}");
    let all = pinshim(&libvirt, &["status", "--json"]);
    let subjects = ["hook", "wrapper", "library", "AppArmor", "SELinux", &domain.name];
    for subject in subjects.map(|subject| format!("{{\"subject\":\"{subject}\"")) {
        assert!(all.stdout.contains(&subject), "{subject}: {all:?}");
    }
    let again = pinshim_ok(&libvirt, &enable);
    assert!(again.contains("is enabled already; nothing is to be changed"), "{again}");

    // Taken back: the XML is what it was, to the byte.
    let said = pinshim_ok(&libvirt, &["disable", &domain.name]);
    assert!(said.contains("runs without pinshim from its next start on"), "{said}");
    assert_eq!(inactive_xml(&libvirt, &domain), before);
    libvirt.destroy(&domain, qemu);
    let qemu = start(&libvirt, &domain);
    assert_eq!((qemu.variable("LD_PRELOAD"), qemu.variable("PIN_CPUS")), (None, None));
    assert_eq!(status(&libvirt, &domain), (0, "plain".to_owned()));
    libvirt.destroy(&domain, qemu);
    let said = pinshim_ok(&libvirt, &["disable", &domain.name]);
    assert!(said.contains("is not enabled; nothing is to be changed"), "{said}");
}

#[test]
fn what_cputune_pins_is_taken_over() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world() else { return };
    let (here, there) = (cpus.first.to_string(), cpus.second.to_string());
    let pins = format!(
        "<vcpupin vcpu='0' cpuset='{there}'/><emulatorpin cpuset='{here}'/>\
         <iothreadpin iothread='1' cpuset='{there}'/>"
    );
    let domain = Domain::new(&libvirt, "tuned", false).emulator(QEMU).tuning(&pins);
    libvirt.define(&domain);
    let said = pinshim_ok(&libvirt, &["enable", &domain.name, "--from-cputune"]);
    let element = format!(
        "vcpus=\"0@{there},*@[all]\" iothreads=\"iothread1@{there}\" emulator=\"{here}\" workers=\"{here}\"/>"
    );
    assert!(said.contains(&element) && said.contains("agrees with that and may stay"), "{said}");
    assert!(inactive_xml(&libvirt, &domain).contains("<vcpupin"));

    // Its pins stand beside the placement: all threads are where both say.
    let qemu = start(&libvirt, &domain);
    until(20, "the verdict", || (status(&libvirt, &domain).0 == 0).then_some(()));
    assert_eq!(qemu.cpus_of("IO iothread1"), Some(there.clone()));
    assert_eq!(qemu.cpus_of("call_rcu"), Some(here));
    libvirt.destroy(&domain, qemu);

    // Without them the placement does it alone.
    let said = pinshim_ok(&libvirt, &["enable", &domain.name, "--drop-cputune"]);
    assert!(said.contains("-  <cputune>") && !inactive_xml(&libvirt, &domain).contains("<vcpupin"), "{said}");
    let qemu = start(&libvirt, &domain);
    until(20, "the IOThread's place", || (qemu.cpus_of("IO iothread1")? == there).then_some(()));
    libvirt.destroy(&domain, qemu);
    let none = pinshim(&libvirt, &["enable", &domain.name, "--from-cputune"]);
    assert_eq!(none.code(), 2);
    assert!(none.stderr.contains("its <cputune> pins nothing"), "{none:?}");
}

#[test]
fn what_would_keep_the_domain_from_starting_is_refused_before() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, _)) = world() else { return };
    let domain = Domain::new(&libvirt, "refused", false).emulator(QEMU);
    libvirt.define(&domain);
    let before = inactive_xml(&libvirt, &domain);
    let refused = |arguments: &[&str], why: &str| {
        let done = pinshim(&libvirt, &[&["enable"], arguments].concat());
        assert_eq!((done.code(), done.stdout.as_str()), (2, ""), "{arguments:?}: {done:?}");
        assert!(done.stderr.contains(why), "{why}: {done:?}");
        assert_eq!(inactive_xml(&libvirt, &domain), before);
    };
    refused(&[&domain.name, "--vcpus", "0@x", "--cpus", "0-"], "PIN_VCPUS=0@x: column 3");
    refused(&[&domain.name], "nothing says where the threads of");
    refused(&["--all", "--cpus", "0"], "failed to get domain '--all'");
    refused(&["no such", "--cpus", "0"], "virsh domuuid: failed to get domain 'no such'");

    // A QEMU that the wrapper would not run.
    let other = libvirt.path("other-qemu");
    fs::write(&other, format!("#!/bin/sh\nexec {QEMU} \"$@\"\n")).expect("write a script");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("make it a program");
    fs::write(libvirt.path("etc/pinshim/qemu-pinned.conf"), format!("QEMU={}\n", other.display()))
        .expect("write the settings");
    let why = format!("its <emulator> is {QEMU}, and {} runs {}", libvirt.wrapper(), other.display());
    refused(&[&domain.name, "--cpus", "0"], &why);
}

/// The script that installs it sees from libvirt's own files which domains need the wrapper.
#[test]
fn an_installation_that_a_domain_needs_is_taken_away_only_after_the_domain_is_disabled() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, _)) = world() else { return };
    let domain = Domain::new(&libvirt, "needs-it", false).placement("cpus='0'");
    libvirt.define(&domain);
    let folder = |name: &str| libvirt.path(name).display().to_string();
    let uninstall = || {
        Program::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/install"))
            .args(["--uninstall", "--prefix", &folder("usr"), "--sysconfdir", &folder("etc")])
            .args(["--runstatedir", &folder("run")])
            .run()
    };
    let refused = uninstall();
    let named = format!("install: the domain {} names {} as its emulator", domain.name, libvirt.wrapper());
    assert!(refused.code() == 1 && refused.stderr.contains(&named), "{refused:?}");
    assert!(libvirt.path("usr/bin/qemu-pinned").exists());
    pinshim_ok(&libvirt, &["disable", &domain.name]);
    // The tests have changed the hook, which is left for that reason.
    let done = uninstall();
    assert!(!done.stderr.contains("the domain"), "{done:?}");
    assert!(!libvirt.path("usr/bin/qemu-pinned").exists(), "{done:?}");
    let qemu = start(&libvirt, &domain);
    libvirt.destroy(&domain, qemu);
}

/// A virsh that says what it likes, in place of libvirt's.
#[test]
fn what_virsh_says_is_not_believed_blindly() {
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let virsh = scratch.join("virsh");
    let run = |script: &str| {
        fs::write(
            &virsh,
            format!("#!/bin/sh\n[ \"$2\" != uri ] || {{ echo qemu:///system; exit; }}\n{script}\n"),
        )
        .expect("write a script");
        fs::set_permissions(&virsh, fs::Permissions::from_mode(0o755)).expect("make it a program");
        let path = format!("{}:/usr/bin:/bin", scratch.path().display());
        let arguments = ["libvirt", "enable", "web", "--cpus", "0"];
        Program::new(command()).args(arguments).env("PATH", path).run()
    };
    for (script, why) in [
        ("printf 'error: \\033[2Ja\\nerror: b\\n' >&2; exit 1", "virsh domuuid: ?[2Ja; b\n"),
        ("printf '\\033]0;x\\007'", "virsh names no UUID, but ?]0;x?\n"),
        ("yes", "has said more than 8388608 bytes"),
        (
            "case $2 in domuuid) echo 7430d5d9-a334-461e-af4e-526061963a0d;; dominfo) echo 'Persistent: yes';; \
             *) echo '<domain>';; esac",
            "libvirt's XML of the domain cannot be read: it breaks off",
        ),
    ] {
        let done = run(script);
        assert_eq!((done.code(), done.stdout.as_str()), (2, ""), "{script}: {done:?}");
        assert!(done.stderr.contains(why) && !done.stderr.contains('\u{1b}'), "{script}: {done:?}");
    }
    let far = Program::new(command()).args(["libvirt", "status", "-c", "qemu+ssh://other/system"]).run();
    assert_eq!(far.code(), 2);
    assert!(far.stderr.contains("this host's"), "{far:?}");
}
