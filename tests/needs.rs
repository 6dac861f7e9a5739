//! What scripts do on a machine that lacks something: they say all that they install, and remove nothing.
//!
//! `scripts/demo` runs in a checkout of the test's own, with nothing in PATH but a shell's tools and an apt that only
//! takes notes.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use harness::{Finished, NOBODY, Program, Scratch, TimeLimit, root_missing, skip};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What the scripts use of a shell's tools.
const TOOLS: [&str; 13] =
    ["basename", "bash", "cat", "dirname", "env", "grep", "head", "ls", "paste", "rm", "sed", "sh", "sort"];

/// Notes what it is asked, and answers a simulation with the file `plan`.
const APT_GET: &str = r#"#!/bin/sh
echo "$*" >>"${0%/*}/../asked"
case "$*" in *--simulate*) cat "${0%/*}/../plan" ;; esac
"#;

/// Knows packages of cargo by the file `policy`.
const APT_CACHE: &str = "#!/bin/sh\ngrep -A 2 \"^$2:\" \"${0%/*}/../policy\"\n";

/// Debian 12's: cargo as old as can be, and the browsers' one.
const DEBIAN_12: &str = "rustc:\n  Installed: (none)\n  Candidate: 1.63.0+dfsg1-2\n\
                         rustc-web:\n  Installed: (none)\n  Candidate: 1.85.0+dfsg3-1~deb12u3\n";

struct World {
    scratch: Scratch,
}

impl World {
    fn new(policy: &str, plan: &str) -> Self {
        let world = Self { scratch: Scratch::new() };
        for folder in ["bin", "checkout", "home"] {
            fs::create_dir(world.scratch.join(folder)).expect("make a folder");
        }
        let checkout = world.scratch.join("checkout");
        let copied =
            Program::new("cp").arg("-r").args([format!("{ROOT}/scripts"), format!("{ROOT}/Cargo.toml")]);
        copied.arg(&checkout).run().assert_clean();
        for tool in TOOLS {
            let found = std::env::split_paths(&std::env::var_os("PATH").expect("a PATH"))
                .map(|folder| folder.join(tool))
                .find(|path| path.exists());
            symlink(found.expect("a tool of every system"), world.scratch.join("bin").join(tool))
                .expect("make a link");
        }
        world.program("apt-get", APT_GET);
        world.program("apt-cache", APT_CACHE);
        world.write("policy", policy);
        world.write("plan", plan);
        world.write("asked", "");
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.scratch.join(name), text).expect("write a file");
    }

    fn program(&self, name: &str, text: &str) {
        self.write(&format!("bin/{name}"), text);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.scratch.join("bin").join(name), mode).expect("make it a program");
    }

    /// A cargo of this version, and the other programs that the demo needs.
    fn with_cargo(&self, version: &str) {
        self.program("cargo", &format!("#!/bin/sh\necho 'cargo {version} (0 2026-01-01)'\n"));
    }

    fn with_all_but_cargo(&self) {
        for name in ["cc", "ld", "qemu-system-x86_64"] {
            self.program(name, "#!/bin/sh\n");
        }
    }

    fn with_sudo(&self) {
        self.program("sudo", "#!/bin/sh\nexec \"$@\"\n");
    }

    fn demo(&self) -> Program {
        Program::new(self.scratch.join("checkout/scripts/demo"))
            .env("PATH", self.scratch.join("bin"))
            .env("CARGO_HOME", self.scratch.join("home"))
    }

    /// What apt was asked that changes something.
    fn installed(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.scratch.join("asked")).expect("read a file");
        asked.lines().filter(|line| !line.contains("--simulate")).map(str::to_owned).collect()
    }
}

#[track_caller]
fn assert_said(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code(), 1, "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "it says {word}: {}", finished.stderr);
    }
}

#[test]
fn an_old_cargo_is_not_removed_for_a_newer_one() {
    let _limit = TimeLimit::seconds(60);
    let plan = "Remv cargo [0.66.0+ds1-1]\nRemv rustc [1.63.0+dfsg1-2]\nInst cargo-web (1.85.0 Debian:12)\n";
    let world = World::new(DEBIAN_12, plan);
    world.with_sudo();
    world.with_all_but_cargo();
    world.with_cargo("1.65.0");
    let done = world.demo().run();
    let said = [
        "Rust 1.85 or later is needed: ",
        "bin/cargo is 1.65.0\n",
        "apt would remove for it: cargo rustc. Nothing was done;",
        "apt-get install --no-install-recommends cargo-web rustc-web ca-certificates",
    ];
    assert_said(&done, &said);
    assert_eq!(world.installed(), ["update -qq"]);
}

#[test]
fn all_that_is_missing_is_installed_at_once_and_said() {
    let _limit = TimeLimit::seconds(60);
    let plan = "Inst cargo-web (1.85.0 Debian:12)\n".repeat(30);
    let world = World::new(DEBIAN_12, &plan);
    world.with_sudo();
    let done = world.demo().run();
    let packages = "g++ binutils qemu-system-x86 cargo-web rustc-web ca-certificates";
    // The apt of the test brings none.
    let said = [
        "Rust 1.85 or later is needed: there is no cargo\n",
        &format!("installing: {packages} (and what they need: 24 more packages)\n"),
        "Rust was installed, but there is no cargo",
    ];
    assert_said(&done, &said);
    let command = format!("install --no-install-recommends --no-remove --yes --quiet=2 {packages}");
    assert_eq!(world.installed(), ["update -qq".to_owned(), command]);
}

#[test]
fn a_user_without_rights_is_told_all_that_is_missing() {
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let world = World::new(DEBIAN_12, "");
    let done = world.demo().user(NOBODY).run();
    let packages = "g++ binutils qemu-system-x86 cargo-web rustc-web ca-certificates";
    let command = format!("As root: apt-get install --no-install-recommends {packages}\n");
    assert_said(&done, &[&format!("missing here: {packages}. "), &command]);
    assert!(world.installed().is_empty());
}

#[test]
fn where_apt_has_no_rust_that_is_new_enough_it_is_said() {
    let _limit = TimeLimit::seconds(60);
    let world = World::new("rustc:\n  Installed: (none)\n  Candidate: 1.63.0+dfsg1-2\n", "");
    world.with_sudo();
    world.with_cargo("1.65.0");
    assert_said(&world.demo().run(), &["bin/cargo is 1.65.0\n", "https://rustup.rs"]);
    assert_eq!(world.installed(), ["update -qq"]);
}

#[test]
fn where_nothing_is_missing_apt_is_not_asked() {
    let _limit = TimeLimit::seconds(60);
    let world = World::new(DEBIAN_12, "");
    world.with_all_but_cargo();
    world.with_cargo("1.85.0");
    // It ends at what the small cargo does not build.
    world.demo().run();
    assert_eq!(fs::read_to_string(world.scratch.join("asked")).expect("read a file"), "");
}

#[test]
fn the_newest_of_two_cargos_is_taken() {
    let _limit = TimeLimit::seconds(60);
    let world = World::new(DEBIAN_12, "");
    world.with_all_but_cargo();
    world.with_cargo("1.65.0");
    fs::create_dir(world.scratch.join("home/bin")).expect("make a folder");
    world.program(
        "../home/bin/cargo",
        "#!/bin/sh\n[ \"$1\" = --version ] || : >\"$0.used\"\necho cargo 1.90.0\n",
    );
    world.demo().run();
    assert!(world.scratch.join("home/bin/cargo.used").exists());
}
