//! What root's `pinshim` believes of processes of other users: who they are is the kernel's word, which CPUs
//! they belong on is not theirs to say, and nothing that they name is opened blindly.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use harness::{
    Accel, NOBODY, Process, Program, Scratch, Source, TimeLimit, Uid, VmBuilder, command, compile, cpus_of,
    move_thread, pinshim, root_missing, skip, two_cpus, until,
};

/// A copy of a program that any user may start, called as a QEMU.
fn called_as_qemu(scratch: &Scratch, program: &Path) -> PathBuf {
    let qemu = scratch.join("qemu-system-x86_64");
    fs::copy(program, &qemu).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    qemu
}

/// A process that calls itself the VM `name`, with a sound status page that puts it on all its CPUs.
fn pretender(qemu: &Path, name: &str, user: Option<Uid>, cpus: &[usize]) -> Process {
    let program = Program::new(qemu).args(["layout-2", "/", "-name", name]).affinity(cpus);
    let process = match user {
        Some(user) => program.user(user).start(),
        None => program.start(),
    };
    assert_eq!(
        until(30, "the page", || Some(process.stdout()).filter(|said| said.ends_with('\n'))),
        "ready\n"
    );
    process
}

#[test]
fn another_users_vm_moves_only_by_options_or_with_trust_vm() {
    command();
    let _limit = TimeLimit::seconds(150);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let (first, second) = (cpus.first.to_string(), cpus.second.to_string());
    let vm = VmBuilder::usual(Accel::Tcg).user(NOBODY).env("PIN_CPUS", &first);
    let Some(mut vm) = vm.env("PIN_VCPUS", &format!("*@{second}")).start() else { return };
    vm.wait_visits(1);
    let pid = vm.pid().to_string();
    let (_, vcpu) = vm.qmp.vcpu_tids().into_iter().next().unwrap();
    let place = || cpus_of(&format!("{pid}/task/{vcpu}"));

    let checked = pinshim(&["check", &pid]);
    assert_eq!((checked.code(), checked.stdout.as_str()), (0, ""), "{checked:?}");
    assert!(checked.stderr.contains(&format!("(PID {pid}, user nobody)")), "whose VM: {checked:?}");

    assert!(move_thread(vcpu, &[cpus.first]));
    let applied = pinshim(&["apply", &pid]);
    assert_eq!((applied.code(), applied.stdout.as_str()), (2, ""), "{applied:?}");
    assert!(applied.stderr.contains("belongs to user nobody") && applied.stderr.contains("--trust-vm"));
    assert_eq!(place(), [cpus.first], "its page moves nothing");
    pinshim(&["apply", &pid, "--trust-vm"]).assert_clean();
    assert_eq!(place(), [cpus.second]);
    pinshim(&["apply", &pid, "--vcpus", &format!("*@{first}"), "--cpus", &first]).assert_clean();
    assert_eq!(place(), [cpus.first]);
}

#[test]
fn a_name_that_another_user_gives_himself_is_neither_taken_nor_vouched_for() {
    command();
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let qemu = called_as_qemu(&scratch, &compile(&scratch, &Source { file: "fake_page.c", flags: &[] }));
    let name = format!("web-{}", std::process::id());
    let impostor = pretender(&qemu, &name, Some(NOBODY), &[cpus.first]);
    let real = pretender(&qemu, &name, None, &[cpus.first]);
    for subcommand in ["show", "check", "apply"] {
        let refused = pinshim(&[subcommand, &name]);
        assert_eq!(refused.code(), 2, "{refused:?}");
        let named = refused.stderr.contains(&format!("{} (user nobody)", impostor.pid()));
        assert!(named && refused.stderr.contains(&real.pid().to_string()), "{refused:?}");
    }
    let shown = pinshim(&["show"]);
    let mark = format!("process {} (user nobody) is called {name:?} too", impostor.pid());
    assert!(shown.stdout.contains(&mark), "{shown:?}");
    drop(real);
    let checked = pinshim(&["check", &name]);
    assert_eq!(checked.code(), 0, "{checked:?}");
    assert!(checked.stderr.contains(&format!("(PID {}, user nobody)", impostor.pid())), "{checked:?}");
}

#[test]
fn a_later_process_of_qemus_id_is_not_moved() {
    command();
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let qemu = called_as_qemu(&scratch, &compile(&scratch, &Source { file: "fake_page.c", flags: &[] }));
    let both = [cpus.first, cpus.second];
    let vm = pretender(&qemu, "web", None, &both);
    let pid = vm.pid();
    let keeper = Program::new(command()).args(["apply", &pid.to_string(), "--watch", "0.1"]).start();
    until(20, "the first round", || keeper.stdout().contains("1 thread").then_some(()));
    keeper.signal(libc::SIGSTOP);
    drop(vm);
    // The id is given out again to the next process that is started, as after some time without this.
    let again = (0..200).find_map(|_| {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let process = Program::new("sleep").arg("50").affinity(&[cpus.first]).start();
        (process.pid() == pid).then_some(process)
    });
    let Some(again) = again else { return skip("no process gets a certain id here") };
    keeper.signal(libc::SIGCONT);
    let ended = keeper.wait();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stderr.contains("has ended") && !ended.stdout.contains("moved"), "{ended:?}");
    assert_eq!(cpus_of(&again.pid().to_string()), [cpus.first]);
}

#[test]
fn what_a_process_names_as_its_library_holds_nobody_up() {
    command();
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let scratch = Scratch::new();
    let qemu = called_as_qemu(&scratch, Path::new("/bin/sleep"));
    let library = scratch.join("libpinshim.so");
    // ld.so does not find it and says so. Then it is put there.
    let process = Program::new(qemu).arg("50").env("LD_PRELOAD", &library).user(NOBODY).start();
    until(20, "ld.so's word", || process.stderr().contains("libpinshim.so").then_some(()));
    let pid = process.pid().to_string();
    let answers = |why: &str| {
        for arguments in [&["show", &pid][..], &["check", &pid], &["apply", &pid]] {
            let said = pinshim(arguments);
            assert!((said.stdout.clone() + &said.stderr).contains(why), "{said:?}");
        }
        assert_eq!(pinshim(&["show"]).code(), 0);
    };
    answers("No such file or directory");
    assert!(Program::new("mkfifo").arg(&library).run().code() == 0);
    answers("it is no regular file, and was not opened");
    for target in ["/dev/zero", "/proc/kmsg"] {
        fs::remove_file(&library).unwrap();
        symlink(target, &library).unwrap();
        answers("it is no regular file, and was not opened");
    }
    fs::remove_file(&library).unwrap();
    fs::write(&library, "text").unwrap();
    answers("that file is no library");
    assert!(process.ended().is_none());
}
