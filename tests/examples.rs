//! The examples of the documents and of the help do what their words say.
//!
//! What shows, checks or moves threads runs on a real VM. What starts one is judged by `--dry-run` on a host of sixteen
//! CPUs, since its CPU numbers are not this machine's. What needs a libvirt, or chooses CPUs by the host, is at least
//! understood by the command; other tests do it. An example of another kind fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use harness::{
    Accel, Finished, Program, Scratch, Source, TimeLimit, VmBuilder, command, compile_library, kvm_and_tcg,
    library, or_skip,
};

const DOCUMENTS: [&str; 5] =
    ["README.md", "CONTRIBUTING.md", "docs/command.md", "docs/libvirt.md", "docs/architecture.md"];

/// What a document says about the row of a role, where a comment or the text beside the example says it.
const CLAIMS: [(&str, &[(&str, &str)]); 6] = [
    (
        "run --cpus 1 -- qemu",
        &[("emulator, main loop", "1"), ("every vCPU", "1"), ("IOThreads not named", "1")],
    ),
    (
        "run --vcpus 2,3,6-7 ",
        &[
            ("vCPU 0", "2"),
            ("vCPU 1", "3"),
            ("vCPU 2", "6"),
            ("vCPU 3", "7"),
            ("emulator, main loop", "0-1"),
            ("IOThreads not named", "0-1"),
            ("migration", "0-1"),
            ("vhost", "0-1"),
        ],
    ),
    (
        "PIN_VCPUS=2,3 PIN_IOTHREADS=io1@1 ",
        &[("vCPU 0", "2"), ("vCPU 1", "3"), ("IOThread io1", "1"), ("migration", "0")],
    ),
    (
        "run --vcpus 8,9 --emulator 10 --memory strict:0 --core vm ",
        &[
            ("vCPU 0", "8"),
            ("emulator, main loop", "10"),
            ("memory of QEMU itself", "strict:0"),
            ("core scheduling", "SMT siblings run this VM or others, not both at a time"),
        ],
    ),
    (
        "run --cpus 0 --vhost '0@4,1@5' ",
        &[("vhost worker 0", "4"), ("vhost worker 1", "5"), ("vhost worker 2 and on", "0")],
    ),
    ("run --vcpus '*@[4-7]' --cpus 0 ", &[("every vCPU", "4-7"), ("emulator, main loop", "0")]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The command lines of a document's blocks.
fn of_document(text: &str) -> Vec<String> {
    let mut language = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), language) {
            (Some(name), None) => {
                assert!(
                    ["console", "sh", "xml", "text", ""].contains(&name),
                    "a block of unknown kind: {name}"
                );
                language = Some(name);
            }
            (Some(_), Some(_)) => language = None,
            (None, Some("console")) => lines.extend(line.strip_prefix("$ ").map(str::to_owned)),
            (None, Some("sh")) => lines.push(line.to_owned()),
            _ => {}
        }
    }
    lines
}

/// The examples in the help of a subcommand.
fn of_help(subcommand: &[&str]) -> Vec<String> {
    let help = Program::new(command()).args(subcommand).arg("--help").run();
    let examples =
        help.assert_clean().stdout.split_once("Examples:\n").map(|(_, examples)| examples.to_owned());
    let mut lines: Vec<String> = Vec::new();
    for line in examples.unwrap_or_default().lines() {
        match line.strip_prefix("  ") {
            // The help is wrapped at the width of its terminal.
            Some(line) if line.starts_with("pinshim ") || line.starts_with("env ") => {
                lines.push(line.to_owned())
            }
            _ => *lines.last_mut().unwrap() += &format!(" {}", line.trim()),
        }
    }
    lines
}

