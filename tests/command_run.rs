//! `pinshim run`: what it starts and with what, what it refuses, and how it ends.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use harness::{
    Accel, Expected, Finished, NOBODY, Observer, Program, Rule, Scratch, TimeLimit, VmBuilder, command,
    judge, kvm_and_tcg, library, or_skip, root_missing, skip, two_cpus,
};

/// `pinshim run` with the library under test.
fn run() -> Program {
    Program::new(command()).arg("run").env("PINSHIM_LIB", library())
}

#[track_caller]
fn fails(finished: &Finished, code: i32, says: &str) {
    assert_eq!((finished.code(), finished.stdout.as_str()), (code, ""), "{finished:?}");
    assert!(
        finished.stderr.starts_with("pinshim: ") && finished.stderr.contains(says),
        "{says}: {finished:?}"
    );
}

fn a_guest_that_it_starts_is_pinned(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(150);
    let Some(cpus) = two_cpus() else { return };
    let cpu = cpus.second.to_string();
    let library = library().to_str().unwrap();
    let starter = [command().to_str().unwrap(), "run", "--cpus", &cpu, "--"];
    let vm = VmBuilder::usual(accel).affinity(&[cpus.first]).env("PINSHIM_LIB", library).started_by(starter);
    let Some(mut vm) = vm.start() else { return };
    let observer = Observer::start(vm.pid());
    vm.wait_visits(1);
    vm.burst();
    let seen = observer.finish();
    let offences = judge(&seen, Rule::Strict, |_| Expected::cpu(cpus.second));
    assert!(offences.is_empty(), "{} offences, the first: {}", offences.len(), offences[0]);
    // Main, call_rcu, io1, two vCPUs, and a burst's workers in two pools.
    assert!(seen.count() >= 5 + 8, "only {} threads", seen.count());
    assert!(!vm.stderr().contains("pinshim"), "silent on success: {}", vm.stderr());
}

kvm_and_tcg!(
    a_kvm_guest_that_it_starts_is_pinned,
    a_tcg_guest_that_it_starts_is_pinned,
    a_guest_that_it_starts_is_pinned
);

/// A command that prints its environment, arguments and affinity.
const TELLS: &str = "env | grep -E '^(PIN_|LD_PRELOAD=)' | sort; echo \"$0 $*\"; exit 42";

#[test]
fn the_command_gets_its_environment_arguments_and_exit_status() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let finished = run()
        .env("PIN_CPUS", &second)
        .env("PIN_VHOST", &second)
        .args([
            "--cpus",
            &first,
            "--thread",
            &format!("a*@{first}"),
            "--thread",
            &format!("b@{second}"),
            "--",
        ])
        .args(["sh", "-c", TELLS, "it", "--cpus", "x y"])
        .run();
    let library = library().display();
    let expected = format!(
        "LD_PRELOAD={library}\nPIN_CPUS={first}\nPIN_THREADS=a*@{first},b@{second}\nPIN_VHOST={second}\nit --cpus x y\n"
    );
    assert_eq!((finished.code(), finished.stdout, finished.stderr), (42, expected, String::new()));
}

#[test]
fn what_is_preloaded_already_stays_behind_the_library() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let other = harness::compile_library(&scratch, &harness::Source { file: "early.c", flags: &[] });
    let finished =
        run().preload(&other).args(["--cpus", &cpus.first.to_string(), "sh", "-c", "echo $LD_PRELOAD"]).run();
    assert_eq!(finished.stdout, format!("{}:{}\n", library().display(), other.display()), "{finished:?}");
}

#[test]
fn the_affinity_it_was_started_with_is_passed_on() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let finished = run()
        .affinity(&[cpus.first])
        .args(["--cpus", &cpus.second.to_string(), "grep", "Cpus_allowed_list", "/proc/self/status"])
        .run();
    assert_eq!(finished.stdout, format!("Cpus_allowed_list:\t{}\n", cpus.first), "{finished:?}");
}

