//! What stands between libvirt and QEMU, piece by piece and without a libvirt: the wrapper, the hook, the
//! installation. They run as they are installed.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::{Finished, NOBODY, Program, Scratch, TimeLimit, command, library, root_missing, skip};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

/// Pinshim, installed in a folder of the test's own.
struct Installed {
    scratch: Scratch,
}

impl Installed {
    fn new() -> Self {
        library();
        command();
        let installed = Self { scratch: Scratch::new() };
        let done = installed.install(&[]);
        assert!(done.status.success(), "{done:?}");
        installed
    }

    fn install(&self, more: &[&str]) -> Finished {
        let folder = |name: &str| self.path(name).display().to_string();
        Program::new(format!("{ROOT}/scripts/install"))
            .args([
                "--prefix",
                &folder("usr"),
                "--sysconfdir",
                &folder("etc"),
                "--runstatedir",
                &folder("run"),
            ])
            .args(more)
            .run()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(&path, text).expect("write a file");
        path
    }

    /// A QEMU that says how it was started.
    fn echo(&self, name: &str) -> PathBuf {
        let script = "#!/bin/sh\nfor a in \"$@\"; do printf '[%s]\\n' \"$a\"; done\nenv | grep -E '^(PIN_|LD_)' | sort\n";
        let path = self.write(name, script);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it a program");
        path
    }

    /// Runs the wrapper over that QEMU.
    fn wrapper(&self, arguments: &[&str]) -> Program {
        let qemu = self.echo("bin/qemu-system-x86_64");
        self.write("etc/pinshim/qemu-pinned.conf", &format!("# the real one\nQEMU={}\n", qemu.display()));
        Program::new(self.path("usr/bin/qemu-pinned")).args(arguments).env("HOME", self.path("home"))
    }

    fn preload(&self) -> String {
        format!("LD_PRELOAD={}\n", self.path("usr/lib/libpinshim.so").display())
    }

    /// Runs the hook with a domain's XML.
    fn hook(&self, arguments: &[&str], xml: &str) -> Finished {
        self.hook_reading(&self.write("input.xml", xml), arguments)
    }

    fn hook_reading(&self, input: &Path, arguments: &[&str]) -> Finished {
        self.hook_program(input, arguments).run()
    }

    fn hook_program(&self, input: &Path, arguments: &[&str]) -> Program {
        Program::new("sh")
            .args(["-c", r#"input=$1; shift; exec "$@" <"$input""#, "sh"])
            .arg(input)
            .arg(self.path("etc/libvirt/hooks/qemu.d/pinshim"))
            .args(arguments)
    }

    fn left(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("run/pinshim/domains")).into_iter().flatten().flatten();
        files.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
    }
}

fn xml(placement: &str) -> String {
    format!(
        "<domain type='kvm'><name>web</name><uuid>{UUID}</uuid><metadata>\
         <pin:placement xmlns:pin='urn:pinshim:domain:1' {placement}/></metadata></domain>"
    )
}

mod wrapper {
    use super::*;

    /// Sees that it became QEMU without a word but that the domain has no placement.
    #[track_caller]
    fn assert_unplaced(done: &Finished, domain: &str) {
        let said = format!("pinshim: no placement found for {domain}: the hook has left none in /");
        assert!(
            done.code() == 0 && done.stderr.starts_with(&said) && done.stderr.lines().count() == 1,
            "{done:?}"
        );
    }

    #[test]
    fn without_a_placement_everything_passes_untouched() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        // As libvirt asks for capabilities; and a domain of its own that has no file.
        for arguments in [
            &["-S", "-no-user-config", "-machine", "none,accel=kvm:tcg", "a b", "", "*", "'\"$HOME"][..],
            &["-name", "guest=web,debug-threads=on", "-uuid", UUID],
            &["-name"],
            &[],
        ] {
            let done = installed.wrapper(arguments).run();
            // The domain's log says so of a domain, and of nothing else.
            if arguments.len() > 1 && arguments[0] == "-name" {
                assert_unplaced(&done, "web");
            } else {
                done.assert_clean();
            }
            let echoed: String = arguments.iter().map(|argument| format!("[{argument}]\n")).collect();
            assert_eq!(done.stdout, echoed);
        }
        let other = installed.wrapper(&[]).env("LD_PRELOAD", "").run();
        assert_eq!(other.stdout, "LD_PRELOAD=\n");
    }

