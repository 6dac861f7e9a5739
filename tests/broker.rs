//! The process outside QEMU's sandbox, seen as an administrator sees it: what it is, that it ends when
//! QEMU ends, and what becomes of a VM that loses it.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use harness::{
    Accel, Companion, Daemon, NOBODY, Program, Qmp, Scratch, Source, TimeLimit, TwoCpus, Uid, Vm, VmBuilder,
    brokers_of, compile_library, cpus_of, library, or_skip, root_missing, run_as, skip, two_cpus, until,
};
use serde_json::json;

const SANDBOX: &str = "on,resourcecontrol=deny";

/// A sandboxed VM on the first CPU whose IOThreads belong on the second.
fn sandboxed(cpus: TwoCpus) -> VmBuilder {
    VmBuilder::new(Accel::Tcg)
        .sandbox(SANDBOX)
        .affinity(&[cpus.first])
        .env("PIN_CPUS", &cpus.first.to_string())
        .env("PIN_IOTHREADS", &format!("*@{}", cpus.second))
}

/// Has QEMU create an IOThread; where it is once QEMU says that it is there.
#[track_caller]
fn new_iothread(qmp: &mut Qmp, id: &str) -> Iothread {
    qmp.execute("object-add", json!({"qom-type": "iothread", "id": id}));
    let tid = qmp.iothread_tids().into_iter().find(|(name, _)| name == id).expect("the new IOThread").1;
    Iothread(tid)
}

struct Iothread(u32);

impl Iothread {
    fn cpus(&self) -> Vec<usize> {
        cpus_of(&self.0.to_string())
    }
}

#[track_caller]
fn only_broker(pid: u32) -> Companion {
    let brokers = brokers_of(pid);
    assert_eq!(brokers.len(), 1, "one broker: {brokers:?}");
    brokers[0]
}

#[track_caller]
fn wait_for_end(broker: Companion) {
    until(60, "the broker's end", || (!broker.lives()).then_some(()));
}

#[track_caller]
fn one_warning(vm: &Vm, holds: &str) {
    let said = vm.stderr();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("pinshim")).collect();
    assert!(lines.len() == 1 && lines[0].contains(holds), "one warning of {holds:?}: {said}");
}

mod ends_with_qemu {
    use super::*;

    fn ended_by(end: impl Fn(Vm), times: u32) {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        for _ in 0..times {
            let Some(vm) = sandboxed(cpus).paused().start() else { return };
            let broker = only_broker(vm.pid());
            end(vm);
            wait_for_end(broker);
        }
    }

    #[test]
    fn that_was_told_to_quit() {
        ended_by(|vm| assert!(vm.quit().status.success()), 1);
    }

    #[test]
    fn that_was_killed() {
        ended_by(|vm| vm.process().kill(), 20);
    }

    #[test]
    fn that_has_aborted() {
        ended_by(
            |vm| {
                vm.process().signal(libc::SIGABRT);
                until(60, "QEMU's end", || vm.process().ended());
            },
            1,
        );
    }

    #[test]
    fn that_was_killed_while_the_broker_was_stopped() {
        ended_by(
            |vm| {
                let halted = only_broker(vm.pid()).halt();
                vm.process().kill();
                drop(halted);
            },
            1,
        );
    }
}

mod looks {
    use super::*;

    /// linux/capability.h: SETGID, SETUID, SYS_PTRACE, SYS_NICE.
    const CAPABILITIES: u64 = 1 << 6 | 1 << 7 | 1 << 19 | 1 << 23;