/// The command and the library say the same of the same environment, word for word.
#[test]
fn bad_values_are_reported_as_the_library_does() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(binary) = or_skip(harness::qemu()) else { return };
    for environment in [
        &[("PIN_CPUS", "9999")][..],
        &[("PIN_CPUS", "0,x,3-1"), ("PIN_VCPUS", "2-3@6-7"), ("PIN_CPU", "0")],
        &[("PIN_EMULATOR", ""), ("PIN_THREADS", "worker")],
        &[("PIN_CPUS", "0"), ("PIN_NAMES", "maybe")],
    ] {
        let with =
            |program: Program| environment.iter().fold(program, |p, (name, value)| p.env(name, value)).run();
        let by_library = with(Program::new(&binary).arg("--version").with_library());
        let by_command = with(run().arg(&binary).arg("--version"));
        assert_eq!((by_library.code(), by_command.code()), (harness::EX_CONFIG, 125));
        assert!(!by_library.stderr.is_empty());
        assert_eq!(by_command.stderr, by_library.stderr);
        assert_eq!(by_command.stdout, "", "QEMU was not started");
    }
}

#[test]
fn an_option_is_reported_by_its_variable() {
    command();
    let _limit = TimeLimit::seconds(60);
    let available = harness::available();
    let finished = run().args(["--cpus", "9999", "true"]).run();
    assert_eq!(
        finished.stderr,
        format!("pinshim: PIN_CPUS=9999: CPU 9999 is not available here ({available})\n")
    );
}

#[test]
fn without_a_placement_nothing_is_started() {
    command();
    let _limit = TimeLimit::seconds(60);
    fails(&run().args(["--", "echo", "started"]).run(), 125, "nothing says where the threads belong");
    // In the words of clap, which do not begin with the command's name.
    let misspelt = run().args(["--no-such-option", "echo"]).run();
    assert_eq!((misspelt.code(), &*misspelt.stdout), (125, ""), "{misspelt:?}");
    assert!(
        misspelt.stderr.starts_with("error: unexpected argument '--no-such-option' found\n"),
        "{misspelt:?}"
    );
}

#[test]
fn what_cannot_be_executed_and_what_is_not_there() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let on_first = |what: &str| run().args(["--cpus", "all", "--", what]).run();
    fails(&on_first("/nonexistent/qemu"), 127, "there is no /nonexistent/qemu");
    fails(&on_first("no-such-command-anywhere"), 127, "in PATH");
    fails(&on_first("/etc/passwd"), 126, "/etc/passwd is not executable");
    fails(&on_first("/etc"), 126, "/etc is a folder");
    let script = scratch.join("script");
    fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fails(&on_first(script.to_str().unwrap()), 126, "cannot be executed");
}

#[test]
fn a_static_program_is_refused() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let program = scratch.join("static");
    let source = scratch.join("static.c");
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    for flags in [&["-static"][..], &["-static-pie"]] {
        let made = Program::new("cc").args(flags).arg(&source).arg("-o").arg(&program).run();
        if made.code() != 0 {
            skip(format!("no static program can be made: {}", made.stderr.trim()));
            continue;
        }
        fails(&run().args(["--cpus", "all", "--"]).arg(&program).run(), 125, "is linked statically");
    }
}

fn another_users_copy(scratch: &Scratch, mode: u32) -> PathBuf {
    let copy = scratch.copy(PathBuf::from("/bin/true").as_path());
    chown(&copy, Some(NOBODY.0), Some(NOBODY.0)).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
    copy
}