    /// The wrapper has a list of them of its own. The help of `run` is made from the code's.
    #[test]
    fn each_variable_that_places_is_a_placement() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let help = Program::new(command()).args(["run", "--help"]).run().stdout;
        let named = help.split("(PIN_").skip(1).filter_map(|rest| rest.split_once(')'));
        let mut variables: Vec<String> = named.map(|(name, _)| format!("PIN_{name}")).collect();
        // It says how often, and not where.
        variables.retain(|name| name != "PIN_WATCH");
        assert!(variables.len() >= 10 && variables.contains(&"PIN_MEMORY".to_owned()), "{variables:?}");
        for variable in variables {
            let done = installed.wrapper(&["-name", "guest=web"]).env(&variable, "0").run();
            let environment = format!("{variable}=0\n");
            assert!(
                done.assert_clean().stdout.contains(&environment)
                    && done.stdout.contains(&installed.preload()),
                "{variable}: {done:?}"
            );
        }
    }

    #[test]
    fn a_file_is_found_by_the_domains_name() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        for (guest, file) in [
            ("guest=web,debug-threads=on", "web"),
            ("debug-threads=on,guest=web", "web"),
            ("guest=a,,b ,,", "a,b ,"),
            ("guest=../web%,debug-threads=on", "%2E.%2Fweb%25"),
            ("guest=größe", "größe"),
        ] {
            let path = installed.write(&format!("etc/pinshim/domains/{file}.env"), "PIN_CPUS=0 1\n");
            let done = installed.wrapper(&["-name", guest]).run();
            done.assert_clean();
            let expected =
                format!("[-name]\n[{guest}]\n{}PIN_CPUS=0 1\nPIN_MANAGER=libvirt\n", installed.preload());
            assert_eq!(done.stdout, expected);
            fs::remove_file(path).expect("remove it");
        }
    }

    #[test]
    fn the_first_file_counts_and_the_environment_stands() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let start = || {
            let guest = ["-name", "guest=web", "-uuid", UUID];
            installed.wrapper(&guest).env("PIN_EMULATOR", "7").env("LD_PRELOAD", "").run().stdout
        };
        let file = |name: &str, text: &str| installed.write(&format!("{name}/pinshim/domains/web.env"), text);
        file("home/.config", "PIN_CPUS=3\nPIN_EMULATOR=3");
        assert!(start().contains("PIN_CPUS=3\nPIN_EMULATOR=7\n"), "{}", start());
        file("etc", "PIN_CPUS=2\n");
        assert!(start().contains("PIN_CPUS=2\n"), "{}", start());
        file("run", &format!("UUID={UUID}\nPIN_VCPUS=1\n"));
        assert!(start().contains("PIN_VCPUS=1\n") && !start().contains("PIN_CPUS"), "{}", start());
        // The hook's file of another domain of that name.
        file("run", "UUID=00000000-0000-0000-0000-000000000000\nPIN_VCPUS=1\n");
        assert!(start().contains("PIN_CPUS=2\n") && !start().contains("PIN_VCPUS"), "{}", start());
    }

    /// What the wrapper says of a domain's file that it has found by the domain's name.
    fn by_name(installed: &Installed, file: &str) -> String {
        format!(
            "pinshim: {} is used, found by the domain's name, which can change and become another's; call it {UUID}.env\n",
            installed.path(file).display()
        )
    }

    #[test]
    fn a_file_is_found_by_the_domains_uuid_whatever_its_name_is() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let start = |guest: &str, uuid: &str| installed.wrapper(&["-name", guest, "-uuid", uuid]).run();
        for place in ["home/.config", "etc"] {
            let folder = format!("{place}/pinshim/domains");
            let path = installed.write(&format!("{folder}/{UUID}.env"), "PIN_CPUS=3\n");
            // After `virsh domrename` too, and before a file of that name.
            installed.write(&format!("{folder}/web.env"), "PIN_CPUS=2\n");
            for guest in ["guest=web", "guest=renamed"] {
                let done = start(guest, UUID);
                done.assert_clean();
                assert!(done.stdout.contains("PIN_CPUS=3\n"), "{done:?}");
            }
            // A later domain of the name has another UUID.
            fs::remove_file(installed.path(&format!("{folder}/web.env"))).expect("remove it");
            let later = start("guest=web", "00000000-0000-0000-0000-000000000000");
            assert!(!later.stdout.contains("PIN_"), "{later:?}");
            // Nor is a name that looks like a UUID one.
            let posing = start(&format!("guest={UUID}"), "00000000-0000-0000-0000-000000000000");
            assert!(!posing.stdout.contains("PIN_"), "{posing:?}");
            fs::remove_file(path).expect("remove it");
        }
    }

    #[test]
    fn a_file_that_is_found_by_the_name_alone_is_said() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let start = || installed.wrapper(&["-name", "guest=web", "-uuid", UUID]).run();
        let file = "etc/pinshim/domains/web.env";
        installed.write(file, "PIN_CPUS=2\n");
        let done = start();
        assert!(done.stdout.contains("PIN_CPUS=2\n") && done.code() == 0, "{done:?}");
        assert_eq!(done.stderr, by_name(&installed, file));
        // One that names its domain is nobody else's.
        installed.write(file, &format!("UUID={UUID}\nPIN_CPUS=2\n"));
        start().assert_clean();
        installed.write(file, "UUID=00000000-0000-0000-0000-000000000000\nPIN_CPUS=2\n");
        let done = start();
        assert_unplaced(&done, "web");
        assert!(!done.stdout.contains("PIN_"), "{done:?}");
    }

    #[test]
    fn a_bad_file_is_refused_and_never_evaluated() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let trap = installed.path("trap");
        let touch = format!("$(touch {0}) `touch {0}`; touch {0}", trap.display());
        for bad in
            ["PATH=/", "export PIN_CPUS=1", "PIN_CPUS", "PIN_cpus=1", "PIN_X$(id)=1", "LD_PRELOAD=x", &touch]
        {
            installed.write("etc/pinshim/domains/web.env", &format!("# a comment\n{bad}\n"));
            let done = installed.wrapper(&["-name", "guest=web"]).run();
            assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{bad}");
            assert!(
                done.stderr.contains(&format!("web.env, line 2: this is no PIN_NAME=value: {bad}")),
                "{done:?}"
            );
        }
        installed.write("etc/pinshim/domains/web.env", &format!("PIN_CPUS={touch}\n"));
        let done = installed.wrapper(&["-name", "guest=web"]).run();
        assert!(done.stdout.contains(&format!("PIN_CPUS={touch}\n")), "{done:?}");
        assert!(!trap.exists());
    }

    #[test]
    fn which_qemu_it_becomes() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let other = installed.echo("bin/my-vmm");
        installed.write("etc/pinshim/domains/web.env", "PIN_CPUS=0\n");
        let done = installed.wrapper(&["-name", "guest=web"]).env("QEMU_PINNED_REAL", &other).run();
        let targets = "PIN_TARGET=qemu-system-*,.qemu-system-*-wrapped,qemu-kvm,kvm,my-vmm\n";
        assert!(done.stdout.contains(targets), "{done:?}");
        let asked = installed.wrapper(&["--print-real-qemu"]).env("QEMU_PINNED_REAL", &other).run();
        asked.assert_clean();
        assert_eq!(asked.stdout, format!("{}\n", other.display()));
        let missing = installed.wrapper(&[]).env("QEMU_PINNED_REAL", "/nonexistent/qemu").run();
        assert_eq!(missing.code(), 78);
        assert!(missing.stderr.contains("/nonexistent/qemu, the real QEMU, is not there"), "{missing:?}");
        // By the name of a link.
        fs::remove_file(installed.path("etc/pinshim/qemu-pinned.conf")).expect("no settings");
        let link = installed.path("usr/bin/qemu-system-none-pinned");
        symlink("qemu-pinned", &link).expect("make a link");
        let done = Program::new(&link).run();
        assert!(done.stderr.contains("/usr/bin/qemu-system-none, the real QEMU,"), "{done:?}");
    }

    #[test]
    fn a_library_that_cannot_be_read_is_refused() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        installed.write("etc/pinshim/domains/web.env", "PIN_CPUS=0\n");
        fs::remove_file(installed.path("usr/lib/libpinshim.so")).expect("remove the library");
        let done = installed.wrapper(&["-name", "guest=web"]).run();
        assert_eq!(done.code(), 78);
        assert!(done.stderr.contains("libpinshim.so is not there or may not be read"), "{done:?}");
        // Nor a folder, of which ld.so would only say that it cannot preload it.
        fs::create_dir(installed.path("usr/lib/libpinshim.so")).expect("a folder in its place");
        let done = installed.wrapper(&["-name", "guest=web"]).run();
        assert!(
            done.code() == 78 && done.stderr.contains("libpinshim.so is not there or may not be read"),
            "{done:?}"
        );
        // Whoever needs none is not bothered.
        assert_unplaced(&installed.wrapper(&["-name", "guest=other"]).run(), "other");
    }

    const PLACES: [&str; 3] = ["run/pinshim", "etc/pinshim", "home/.config/pinshim"];

    /// The wrapper started no QEMU, and said why.
    #[track_caller]
    fn assert_refused(done: &Finished, why: &str) {
        assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{why}: {done:?}");
        assert!(done.stderr.starts_with("pinshim: ") && done.stderr.contains(why), "{why}: {done:?}");
    }

    /// Removes a file, a folder, or what else there is.
    fn remove(path: &Path) {
        let _ = fs::remove_dir_all(path);
        let _ = fs::remove_file(path);
    }

    #[test]
    fn a_domains_file_that_cannot_be_used_keeps_it_from_starting() {
        let _limit = TimeLimit::seconds(200);
        let installed = Installed::new();
        let start = || installed.wrapper(&["-name", "guest=web", "-uuid", UUID]).run();
        for place in PLACES {
            let path =
                installed.write(&format!("{place}/domains/web.env"), &format!("UUID={UUID}\nPIN_CPUS=0\n"));
            start().assert_clean();
            remove(&path);
            fs::create_dir(&path).expect("make a folder");
            assert_refused(&start(), "web.env is no plain file");
            remove(&path);
            symlink("nowhere", &path).expect("make a link");
            assert_refused(&start(), "web.env is no plain file");
            remove(&path);
            symlink("web.env", &path).expect("make a link to itself");
            assert_refused(&start(), "web.env is no plain file");
            remove(&path);
            Program::new("mkfifo").arg(&path).run().assert_clean();
            assert_refused(&start(), "web.env is no plain file");
            remove(&path);
            let large = fs::File::create(&path).expect("make a file");
            large.set_len(1 << 30).expect("make it large");
            assert_refused(&start(), "web.env has 1073741824 bytes");
            for unplaced in ["", "# nothing yet\n", "PIN_LOG=info\n", "PIN_CPUSET=0\n"] {
                fs::write(&path, unplaced).expect("write a file");
                assert_refused(&start(), "web.env says of no thread where it is to run");
            }
            // A link to a good one is one.
            let good = installed.write(&format!("{place}/template"), "PIN_CPUS=0\n");
            remove(&path);
            symlink(&good, &path).expect("make a link");
            assert!(start().stdout.contains("PIN_CPUS=0\n"), "{:?}", start());
            remove(&path);
            // No folder of files, or a link to none.
            let domains = path.parent().expect("a folder");
            remove(domains);
            fs::write(domains, "").expect("a file in its place");
            assert_refused(&start(), "domains is no folder");
            remove(domains);
            symlink("nowhere", domains).expect("make a link");
            assert_refused(&start(), "domains is no folder");
            remove(domains);
            // What is wrong with one domain's file is no other's trouble.
            installed.write(&format!("{place}/domains/other.env"), "nonsense\n");
            assert_unplaced(&start(), "web");
        }
    }

    #[test]
    fn a_file_that_others_could_have_written_is_not_taken() {
        let _limit = TimeLimit::seconds(200);
        let installed = Installed::new();
        let start = || installed.wrapper(&["-name", "guest=web"]).run();
        let set = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set a mode");
        };
        for place in PLACES {
            let path = installed.write(&format!("{place}/domains/web.env"), "PIN_CPUS=0\n");
            let folders = [installed.path(&format!("{place}/domains")), installed.path(place)];
            for open in folders.iter().chain([&path]) {
                set(open, 0o777);
                assert_refused(&start(), &format!("{} can be written to by everybody", open.display()));
                set(open, 0o775);
            }
            start().assert_clean();
            if let Some(why) = root_missing() {
                return skip(why);
            }
            for foreign in folders.iter().chain([&path]) {
                std::os::unix::fs::chown(foreign, Some(NOBODY.0), None).expect("give it away");
                assert_refused(&start(), &format!("{} belongs to user {}", foreign.display(), NOBODY.0));
                // He himself may use it.
                let his = installed.wrapper(&["-name", "guest=web"]).user(NOBODY).run();
                assert!(his.stdout.contains("PIN_CPUS=0\n"), "{his:?}");
                std::os::unix::fs::chown(foreign, Some(0), None).expect("take it back");
            }
            remove(&path);
        }
    }

    #[test]
    fn what_qemus_user_cannot_look_into_keeps_the_domain_from_starting() {
        let _limit = TimeLimit::seconds(100);
        if let Some(why) = root_missing() {
            return skip(why);
        }
        let installed = Installed::new();
        let start = || installed.wrapper(&["-name", "guest=web"]).user(NOBODY).run();
        for place in ["run/pinshim", "etc/pinshim"] {
            let path = installed.write(&format!("{place}/domains/web.env"), "PIN_CPUS=0\n");
            let set = |path: &Path, mode: u32| {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set a mode");
            };
            set(&path, 0o600);
            assert_refused(&start(), "web.env may not be read by QEMU's user");
            set(&path, 0o644);
            for folder in [place.to_owned(), format!("{place}/domains")] {
                let folder = installed.path(&folder);
                set(&folder, 0o700);
                assert_refused(&start(), &format!("{} may not be searched by QEMU's user", folder.display()));
                set(&folder, 0o755);
            }
            start().assert_clean();
            remove(&path);
        }
    }

    #[test]
    fn settings_that_cannot_be_used_keep_every_qemu_from_starting() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let settings = installed.path("etc/pinshim/qemu-pinned.conf");
        // As libvirt asks for capabilities.
        let start = || Program::new(installed.path("usr/bin/qemu-pinned")).arg("-version").run();
        installed.wrapper(&[]).run().assert_clean();
        start().assert_clean();
        let text = fs::read_to_string(&settings).expect("the settings");
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o666)).expect("set a mode");
        assert_refused(&start(), "qemu-pinned.conf can be written to by everybody");
        remove(&settings);
        symlink("nowhere", &settings).expect("make a link");
        assert_refused(&start(), "qemu-pinned.conf is no plain file");
        remove(&settings);
        Program::new("mkfifo").arg(&settings).run().assert_clean();
        assert_refused(&start(), "qemu-pinned.conf is no plain file");
        remove(&settings);
        fs::write(&settings, format!("{text}{}", "#\n".repeat(60_000))).expect("write the settings");
        assert_refused(&start(), "more than 98304 are not read");
        // A folder may be searched, and is no program for all that.
        fs::write(&settings, "QEMU=/usr\n").expect("write the settings");
        assert_refused(&start(), "/usr, the real QEMU, is not there or may not be executed");
    }

    #[test]
    fn hostile_names_lead_nowhere_and_are_shown_harmless() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        installed.write("etc/pinshim/domains/web.env", "PIN_CPUS=0\n");
        let start = |guest: &str| installed.wrapper(&["-name", guest]).run();
        let long = "x".repeat(1000);
        let percents = "%".repeat(200);
        for guest in [
            "guest=-",
            "guest=--",
            "guest=..",
            "guest=.",
            "guest=*",
            "guest=w?b",
            "guest=[w]eb",
            "guest=web.env",
            "guest=../domains/web",
            "guest=web\n",
            "guest=\nweb",
            "guest=$(id)",
            "guest=%",
            "guest=,,web",
            "process=a,,guest=web",
            "guest=web,guest=other",
            &format!("guest={long}"),
            &format!("guest={percents}"),
        ] {
            let done = start(guest);
            assert_eq!(done.stdout, format!("[-name]\n[{guest}]\n"), "nothing is there for it");
            // All of it in one harmless line, or nothing where that is no name.
            let said = &done.stderr;
            assert!(done.code() == 0 && said.lines().count() <= 1 && said.len() < 1000, "{done:?}");
            assert!(!said.trim_end().contains(char::is_control), "{done:?}");
            assert!(said.is_empty() || said.starts_with("pinshim: no placement found for "), "{done:?}");
        }
        for guest in [
            "guest=web,process=x,,guest=other",
            "process=a,,b,guest=web",
            "guest=other,guest=web",
            "web",
            "web,debug-threads=on",
        ] {
            assert!(start(guest).stdout.contains("PIN_CPUS=0\n"), "{guest}: {:?}", start(guest));
        }
        // Time that goes with the square of the length would be much here.
        assert_refused(&start(&format!("guest={}", ",".repeat(100_000))), "has more than 4096 characters");
        // What is said of a name, and of a line, is shown on terminals.
        let name = "ü\u{1b}]0;x\u{7}\u{9b}2J\n\r";
        let file = format!("etc/pinshim/domains/{}.env", name.replace('\n', "%0A"));
        installed.write(&file, "\u{1b}[2J\u{9b}31m");
        let done = start(&format!("guest={name}"));
        assert_refused(&done, "ü?]0;x??2J%0A?.env, line 1: this is no PIN_NAME=value: ?[2J?31m");
        assert!(!done.stderr.trim_end().contains(char::is_control), "{done:?}");
        installed.write("etc/pinshim/domains/web.env", &"x".repeat(60_000));
        assert!(start("guest=web").stderr.len() < 1000);
    }
}

