//! Others move a VM's threads. A thread that was moved while the guest was paused is back on its set before the
//! guest runs; one that a manager moves just after its creation is put back soon after; one that an administrator
//! moves later stays where it is.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use harness::{
    Accel, LIBVIRT_SANDBOX, Program, Scratch, Source, TimeLimit, TwoCpus, Vm, VmBuilder, brokers_of, compile,
    compile_library, cpus_of, move_thread, two_cpus, until,
};
use serde_json::{Value, json};

/// An emulator on the first CPU, vCPUs and IOThreads on the second.
fn vm(accel: Accel, cpus: TwoCpus) -> VmBuilder {
    VmBuilder::new(accel)
        .affinity(&[cpus.first])
        .env("PIN_CPUS", &cpus.first.to_string())
        .env("PIN_VCPUS", &format!("*@{}", cpus.second))
        .env("PIN_IOTHREADS", &format!("*@{}", cpus.second))
}

fn on(tid: u32) -> Vec<usize> {
    cpus_of(&tid.to_string())
}

/// The threads of every vCPU and IOThread.
fn threads(vm: &mut Vm) -> Vec<u32> {
    let vcpus = vm.qmp.vcpu_tids().into_iter().map(|(_, tid)| tid);
    let iothreads = vm.qmp.iothread_tids().into_iter().map(|(_, tid)| tid);
    vcpus.collect::<Vec<_>>().into_iter().chain(iothreads).collect()
}

#[track_caller]
fn move_all(tids: &[u32], cpu: usize) {
    for &tid in tids {
        assert!(move_thread(tid, &[cpu]), "thread {tid} is there");
        assert_eq!(on(tid), [cpu]);
    }
}

#[track_caller]
fn wait_until_on(tids: &[u32], cpu: usize) {
    until(60, "every moved thread back on its set", || tids.iter().all(|&t| on(t) == [cpu]).then_some(()));
}

#[track_caller]
fn stay_on(tids: &[u32], cpu: usize, time: Duration) {
    thread::sleep(time);
    for &tid in tids {
        assert_eq!(on(tid), [cpu], "thread {tid} stays where an administrator puts it");
    }
}

mod before_the_guest_runs {
    use super::*;

    struct Witness(PathBuf, #[allow(dead_code, reason = "the folder with the library")] Scratch);

    impl Witness {
        fn new() -> Self {
            let scratch = Scratch::new();
            let source = Source { file: "at_first_run.c", flags: &[] };
            Self(compile_library(&scratch, &source), scratch)
        }
    }

    /// What the witness says of `tid` at the first KVM_RUN of the thread `at`.
    fn said_of(vm: &Vm, tid: u32, at: u32) -> String {
        until(60, "a word of the witness", || {
            let begin = format!("{tid} at the first run of {at} may run on ");
            vm.stderr()
                .split_inclusive('\n')
                .find_map(|line| line.strip_prefix(&begin)?.strip_suffix('\n').map(str::to_owned))
        })
    }

    fn what_was_moved_is_put_right(shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let witness = Witness::new();
        let vm = shape(vm(Accel::Kvm, cpus).iothread("io1").iothread("io2").paused().behind(&witness.0));
        let Some(mut vm) = vm.start() else { return };
        let tids = threads(&mut vm);
        let vcpus: Vec<_> = vm.qmp.vcpu_tids().into_iter().map(|(_, tid)| tid).collect();
        assert!(tids.iter().all(|&tid| on(tid) == [cpus.second]));
        move_all(&tids, cpus.first);
        assert!(!vm.stderr().contains("first run"), "no vCPU has run");
        vm.qmp.execute("cont", json!({}));
        let right = cpus.second.to_string();
        for &vcpu in &vcpus {
            assert_eq!(said_of(&vm, vcpu, vcpu), right, "a vCPU at its own first run");
        }
        if let [only] = vcpus[..] {
            // There is no other that might still be looking.
            for &tid in &tids {
                assert_eq!(said_of(&vm, tid, only), right, "thread {tid} of {tids:?}");
            }
        }
        wait_until_on(&tids, cpus.second);
        // From now on it is an administrator who moves them.
        move_all(&tids, cpus.first);
        vm.pause(Duration::from_millis(300));
        vm.wait_visits(1);
        stay_on(&tids, cpus.first, Duration::from_millis(1500));
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
        assert!(vm.quit().status.success());
    }

    #[test]
    fn in_a_sandbox() {
        what_was_moved_is_put_right(|vm| vm.sandbox(LIBVIRT_SANDBOX));
    }

    #[test]
    fn without_a_sandbox() {
        what_was_moved_is_put_right(|vm| vm);
    }

    #[test]
    fn with_several_vcpus_in_a_sandbox() {
        what_was_moved_is_put_right(|vm| vm.smp("4").sandbox(LIBVIRT_SANDBOX));
    }
}

mod under_mshv {
    //! Microsoft's hypervisor (`-accel mshv`) is on no test machine: a program stands in for QEMU, and a library for the
    //! kernel.

    use super::*;