    /// Every signal but SIGKILL and SIGSTOP, as /proc prints a set of them.
    const ALL_SIGNALS: u64 = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));

    fn hex(process: Companion, title: &str) -> u64 {
        u64::from_str_radix(&process.status(title), 16).expect("a hexadecimal number")
    }

    fn pids_of_qemu(user: Option<Uid>) -> Option<Vec<u32>> {
        let pidof = Program::new("pidof").arg("qemu-system-x86_64");
        let pidof = user.into_iter().fold(pidof, Program::user);
        let said = pidof.run_or_skip()?.stdout;
        Some(said.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect())
    }

    #[test]
    fn like_a_process_of_its_own() {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        let Some(vm) = sandboxed(cpus).start() else { return };
        let broker = only_broker(vm.pid());
        let read = |file: &str| fs::read(format!("/proc/{}/{file}", broker.pid)).expect("read of the broker");
        assert_eq!(read("cmdline").strip_suffix(b"\0").expect("an end"), b"pinshim-broker");
        assert_eq!(read("comm"), b"pinshim-broker\n");
        assert_eq!(broker.status("Threads"), "1");
        assert_ne!(broker.status("PPid"), vm.pid().to_string(), "it is no child of QEMU's");
        assert_eq!(cpus_of(&broker.pid.to_string()), [cpus.first], "it is on the emulator's set");
        if vm.process().ended().is_some() {
            panic!("{}", vm.stderr());
        }
    }

    #[test]
    fn like_no_qemu_to_pidof() {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        let users: &[Option<Uid>] = if root_missing().is_none() { &[None, Some(NOBODY)] } else { &[None] };
        for &of in users {
            let vm = of.into_iter().fold(sandboxed(cpus), VmBuilder::user);
            let Some(vm) = vm.start() else { return };
            let broker = only_broker(vm.pid());
            for &by in users {
                let Some(pids) = pids_of_qemu(by) else { return };
                assert!(pids.contains(&vm.pid()) && !pids.contains(&broker.pid), "{broker:?} in {pids:?}");
            }
        }
    }

    fn assert_locked_up(broker: Companion) {
        assert_eq!(broker.status("NoNewPrivs"), "1");
        assert_eq!(broker.status("Seccomp"), "2");
        assert_eq!(hex(broker, "SigBlk"), ALL_SIGNALS);
        assert_eq!(hex(broker, "CapInh"), 0);
    }

    #[test]
    fn like_little_of_roots() {
        let _limit = TimeLimit::seconds(100);
        if let Some(why) = root_missing() {
            return skip(why);
        }
        let Some(cpus) = two_cpus() else { return };
        let Some(vm) = sandboxed(cpus).start() else { return };
        let broker = only_broker(vm.pid());
        let qemu = Companion::of(vm.pid()).expect("QEMU runs");
        assert_locked_up(broker);
        let kept = hex(qemu, "CapPrm") & CAPABILITIES;
        assert_eq!((hex(broker, "CapPrm"), hex(broker, "CapEff")), (kept, kept));
        assert_eq!(broker.holds_only_its_own(), Some(true), "{:?}", broker.descriptors());
    }

    #[test]
    fn like_nothing_that_an_ordinary_user_may_trace() {
        let _limit = TimeLimit::seconds(100);
        if let Some(why) = root_missing() {
            return skip(why);
        }
        let Some(cpus) = two_cpus() else { return };
        let Some(vm) = sandboxed(cpus).user(NOBODY).start() else { return };
        let broker = only_broker(vm.pid());
        assert_locked_up(broker);
        assert_eq!((hex(broker, "CapPrm"), hex(broker, "CapEff")), (0, 0));
        assert!(broker.status("Uid").starts_with("65534\t65534\t65534"), "{}", broker.status("Uid"));
        // proc(5): what a process that is not dumpable shows there belongs to root.
        let owner = |pid| fs::metadata(format!("/proc/{pid}/environ")).expect("its files").uid();
        assert_eq!((owner(vm.pid()), owner(broker.pid)), (NOBODY.0, 0));
        assert_eq!(broker.holds_only_its_own(), Some(true), "{:?}", broker.descriptors());
    }
}

mod is_lost {
    use super::*;