#[test]
fn a_setuid_or_setgid_program_is_refused() {
    command();
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let scratch = Scratch::new();
    let started = |mode| run().args(["--cpus", "all", "--"]).arg(another_users_copy(&scratch, mode)).run();
    if started(0o4755).code() == 0 {
        return skip("the temporary folder is mounted nosuid");
    }
    fails(&started(0o4755), 125, "is setuid");
    fails(&started(0o2755), 125, "is setgid");
    assert_eq!(started(0o755).code(), 0);
    // A script whose interpreter is one, too.
    let copy = another_users_copy(&scratch, 0o4755);
    let script = scratch.join("script");
    fs::write(&script, format!("#! {} x\n", copy.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fails(&run().args(["--cpus", "all", "--"]).arg(&script).run(), 125, "is setuid");
}

/// What `run` says of a command that it starts all the same: `true`, in the end.
#[track_caller]
fn said_of(folder: &Scratch, words: &[&str]) -> String {
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let finished = run().env("PATH", path).args(["--cpus", "all", "--"]).args(words).run();
    assert_eq!((finished.code(), &*finished.stdout), (0, ""), "{words:?}: {finished:?}");
    finished.stderr
}

#[test]
fn a_command_that_may_end_unpinned_is_named_in_one_line() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    // A renamed QEMU, a QEMU, and a sudo as root sees it: it gives its command an environment of its own.
    let renamed = scratch.join("my-vmm");
    fs::copy("/bin/true", &renamed).unwrap();
    let qemu = scratch.join("qemu-system-fake");
    fs::copy("/bin/true", &qemu).unwrap();
    let sudo = scratch.join("sudo");
    fs::write(&sudo, "#!/bin/sh\nexec env -u LD_PRELOAD \"$@\"\n").unwrap();
    fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
    let (renamed, qemu) = (renamed.to_str().unwrap(), qemu.to_str().unwrap());
    let targets = "(qemu-system-*,.qemu-system-*-wrapped,qemu-kvm,kvm)";
    let unknown = format!(
        "pinshim: warning: my-vmm is none of the programs that PIN_TARGET names {targets}: if it is a QEMU, it runs \
         unpinned, and PIN_TARGET=my-vmm is missing\n"
    );
    assert_eq!(said_of(&scratch, &[renamed]), unknown);
    assert_eq!(said_of(&scratch, &["timeout", "10", "my-vmm"]), unknown);
    let kept_back = |what: &str| {
        format!(
            "pinshim: warning: {what} does not pass LD_PRELOAD on, and a QEMU behind it runs unpinned; start that one \
             with `pinshim run` instead\n"
        )
    };
    assert_eq!(said_of(&scratch, &["sudo", qemu]), kept_back("sudo"));
    assert_eq!(said_of(&scratch, &["timeout", "10", "env", "-i", qemu]), kept_back("`env -i`"));
    // The library itself, and no warning of `run`, judges these.
    for words in [&[qemu][..], &["timeout", "10", qemu], &["env", "A=1", qemu], &["sh", "-c", "true"]] {
        assert_eq!(said_of(&scratch, words), "", "{words:?}");
    }
    let named = run().env("PIN_TARGET", "my-*").args(["--cpus", "all", "--", renamed]).run();
    named.assert_clean();
}

#[test]
fn a_set_user_id_program_behind_a_launcher_is_named() {
    command();
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let scratch = Scratch::new();
    let copy = another_users_copy(&scratch, 0o4755);
    if run().args(["--cpus", "all", "--"]).arg(&copy).run().code() == 0 {
        return skip("the temporary folder is mounted nosuid");
    }
    let said = said_of(&scratch, &["nice", copy.to_str().unwrap()]);
    assert!(said.starts_with("pinshim: warning: ") && said.contains("is setuid"), "{said}");
}

#[test]
fn a_wrapper_script_is_started() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let script = scratch.join("start vm.sh");
    fs::write(&script, "#!/bin/sh\nexec sh -c 'echo $PIN_CPUS'\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let finished = run().args(["--cpus", "all"]).arg(&script).run();
    assert_eq!(finished.assert_clean().stdout, "all\n");
}

#[test]
fn a_library_that_ld_so_would_not_find_is_refused() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    for name in ["with:colon", "with space", "with\ttab", "with$dollar"] {
        let path = scratch.join(name);
        fs::copy(library(), &path).unwrap();
        let finished = run().env("PINSHIM_LIB", &path).args(["--cpus", "all", "true"]).run();
        fails(&finished, 125, "ld.so cuts LD_PRELOAD apart");
    }
    let finished = run().env("PINSHIM_LIB", "/nonexistent.so").args(["--cpus", "all", "true"]).run();
    fails(&finished, 125, "PINSHIM_LIB=/nonexistent.so: there is no such file");
    let finished = run().env("PINSHIM_LIB", "/etc/passwd").args(["--cpus", "all", "true"]).run();
    fails(&finished, 125, "/etc/passwd is no library");
}

#[test]
fn the_library_beside_the_command_and_in_lib_is_found() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    for folder in ["bin", "lib"] {
        fs::create_dir(scratch.join(folder)).unwrap();
    }
    let pinshim = scratch.join("bin/pinshim");
    fs::copy(command(), &pinshim).unwrap();
    let found = || {
        let finished = Program::new(&pinshim).args(["run", "--cpus", "all", "--dry-run", "--", "sh"]).run();
        finished.assert_clean().stdout.clone()
    };
    for place in ["lib/libpinshim.so", "bin/libpinshim.so"] {
        fs::copy(library(), scratch.join(place)).unwrap();
        assert!(found().contains(&format!("LD_PRELOAD={} sh", scratch.join(place).display())), "{}", found());
    }
}