fn all() -> Vec<String> {
    let documents =
        DOCUMENTS.iter().flat_map(|name| of_document(&fs::read_to_string(root().join(name)).unwrap()));
    let helps: [&[&str]; 10] = [
        &[],
        &["run"],
        &["show"],
        &["check"],
        &["record"],
        &["apply"],
        &["metrics"],
        &["plan"],
        &["doctor"],
        &["libvirt"],
    ];
    let all: Vec<String> = documents.chain(helps.iter().flat_map(|subcommand| of_help(subcommand))).collect();
    assert!(all.len() > 40, "{all:#?}");
    all
}

/// How an example is tried.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// On the VM.
    Looks,
    /// By `--dry-run`.
    Starts,
    /// The command understands it.
    Understood,
    /// It is a script of this repository, or cargo's.
    Builds,
    /// It is a tool's of libvirt or systemd.
    Others,
}

fn kind(line: &str) -> Option<Kind> {
    let begins = |begins: &[&str]| begins.iter().any(|begin| line.starts_with(begin));
    Some(
        if begins(&[
            "pinshim run --auto",
            "pinshim plan",
            "pinshim doctor",
            "pinshim libvirt",
            "pinshim show --leases",
            "env $(pinshim plan",
        ]) {
            Kind::Understood
        } else if begins(&["pinshim run ", "PIN_"]) {
            Kind::Starts
        } else if begins(&[
            "pinshim show",
            "pinshim check ",
            "pinshim record ",
            "pinshim apply ",
            "pinshim metrics",
        ]) {
            Kind::Looks
        } else if begins(&["scripts/", "tests/", "PINSHIM_LONG=1 scripts/", "cargo "]) {
            Kind::Builds
        } else if begins(&["systemctl ", "virsh "]) {
            Kind::Others
        } else {
            return None;
        },
    )
}

/// A line as a shell gets it: without `sudo`, which these tests need not. An ellipsis stands for options of QEMU, and
/// where IOThreads are named, for those.
fn plain(line: &str) -> String {
    let options = if line.contains("io1@") { " -object iothread,id=io1" } else { "" };
    line.strip_prefix("sudo ").unwrap_or(line).replace(" …", options)
}