    #[test]
    fn what_was_moved_is_put_right_before_the_first_vcpu_runs() {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        let scratch = Scratch::new();
        let program = compile(&scratch, &Source { file: "mshv.c", flags: &[] });
        let witness = compile_library(&scratch, &Source { file: "at_first_run.c", flags: &[] });
        let process = Program::new(program)
            .affinity(&[cpus.first])
            .with_library()
            .preload(witness)
            .env("PIN_TARGET", "mshv")
            .env("PIN_CPUS", cpus.first.to_string())
            .env("PIN_VCPUS", format!("*@{}", cpus.second))
            .env("PIN_IOTHREADS", format!("io1@{}", cpus.second))
            .env("FROM_CPU", cpus.first.to_string())
            .start();
        until(60, "both vCPUs to have run", || {
            assert!(process.ended().is_none(), "it ended: {}{}", process.stdout(), process.stderr());
            process.stdout().ends_with('\n').then_some(())
        });
        let (said, ids) = (process.stderr(), process.stdout());
        let ids: Vec<&str> = ids.split_whitespace().collect();
        for &vcpu in &ids[1..] {
            for &thread in &[ids[0], vcpu] {
                let line = format!("{thread} at the first run of {vcpu} may run on {}\n", cpus.second);
                assert_eq!(said.matches(&line).count(), 1, "{line}{said}");
            }
        }
        assert!(!said.contains("pinshim"), "{said}");
    }
}

mod under_a_manager {
    //! libvirt moves a vCPU or an IOThread a moment after its creation.

    use super::*;

    fn managed(accel: Accel, cpus: TwoCpus) -> VmBuilder {
        vm(accel, cpus).env("PIN_MANAGER", "libvirt")
    }

    /// The library does not look again at a thread that is older (its last look is after 5 s).
    const YOUNG: Duration = Duration::from_millis(5500);

    /// Longer than the first three looks at a new thread, which are 0.1, 0.5 and 2 s after its creation.
    const A_WHILE: Duration = Duration::from_millis(2500);

    fn new_iothread(vm: &mut Vm, id: &str) -> u32 {
        vm.qmp.execute("object-add", json!({"qom-type": "iothread", "id": id}));
        let known = vm.qmp.iothread_tids();
        known.into_iter().find(|(name, _)| name == id).expect("the new IOThread").1
    }

    fn new_vcpu(vm: &mut Vm) -> u32 {
        let slots = vm.qmp.execute("query-hotpluggable-cpus", json!({}));
        let free = slots.as_array().expect("a list").iter().find(|slot| slot.get("qom-path").is_none());
        let free = free.expect("a free slot");
        let mut device = free["props"].clone();
        device["driver"] = free["type"].clone();
        device["id"] = Value::from("late");
        vm.qmp.execute("device_add", device);
        vm.qmp.vcpu_tids().into_iter().find(|(index, _)| *index == 1).expect("the new vCPU").1
    }

    /// Threads that a manager has moved just after their creation.
    struct Moved {
        vm: Vm,
        tids: Vec<u32>,
    }

    /// They are put back; later they stay where an administrator moves them, also when others are created.
    fn come_back_and_then_stay(moved: Vec<Option<Moved>>, cpus: TwoCpus) {
        let mut moved: Vec<_> = moved.into_iter().flatten().collect();
        for one in &moved {
            wait_until_on(&one.tids, cpus.second);
        }
        thread::sleep(YOUNG);
        let mut born_later = Vec::new();
        for one in &mut moved {
            move_all(&one.tids, cpus.first);
            let later = new_iothread(&mut one.vm, "later");
            move_all(&[later], cpus.first);
            born_later.push(later);
        }
        thread::sleep(A_WHILE);
        wait_until_on(&born_later, cpus.second);
        for one in &moved {
            stay_on(&one.tids, cpus.first, Duration::ZERO);
            assert!(!one.vm.stderr().contains("pinshim"), "{}", one.vm.stderr());
            assert_eq!(brokers_of(one.vm.pid()).len(), 1);
        }
    }

    /// Under TCG there is no first KVM_RUN before which the library could look. On a machine that is so slow that
    /// the threads are too old by the time they can be moved, it is tried again.
    fn new_guest(shape: impl Fn() -> VmBuilder, cpus: TwoCpus) -> Option<Moved> {
        for _ in 0..5 {
            let began = Instant::now();
            let mut vm = shape().start()?;
            let tids = threads(&mut vm);
            move_all(&tids, cpus.first);
            if began.elapsed() < Duration::from_secs(4) {
                return Some(Moved { vm, tids });
            }
        }
        panic!("no VM could be started within some seconds");
    }

    #[test]
    fn the_threads_of_a_new_tcg_guest() {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        let bare = || managed(Accel::Tcg, cpus).smp("2");
        let sandboxed = || bare().iothread("io1").sandbox(LIBVIRT_SANDBOX);
        come_back_and_then_stay(vec![new_guest(bare, cpus), new_guest(sandboxed, cpus)], cpus);
    }

    fn hot_plugged(vm: VmBuilder, cpus: TwoCpus) -> Option<Moved> {
        let mut vm = vm.smp("1,maxcpus=2").start()?;
        let tids = vec![new_vcpu(&mut vm), new_iothread(&mut vm, "late")];
        move_all(&tids, cpus.first);
        Some(Moved { vm, tids })
    }

    #[test]
    fn what_is_plugged_into_a_guest() {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        let guests = [
            managed(Accel::Kvm, cpus),
            managed(Accel::Kvm, cpus).sandbox(LIBVIRT_SANDBOX),
            managed(Accel::Tcg, cpus).sandbox(LIBVIRT_SANDBOX),
        ];
        let moved = guests.into_iter().map(|vm| hot_plugged(vm, cpus)).collect();
        come_back_and_then_stay(moved, cpus);
    }

    /// Without a manager the library puts nothing back: whoever moves a thread means it.
    #[test]
    fn and_nothing_without_one() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let Some(mut vm) = vm(Accel::Tcg, cpus).sandbox(LIBVIRT_SANDBOX).start() else { return };
        let tids = [new_iothread(&mut vm, "late")];
        move_all(&tids, cpus.first);
        stay_on(&tids, cpus.first, YOUNG);
    }
}