/// Prints its own name and arguments, and what the library reads of the environment, with every byte of them.
const TELLS_ALL: &str = "#!/bin/sh
{ printf '%s\\0' \"$0\" \"$@\"; env -0 | grep -z -E '^(PIN_|LD_PRELOAD=)' | sort -z; } | od -An -c
exit 42
";

/// A script of this name that tells all.
fn tells_all(scratch: &Scratch, name: &str) -> PathBuf {
    let script = scratch.join(name);
    fs::write(&script, TELLS_ALL).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[test]
fn what_a_dry_run_prints_does_the_same_in_a_shell() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let folder = scratch.path().to_str().unwrap();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let plain = tells_all(&scratch, "start vm's.sh");
    // Names that a shell would take for an assignment and for a command of its own.
    let assignment = tells_all(&scratch, "a=b");
    tells_all(&scratch, "test");
    let not_text = OsString::from_vec(b"\xff\xfe".to_vec());
    let words = ["-name", "it's", "", "$HOME `id` \"x\"", "~", "#", "*", "a=b", "!!", "größe"];
    let harmful = ["a\nb", "end\n\n", "back\\slash\\012", "5%s", "\x1b[2J", "\u{202e}", "%"];
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let harmful: Vec<OsString> = harmful.iter().map(OsString::from).chain([not_text]).collect();
    for (starts, words) in [
        (plain.as_os_str(), &words),
        (plain.as_os_str(), &harmful),
        (assignment.as_os_str(), &words),
        ("test".as_ref(), &words),
    ] {
        let asked = |options: &[&str]| {
            run()
                .env("PATH", &path)
                .env("PIN_VHOST", "all")
                .env("PIN_TARGET", "*.sh")
                .env("PIN_NAMES", "off")
                .env("PIN_ROOT", "/opt/pin")
                .args(["--vcpus", "*@[all]", "--thread", "it's a*@all"])
                .args(options)
                .arg("--")
                .arg(starts)
                .args(words)
                .run()
        };
        let (itself, printed) = (asked(&[]), asked(&["--dry-run"]));
        assert_eq!((itself.code(), &*itself.stderr), (42, ""), "{itself:?}");
        let text = scratch.join("printed");
        fs::write(&text, &printed.assert_clean().stdout).unwrap();
        // Intel Pin's variable is none of ours, and is there in both.
        for shell in ["dash", "bash", "sh"] {
            let program = Program::new(shell).env("PATH", &path).env("PIN_ROOT", "/opt/pin");
            let Some(again) = program.arg(&text).run_or_skip() else { continue };
            assert_eq!(again, itself, "{shell}:\n{}", printed.stdout);
        }
    }
}

#[test]
fn a_dry_run_says_where_each_role_would_run() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let placement = format!("*@[{},{}]", cpus.first, cpus.second);
    let printed = run().args(["--vcpus", &placement, "--dry-run", "--", "sh"]).run();
    let rows: Vec<&str> = printed.assert_clean().stdout.lines().skip(1).collect();
    assert!(rows.iter().any(|row| row.contains("every vCPU") && row.ends_with(&cpus.both())), "{rows:?}");
}

#[test]
fn a_bad_value_in_a_dry_run_is_a_failure_too() {
    command();
    let _limit = TimeLimit::seconds(60);
    let finished = run().args(["--cpus", "x", "--dry-run", "true"]).run();
    let line = "pinshim: PIN_CPUS=x: x is not a set of CPUs; write it like 1, 0-3, 0-6:2, all,^1 or 0x3\n";
    assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (125, "", line));
}

/// What QEMU's arguments do not show is said, and a name that they do not create is warned of.
#[test]
fn a_dry_run_leaves_out_no_iothread() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let Some(binary) = or_skip(harness::qemu()) else { return };
    let placement = format!("io1@{},fre@{}", cpus.second, cpus.first);
    let of = |command: &[&str]| {
        run().args(["--iothreads", &placement, "--vcpus", "7@0", "--dry-run", "--"]).args(command).run()
    };
    let object = r#"{"qom-type":"iothread","id":"io1"}"#;
    let qemu = of(&[binary.to_str().unwrap(), "-smp", "2", "-object", object]);
    let row = |finished: &Finished, id: &str| {
        finished.stdout.lines().any(|line| line.starts_with(&format!("#   IOThread {id} ")))
    };
    assert!(qemu.code() == 0 && row(&qemu, "io1") && row(&qemu, "fre"), "{qemu:?}");
    for warns in ["places fre, and there is no such IOThread", "places vCPU 7, and there is no such vCPU"] {
        assert!(qemu.stderr.contains(warns), "{qemu:?}");
    }
    assert!(!qemu.stderr.contains("io1"), "{qemu:?}");
    let scratch = Scratch::new();
    let script = scratch.join("start-vm.sh");
    fs::write(&script, "#!/bin/sh\nexec qemu-system-x86_64 -object iothread,id=io1\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let script = of(&[script.to_str().unwrap()]);
    assert!(row(&script, "io1") && script.stdout.contains("is not known here"), "{script:?}");
}