mod hook {
    use super::*;

    #[test]
    fn only_prepare_refuses_and_only_a_bad_placement() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let bad = xml("cpus='0-' vcpus='x'");
        let done = installed.hook(&["web", "prepare", "begin", "-"], &bad);
        assert_eq!((done.code(), done.stdout.as_str()), (78, ""));
        let said: Vec<&str> = done.stderr.lines().collect();
        assert!(said.len() == 2 && said[0].starts_with("pinshim: PIN_CPUS=0-: "), "{said:?}");
        assert!(said[1].starts_with("pinshim: PIN_VCPUS=x: "), "{said:?}");
        assert!(installed.left().is_empty());
        let operations = [
            ["start", "begin"],
            ["started", "begin"],
            ["reconnect", "begin"],
            ["stopped", "end"],
            ["release", "end"],
            ["migrate", "begin"],
            ["restore", "begin"],
            ["new", "thing"],
        ];
        for text in [bad.as_str(), "", "<domain", "\u{0}", &xml("cpus='0'")] {
            for [operation, suboperation] in operations {
                let done = installed.hook(&["web", operation, suboperation, "-"], text);
                assert_eq!((done.code(), done.stdout.as_str()), (0, ""), "{operation} {text}");
            }
        }
        // What is no domain's fault.
        for text in ["", "<domain", "<domain><uuid>x</uuid></domain>"] {
            assert_eq!(installed.hook(&["web", "prepare", "begin", "-"], text).code(), 0, "{text}");
        }
        for arguments in [&[][..], &["web"], &["--help", "prepare", "begin", "-", "more"]] {
            assert_eq!(installed.hook(arguments, &xml("cpus='0'")).code(), 0, "{arguments:?}");
        }
    }

    #[test]
    fn a_placement_that_the_command_cannot_carry_on_keeps_the_domain_from_starting() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let command = installed.path("usr/bin/pinshim");
        let unpinned = format!("<domain><uuid>{UUID}</uuid></domain>");
        let prepare = |xml: &str| installed.hook(&["web", "prepare", "begin", "-"], xml);
        let assert_refuses_only_a_placement = |what: &str| {
            let done = prepare(&xml("cpus='0'"));
            assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{what}: {done:?}");
            assert!(done.stderr.contains("cannot be run, and the domain may have"), "{what}: {done:?}");
            assert_eq!(prepare(&unpinned).code(), 0, "{what}: it has no placement");
        };
        let assert_never_kills_a_guest = |what: &str| {
            for operation in ["started", "reconnect", "release", "migrate"] {
                let done = installed.hook(&["web", operation, "begin", "-"], &xml("cpus='0'"));
                assert_eq!((done.code(), done.stdout.as_str()), (0, ""), "{what}: {operation}");
            }
        };
        fs::remove_file(&command).expect("remove the command");
        assert_refuses_only_a_placement("no command");
        assert_never_kills_a_guest("no command");
        for (text, what) in [
            ("", "no program"),
            ("#!/nonexistent\n", "no interpreter"),
            ("#!/bin/sh\nexit 2\n", "other arguments"),
        ] {
            fs::write(&command, text).expect("write a command");
            fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("make it a program");
            if text.is_empty() {
                // A shell takes an empty file for an empty script.
                fs::write(&command, [0x7f, b'E', b'L', b'F', 0]).expect("write a command");
            }
            assert_refuses_only_a_placement(what);
            assert_never_kills_a_guest(what);
        }
        // Nobody knows then what the XML said.
        for text in ["#!/bin/sh\ncat >/dev/null\nkill -9 $$\n", "#!/bin/sh\nexit 101\n"] {
            fs::write(&command, text).expect("write a command");
            let done = prepare(&xml("cpus='0'"));
            assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{text}");
            assert!(done.stderr.contains("before it was done with the domain's XML"), "{done:?}");
            assert_never_kills_a_guest(text);
        }
    }

    #[test]
    fn what_it_leaves_can_be_read_by_qemus_user_whatever_the_umask() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let input = installed.write("input.xml", &xml("cpus='0'"));
        let prepare = |umask: libc::mode_t| {
            let hook = installed.hook_program(&input, &["web", "prepare", "begin", "-"]);
            let masked = hook.before_exec(move || {
                // SAFETY: takes no pointer.
                unsafe { libc::umask(umask) };
                Ok(())
            });
            masked.run().assert_clean();
        };
        let mode = |name: &str| fs::metadata(installed.path(name)).expect("it is there").mode() & 0o7777;
        // Only root, as which libvirt runs the hook, may enter the folders that it makes under the last one.
        let all = root_missing().is_none().then_some(0o777);
        for umask in [0o077, 0].into_iter().chain(all) {
            prepare(umask);
            for (name, expected) in [
                ("run", 0o755),
                ("run/pinshim", 0o755),
                ("run/pinshim/domains", 0o755),
                ("run/pinshim/domains/web.env", 0o644),
            ] {
                assert_eq!(mode(name), expected, "umask {umask:o}: {name}");
            }
            if root_missing().is_none() {
                let started = installed.wrapper(&["-name", "guest=web", "-uuid", UUID]).user(NOBODY).run();
                assert!(started.stdout.contains("PIN_CPUS=0\n"), "{started:?}");
            }
            fs::remove_dir_all(installed.path("run")).expect("as at the next boot");
        }
        // Folders that a hook of before has left under such a umask.
        prepare(0o022);
        for name in ["run/pinshim/domains", "run/pinshim"] {
            fs::set_permissions(installed.path(name), fs::Permissions::from_mode(0o700)).expect("set a mode");
        }
        prepare(0o022);
        assert_eq!((mode("run/pinshim"), mode("run/pinshim/domains")), (0o755, 0o755));
    }

    #[test]
    fn what_it_leaves_is_for_the_wrapper_and_goes() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        for domain in ["web", "../../etc/x", ".hidden", "a b,c", "-x"] {
            let done =
                installed.hook(&[domain, "prepare", "begin", "-"], &xml("cpus='0&#10;X=1' vcpus='*@0'"));
            assert_eq!(done.code(), 78, "a line's end is white space, so that X=1 is no CPU: {done:?}");
            let done = installed.hook(&[domain, "prepare", "begin", "-"], &xml("cpus='0' vcpus='*@0'"));
            done.assert_clean();
            assert_eq!(installed.left().len(), 1, "{domain}: {:?}", installed.left());
            let guest = format!("guest={},debug-threads=on", domain.replace(',', ",,"));
            let started = installed.wrapper(&["-name", &guest, "-uuid", UUID]).run();
            assert!(
                started.stdout.contains("PIN_CPUS=0\nPIN_MANAGER=libvirt\nPIN_VCPUS=*@0\n"),
                "{started:?}"
            );
            // Of an earlier start; the domain has lost its placement since.
            installed
                .hook(&[domain, "prepare", "begin", "-"], &format!("<domain><uuid>{UUID}</uuid></domain>"));
            assert!(installed.left().is_empty(), "{:?}", installed.left());
            installed.hook(&[domain, "prepare", "begin", "-"], &xml("cpus='0'"));
            installed.hook(&[domain, "release", "end", "-"], &xml("cpus='0'")).assert_clean();
            assert!(installed.left().is_empty(), "{:?}", installed.left());
        }
        assert!(!installed.path("etc/x.env").exists());
    }

    #[test]
    fn what_is_not_understood_keeps_a_domain_from_starting_with_the_reason() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let namespace = "xmlns:pin='urn:pinshim:domain:1'";
        for (inside, why) in [
            (format!("<pin:placement {namespace} pin:cpus='0'/>"), "attribute pin:cpus has a prefix"),
            (
                format!("<pin:placement {namespace} cpus='0'><vcpu/></pin:placement>"),
                "holds an element, <vcpu>",
            ),
            (format!("<pin:placement {namespace} cpus='0'>1</pin:placement>"), "holds text: 1"),
            (format!("<pin:placement {namespace}/>"), "has no attribute; there are cpus"),
            (format!("<pin:placements {namespace} cpus='0'/>"), "<pin:placements> is not known"),
            (format!("<x><pin:placement {namespace} cpus='0'/></x>"), "stands in <x>"),
            ("<p:placement xmlns:p='urn:pinshim:domain:2' cpus='0'/>".to_owned(), "is of the namespace"),
        ] {
            let xml = format!("<domain><uuid>{UUID}</uuid><metadata>{inside}</metadata></domain>");
            let done = installed.hook(&["web", "prepare", "begin", "-"], &xml);
            assert_eq!((done.code(), done.stdout.as_str()), (78, ""), "{inside}");
            assert!(done.stderr.starts_with("pinshim: ") && done.stderr.contains(why), "{done:?}");
            assert!(installed.left().is_empty());
            let started = installed.hook(&["web", "started", "begin", "-"], &xml);
            assert_eq!(started.code(), 0);
            assert!(started.stderr.contains("no thread was moved or checked"), "{started:?}");
        }
    }

    /// The hook, with as much time on a CPU and memory as any domain's XML may take.
    fn bounded(hook: Program) -> Finished {
        let bounds = [(libc::RLIMIT_CPU, 3), (libc::RLIMIT_AS, 256 << 20)];
        let bounded = hook.before_exec(move || {
            for (kind, most) in bounds {
                let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
                // SAFETY: a struct that lives across the call.
                if unsafe { libc::setrlimit(kind, &raw const limit) } != 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
        bounded.run()
    }

    #[test]
    fn an_xml_of_any_shape_and_size_is_answered_within_bounds() {
        let _limit = TimeLimit::seconds(300);
        let installed = Installed::new();
        let pin = "xmlns:pin='urn:pinshim:domain:1'";
        for bytes in [100_000, 1_000_000, 7_000_000, 40_000_000] {
            let many = |one: &str| one.repeat(bytes / one.len());
            let declared: String = (0..60).map(|number| format!(" xmlns:n{number}='urn:n'")).collect();
            let rules: String = (0..bytes / 10).map(|number| format!("a{number}@0,")).collect();
            let shapes = [
                format!("<metadata><pin:placement {pin} cpus='{}'/></metadata>", many("x,")),
                format!("<metadata><pin:placement {pin} threads='{rules}'/></metadata>"),
                format!("<metadata><pin:placement {pin}{}/></metadata>", many(" a=''")),
                format!(
                    "<metadata><pin:placement {pin} cpus='0'>{}</pin:placement></metadata>",
                    many("<a/>")
                ),
                format!("<metadata>{}<pin:placement {pin} cpus='x'/></metadata>", many("<a>")),
                format!(
                    "<metadata><pin:placement {pin} cpus='x'/></metadata><a{declared}>{}</a>",
                    many("<z:a/>")
                ),
                format!("<a xmlns:a='{}' xmlns:b='urn:pinshim'>{}<b:c/></a>", many("u"), many("<a:b/>")),
                format!("<p xmlns='urn:pinshim'>{}</p>", many("<a/>")),
            ];
            for inside in shapes {
                let xml = format!("<domain><uuid>{UUID}</uuid>{inside}</domain>");
                let input = installed.write("input.xml", &xml);
                let done = bounded(installed.hook_program(&input, &["web", "prepare", "begin", "-"]));
                let shape = inside.get(..80).unwrap_or(&inside);
                assert_eq!(done.code(), 78, "{bytes} {shape}: {done:?}");
                assert!(!done.stderr.contains("before it was done"), "{bytes} {shape}: {done:?}");
                assert!((1..8000).contains(&done.stderr.len()), "{bytes} {shape}: {}", done.stderr.len());
                assert!(installed.left().is_empty());
                let done = bounded(installed.hook_program(&input, &["web", "reconnect", "begin", "-"]));
                assert_eq!(done.code(), 0, "{bytes} {shape}: {done:?}");
            }
        }
    }

    #[test]
    fn an_xml_that_does_not_end_keeps_a_domain_from_starting() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let pipe = installed.path("pipe");
        Program::new("mkfifo").arg(&pipe).run().assert_clean();
        let mut writer = fs::File::options().read(true).write(true).open(&pipe).expect("open the pipe");
        writer.write_all(b"<domain>").expect("begin the XML");
        let done = installed.hook_reading(&pipe, &["web", "prepare", "begin", "-"]);
        assert_eq!(done.code(), 78);
        assert!(done.stderr.contains("web, which may have a <pin:placement>"), "{done:?}");
    }

    #[test]
    fn it_gives_up_when_nobody_writes() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let pipe = installed.path("pipe");
        Program::new("mkfifo").arg(&pipe).run().assert_clean();
        // Open for both, so that nobody waits for the other end, and the reader never sees this one's.
        let mut writer = fs::File::options().read(true).write(true).open(&pipe).expect("open the pipe");
        writer.write_all(b"<domain>").expect("begin the XML");
        let begun = Instant::now();
        let done = installed.hook_reading(&pipe, &["web", "started", "begin", "-"]);
        assert_eq!(done.code(), 0);
        assert!(done.stderr.contains("has given up"), "{done:?}");
        // The time limit is what is tested; a busy machine is given more than the second.
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}

mod install {
    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found.sort();
        found
    }

    #[test]
    fn twice_is_once_and_nothing_is_left_of_it() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let state = || -> Vec<(PathBuf, u64, i64)> {
            let about = |path: PathBuf| {
                let about = fs::metadata(&path).expect("a file");
                (path, about.ino(), about.mtime_nsec())
            };
            let all = files(&installed.path("usr")).into_iter().chain(files(&installed.path("etc")));
            all.filter(|path| !path.ends_with("manifest")).map(about).collect()
        };
        let before = state();
        assert!(before.len() >= 10, "{before:?}");
        let help = Program::new(installed.path("usr/bin/pinshim")).arg("--help").run();
        help.assert_clean();
        installed.install(&[]).assert_clean();
        assert_eq!(state(), before, "nothing was written again");
        installed.install(&["--uninstall"]).assert_clean();
        assert!(!installed.path("usr").exists() && !installed.path("etc").exists());
        assert_eq!(installed.install(&["--uninstall"]).code(), 1);
    }

    #[test]
    fn it_backs_off_from_what_is_not_its_own() {
        let _limit = TimeLimit::seconds(100);
        let installed = Installed::new();
        let changed = installed.write("usr/bin/qemu-pinned", "mine\n");
        let done = installed.install(&[]);
        assert_eq!(done.code(), 1);
        assert!(
            done.stderr.contains("qemu-pinned is there already and not from here, or changed since"),
            "{done:?}"
        );
        let done = installed.install(&["--uninstall"]);
        assert_eq!(done.code(), 1);
        assert_eq!(files(&installed.path("usr")), std::slice::from_ref(&changed));
        assert_eq!(fs::read_to_string(&changed).expect("it is there"), "mine\n");
        // Nothing at all is written beside a stranger.
        assert_eq!(installed.install(&[]).code(), 1);
        assert_eq!(files(installed.scratch.path()), [changed]);
    }

    #[test]
    fn a_path_that_ld_so_would_split_is_refused() {
        let _limit = TimeLimit::seconds(100);
        library();
        let scratch = Scratch::new();
        for prefix in ["/tmp/a b", "/tmp/a:b", "relative"] {
            let done = Program::new(format!("{ROOT}/scripts/install")).args(["--prefix", prefix]).run();
            assert_eq!(done.code(), 1, "{done:?}");
        }
        let staged = Program::new(format!("{ROOT}/scripts/install"))
            .args(["--prefix", "/usr"])
            .env("DESTDIR", scratch.path())
            .run();
        staged.assert_clean();
        let wrapper = fs::read_to_string(scratch.join("usr/bin/qemu-pinned")).expect("below DESTDIR");
        assert!(wrapper.contains("\nlibrary=/usr/lib/libpinshim.so\n"), "DESTDIR is in no path");
    }

    #[test]
    fn an_ordinary_user_installs_all_but_libvirts_hook_into_a_folder_of_his_own() {
        let _limit = TimeLimit::seconds(100);
        if let Some(why) = root_missing() {
            return skip(why);
        }
        library();
        command();
        let script = format!("{ROOT}/scripts/install");
        // What was built is all he needs, but he must get there.
        let readable = |file: &Path| Program::new("test").arg("-r").arg(file).user(NOBODY).run().code() == 0;
        if ![Path::new(&script), library(), command()].into_iter().all(readable) {
            return skip("an ordinary user cannot read this checkout");
        }
        let scratch = Scratch::new();
        std::os::unix::fs::chown(scratch.path(), Some(NOBODY.0), Some(NOBODY.0))
            .expect("give the folder away");
        let install = |more: &[&str]| {
            let prefix = scratch.join("own");
            // Without cargo, which is root's: the script then takes what is there.
            let program = Program::new(&script).arg("--prefix").arg(prefix).args(more);
            program.env("PATH", "/usr/bin:/bin").user(NOBODY).run()
        };
        let done = install(&[]);
        assert_eq!(done.code(), 0, "{done:?}");
        assert!(done.stdout.contains("libvirt's hook"), "it says what is left out: {done:?}");
        let version = Program::new(scratch.join("own/bin/pinshim")).arg("--version").user(NOBODY).run();
        version.assert_clean();
        assert_eq!(install(&["--uninstall"]).code(), 0);
        assert!(files(scratch.path()).is_empty());
    }
}