/// A shell in a fresh folder, with the command under test in PATH.
fn shell(line: &str) -> Finished {
    let scratch = Scratch::new();
    let script = scratch.join("start-vm.sh");
    fs::write(&script, "#!/bin/sh\nexec qemu-system-x86_64 \"$@\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", command().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let line = format!("cd '{}' && {line}", scratch.path().display());
    Program::new("sh").env("PATH", path).env("PINSHIM_LIB", library()).args(["-c", &line]).run()
}

#[test]
fn every_example_is_of_a_kind_that_is_tried() {
    command();
    let _limit = TimeLimit::seconds(60);
    let unknown: Vec<String> = all().into_iter().filter(|line| kind(&plain(line)).is_none()).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn what_starts_a_vm_places_it_as_the_words_beside_it_say() {
    command();
    let _limit = TimeLimit::seconds(120);
    let Some(_) = or_skip(harness::qemu()) else { return };
    let scratch = Scratch::new();
    let sixteen = compile_library(&scratch, &Source { file: "sixteen_cpus.c", flags: &["-ldl"] });
    let mut claims = 0;
    for line in all().iter().map(|line| plain(line)).filter(|line| kind(line) == Some(Kind::Starts)) {
        let dry = match line.split_once("LD_PRELOAD=/") {
            // The environment's own form: the same through `run`.
            Some((variables, rest)) => {
                format!("{variables} pinshim run --dry-run -- {}", rest.split_once(' ').unwrap().1)
            }
            None => line.replacen("pinshim run ", "pinshim run --dry-run ", 1).replacen(
                " --dry-run -- ",
                " -- ",
                1,
            ),
        };
        let dry = if dry.contains("--dry-run") { dry } else { line.clone() };
        let finished = shell(&format!("export LD_PRELOAD='{}'; {dry}", sixteen.display()));
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{line}\n{dry}");
        for (of, rows) in CLAIMS.iter().filter(|(of, _)| line.contains(of)) {
            for (who, set) in *rows {
                claims += 1;
                let row = format!("#   {who:<28}  {set}");
                assert!(finished.stdout.lines().any(|line| line == row), "{of}: {row}\n{}", finished.stdout);
            }
        }
    }
    let expected: usize = CLAIMS.iter().map(|(_, rows)| rows.len()).sum();
    assert!(claims >= expected, "an example that CLAIMS names is gone: {claims} of {expected}");
}

#[test]
fn what_chooses_cpus_or_needs_libvirt_is_understood() {
    command();
    let _limit = TimeLimit::seconds(60);
    for line in all().iter().map(|line| plain(line)).filter(|line| kind(line) == Some(Kind::Understood)) {
        // What follows is a command, a comment, or what reads it.
        let own =
            line.split(" -- ").next().unwrap().split(" # ").next().unwrap().split(" | ").next().unwrap();
        let own = own.strip_prefix("env $(").map_or(own, |inner| inner.split(')').next().unwrap());
        let finished = shell(&format!("{} --help", own.trim_end()));
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{line}");
    }
}

#[test]
fn what_builds_or_tests_is_there() {
    command();
    let _limit = TimeLimit::seconds(60);
    for line in all().iter().map(|line| plain(line)).filter(|line| kind(line) == Some(Kind::Builds)) {
        let program = line.split(' ').find(|word| !word.contains('=')).unwrap();
        if program != "cargo" {
            let about = fs::metadata(root().join(program)).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(about.permissions().mode() & 0o111 != 0, "{line}");
        }
    }
}

/// Held by a test that has a VM: some examples look at all VMs, and one that starts or ends is no example.
static ONE_VM: Mutex<()> = Mutex::new(());

fn another_vm_runs(own: u32) -> bool {
    let qemus = Program::new("pgrep").args(["qemu-system-x86"]).run();
    qemus.stdout.lines().any(|pid| pid != own.to_string())
}

fn what_looks_at_a_vm_does_so(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(150);
    let _alone = ONE_VM.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new();
    let name = format!("web-{accel:?}-{}", std::process::id());
    let socket = scratch.join("qmp2");
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    let vm = VmBuilder::usual(accel).env("PIN_CPUS", "all").args(&["-qmp", &monitor, "-name", &name]).start();
    let Some(vm) = vm else { return };
    vm.wait_visits(1);
    for line in all().iter().map(|line| plain(line)).filter(|line| kind(line) == Some(Kind::Looks)) {
        // This VM, its socket, CPUs of this machine, and less time.
        let here = line.replace(" web", &format!(" {name}")).replace(" 1234 ", &format!(" {} ", vm.pid()));
        let here = here.replace("/run/vm/qmp.sock", socket.to_str().unwrap());
        let here = here.replace("--vcpus 2,3 --emulator 0-1", "--vcpus '[all],[all]' --emulator all");
        let here = here.replace("--for 60", "--for 1").replace("--for 10", "--for 1");
        if line.contains("--all") && another_vm_runs(vm.pid()) {
            harness::skip(format!("another VM runs, and may be another user's: {line}"));
            continue;
        }
        let here = here.replace("/var/lib/prometheus/node-exporter", scratch.path().to_str().unwrap());
        let goes_on = line.contains("--watch");
        let here = if goes_on { format!("timeout 3 {here}") } else { here };
        let finished = shell(&here);
        if finished.code() == 127 && line.contains("jq") {
            harness::skip(format!("there is no jq: {line}"));
            continue;
        }
        assert_eq!(
            (finished.code(), &*finished.stderr),
            (if goes_on { 124 } else { 0 }, ""),
            "{line}\n{finished:?}"
        );
    }
}

kvm_and_tcg!(
    what_looks_at_a_kvm_guest_does_so,
    what_looks_at_a_tcg_guest_does_so,
    what_looks_at_a_vm_does_so
);