/// Has the tests' usual guest started with `--require`.
fn required_guest(seconds: &str, target: Option<&str>) -> Option<harness::Vm> {
    let cpu = two_cpus()?.second.to_string();
    let starter = [command().to_str().unwrap(), "run", "--cpus", &cpu, "--require", seconds, "--"];
    let vm = VmBuilder::usual(Accel::Tcg).env("PINSHIM_LIB", library().to_str().unwrap());
    let vm = target.into_iter().fold(vm, |vm, target| vm.env("PIN_TARGET", target));
    vm.started_by(starter).start()
}

/// Whether a process looks at a command.
fn is_looked_at(pid: u32) -> bool {
    let begins = format!("require\0{pid}\0");
    let commands = fs::read_dir("/proc").unwrap().flatten();
    commands
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .any(|c| c.contains(&begins))
}

#[test]
fn a_guest_that_is_pinned_in_time_is_left_alone() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(vm) = required_guest("60", None) else { return };
    vm.wait_visits(1);
    harness::until(30, "the end of the look", || (!is_looked_at(vm.pid())).then_some(()));
    assert!(!vm.stderr().contains("pinshim"), "silent on success: {}", vm.stderr());
    assert_eq!(harness::children_of(vm.pid()), [0; 0], "QEMU has no child that it does not know of");
}

/// What is said of `--require`, which may be after the command has been ended.
fn said_of_requirement(log: &Path) -> String {
    harness::until(60, "the reason", || {
        fs::read_to_string(log).ok().filter(|said| said.contains("--require") && said.ends_with('\n'))
    })
}

/// The library is kept from it, so that nobody in it could tell.
#[test]
fn a_qemu_that_is_not_pinned_is_ended_before_its_guest_runs() {
    command();
    let _limit = TimeLimit::seconds(100);
    let Some(binary) = or_skip(harness::qemu()) else { return };
    let scratch = Scratch::new();
    let line = "-accel tcg -machine pc -m 64 -display none -nodefaults -no-user-config";
    // It waits for a connection before it makes its machine: on a busy machine the look may come late.
    let waits = format!("-chardev socket,id=c,path={},server=on,wait=on", scratch.join("c").display());
    let script = scratch.join("start-vm.sh");
    let text = format!("#!/bin/sh\nenv -i {} {line} {waits}\necho \"it goes on\"\n", binary.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let log = scratch.join("stderr");
    let run = run().args(["--cpus", "all", "--require", "60", "--"]).arg(&script);
    let finished = run.stderr(fs::File::create(&log).unwrap()).run();
    assert_eq!((finished.code(), &*finished.stdout), (-libc::SIGKILL, ""), "{finished:?}");
    let said = said_of_requirement(&log);
    assert!(said.contains("it was started without the library"), "{said}");
    assert!(said.ends_with("it was ended before a guest could run\n"), "{said}");
}

#[test]
fn a_command_that_starts_no_qemu_is_ended_after_the_time() {
    command();
    let _limit = TimeLimit::seconds(60);
    let scratch = Scratch::new();
    let log = scratch.join("stderr");
    let run = run().args(["--cpus", "all", "--require", "0.5", "--", "sleep", "50"]);
    let finished = run.stderr(fs::File::create(&log).unwrap()).run();
    assert_eq!(finished.code(), -libc::SIGKILL, "{finished:?}");
    let said = said_of_requirement(&log);
    assert!(said.contains("--require: no QEMU that the library acts in was seen after 0.5 s"), "{said}");
}

/// Unpinned under another name: it is said, and the guest goes on.
#[test]
fn a_guest_that_runs_is_not_ended_although_it_is_not_pinned() {
    command();
    let _limit = TimeLimit::seconds(100);
    // On a busy machine it takes a while until QEMU has so many threads that a guest may be running.
    let Some(vm) = required_guest("10", Some("another-program")) else { return };
    let said =
        harness::until(60, "the failure", || Some(vm.stderr()).filter(|said| said.contains("--require")));
    assert!(said.contains("a guest may be running, and is not ended"), "{said}");
    vm.wait_visits(1);
}