    #[test]
    fn when_it_is_killed_and_the_guest_runs_on() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let Some(mut vm) = sandboxed(cpus).start() else { return };
        vm.wait_visits(1);
        assert_eq!(new_iothread(&mut vm.qmp, "before").cpus(), [cpus.second]);
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
        let broker = only_broker(vm.pid());
        broker.signal(libc::SIGKILL);
        wait_for_end(broker);
        for id in ["one", "two", "three"] {
            new_iothread(&mut vm.qmp, id);
        }
        vm.burst();
        vm.wait_visits(1);
        one_warning(&vm, "the broker has ended");
        assert!(vm.quit().status.success());
    }

    #[test]
    fn when_no_process_may_be_added_and_the_guest_runs_on() {
        let _limit = TimeLimit::seconds(150);
        if let Some(why) = root_missing() {
            return skip(why);
        }
        let Some(cpus) = two_cpus() else { return };
        let scratch = Scratch::new();
        let limits = compile_library(&scratch, &Source { file: "no_process.c", flags: &[] });
        let Some(mut vm) = sandboxed(cpus).user(NOBODY).ahead(limits).iothread("io1").start() else { return };
        assert_eq!(brokers_of(vm.pid()), []);
        new_iothread(&mut vm.qmp, "late");
        vm.burst();
        vm.wait_visits(1);
        one_warning(&vm, "the broker could not be started");
        assert!(vm.quit().status.success());
    }

    /// So many creations that each of them cannot wait for a second within the time allowed below.
    const BIRTHS: usize = 40;

    #[test]
    fn for_a_while_when_it_is_stopped() {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        let Some(mut vm) = sandboxed(cpus).start() else { return };
        vm.wait_visits(1);
        let broker = only_broker(vm.pid());
        let halted = broker.halt();
        let began = Instant::now();
        let ids: Vec<_> = (0..BIRTHS).map(|n| format!("late{n}")).collect();
        let late: Vec<_> = ids.iter().map(|id| new_iothread(&mut vm.qmp, id)).collect();
        // One creation waits for a second and the others do not; the bound leaves a busy machine time for them.
        assert!(began.elapsed() < Duration::from_secs(BIRTHS as u64 / 2), "each creation waits");
        assert!(late.iter().all(|thread| thread.cpus() == [cpus.first]), "nobody has placed them");
        vm.wait_visits(1);
        one_warning(&vm, "the broker does not answer");
        drop(halted);
        until(60, "the late threads on their set", || {
            late.iter().all(|thread| thread.cpus() == [cpus.second]).then_some(())
        });
        // At some point it is waited for again.
        for id in ["again", "and-again", "and-once-more"] {
            let thread = new_iothread(&mut vm.qmp, id);
            until(60, "a thread born later on its set", || (thread.cpus() == [cpus.second]).then_some(()));
        }
        one_warning(&vm, "the broker does not answer");
        assert_eq!(only_broker(vm.pid()), broker);
        assert!(vm.quit().status.success());
    }
}

mod follows {
    use super::*;

    /// QEMU changes its user, if it is told to, only as it becomes a daemon: it asks the broker for the first
    /// time after that.
    fn a_daemon(user: Option<Uid>) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let scratch = Scratch::new();
        let run_as = user.iter().flat_map(|user| run_as(&format!("{0}:{0}", user.0)));
        let arguments = ["-sandbox", SANDBOX].map(str::to_owned).into_iter().chain(run_as);
        let daemon = Daemon::start(&scratch, Accel::Tcg, arguments, |program| {
            program
                .preload(library())
                .affinity(&[cpus.first])
                .env("PIN_CPUS", cpus.first.to_string())
                .env("PIN_IOTHREADS", format!("*@{}", cpus.second))
        });
        let Some(daemon) = or_skip(daemon) else { return };
        daemon.started().assert_clean();
        let broker = only_broker(daemon.starter());
        let mut qmp = daemon.qmp();
        for id in ["one", "another"] {
            assert_eq!(new_iothread(&mut qmp, id).cpus(), [cpus.second]);
        }
        assert_eq!(only_broker(daemon.starter()), broker);
        assert_eq!(broker.status("Uid"), daemon.process().status("Uid"));
        assert_eq!(broker.status("Uid").starts_with("65534\t"), user.is_some());
        drop(daemon);
        wait_for_end(broker);
    }

    #[test]
    fn a_qemu_that_becomes_a_daemon() {
        a_daemon(None);
    }

    #[test]
    fn a_qemu_that_becomes_a_daemon_of_another_user() {
        match root_missing() {
            Some(why) => skip(why),
            None => a_daemon(Some(NOBODY)),
        }
    }

    #[test]
    fn a_qemu_that_becomes_another_user() {
        let _limit = TimeLimit::seconds(150);
        if let Some(why) = root_missing() {
            return skip(why);
        }
        let Some(cpus) = two_cpus() else { return };
        let vm = sandboxed(cpus).iothread("io1").args(&run_as("65534:65534"));
        let Some(mut vm) = vm.start() else { return };
        vm.wait_visits(1);
        let broker = only_broker(vm.pid());
        let qemu = Companion::of(vm.pid()).expect("QEMU runs");
        assert_eq!(qemu.status("Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(Iothread(vm.qmp.iothread_tids()[0].1).cpus(), [cpus.second]);
        assert_eq!(new_iothread(&mut vm.qmp, "late").cpus(), [cpus.second]);
        vm.burst();
        for title in ["Uid", "Gid"] {
            assert_eq!(broker.status(title), qemu.status(title), "{title}");
        }
        assert_eq!(broker.status("Groups"), "");
        for title in ["CapPrm", "CapEff"] {
            assert_eq!(broker.status(title), "0000000000000000", "{title}");
        }
        assert_eq!(only_broker(vm.pid()), broker);
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
        assert!(vm.quit().status.success());
        wait_for_end(broker);
    }
}
