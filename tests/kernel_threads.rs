//! Threads that the kernel creates in QEMU's process, without any call that a library could hook.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use harness::{
    Accel, Aio, Bus, Drive, Filtered, Finished, LIBVIRT_SANDBOX, Observer, Program, Source, TimeLimit, Vm,
    VmBuilder, children_of, command, compile_library, cpus_of_thread, library, move_thread,
    own_mounts_missing, pinshim, skip, threads, two_cpus, until,
};

/// The id and name of each thread of a process whose name begins like this.
fn threads_called(pid: u32, begins: &str) -> BTreeMap<u32, String> {
    threads(pid).into_iter().filter(|(_, name)| name.starts_with(begins)).collect()
}

mod huge_pages {
    //! `kvm-nx-lpage-recovery` is made inside the first KVM_RUN by the vCPU that comes first.

    use super::*;

    fn recovery_is_the_emulators(shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let vm = VmBuilder::new(Accel::Kvm)
            .smp("2")
            .affinity(&[cpus.second])
            .env("PIN_CPUS", &cpus.second.to_string())
            .env("PIN_EMULATOR", &cpus.first.to_string());
        let Some(mut vm) = shape(vm).start() else { return };
        vm.wait_visits(1);
        let found = threads_called(vm.pid(), "kvm-nx-lpage-re");
        let Some((&tid, _)) = found.first_key_value() else {
            return skip("this kernel makes no kvm-nx-lpage-recovery thread in QEMU");
        };
        for (_, vcpu) in vm.qmp.vcpu_tids() {
            assert_eq!(cpus_of_thread(vm.pid(), vcpu), Some(vec![cpus.second]));
        }
        until(60, "the recovery thread on the emulator's set", || {
            (cpus_of_thread(vm.pid(), tid)? == [cpus.first]).then_some(())
        });
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    }

    #[test]
    fn in_a_sandbox() {
        recovery_is_the_emulators(|vm| vm.sandbox(LIBVIRT_SANDBOX));
    }

    #[test]
    fn without_a_sandbox() {
        recovery_is_the_emulators(|vm| vm);
    }
}

mod io_uring {
    //! `iou-wrk-<tid>` is one of a pool that belongs to the thread with this id.

    use super::*;

    fn submitter(worker: &str) -> u32 {
        worker.strip_prefix("iou-wrk-").and_then(|tid| tid.parse().ok()).expect("a worker's name")
    }

    /// Has QEMU flush what the guest has written: every file system waits for that, so io_uring takes a worker.
    fn flush(vm: &mut Vm) {
        vm.wait_visits(1);
        vm.pause(Duration::from_millis(1));
    }

    fn disks(iothread: &str) -> VmBuilder {
        let disk = |bus| Drive::new(bus).aio(Aio::IoUring).cache("writeback");
        VmBuilder::new(Accel::Kvm)
            .iothread(iothread)
            .drive(disk(Bus::Virtio))
            .drive(disk(Bus::IoThread(iothread.into())))
    }

    /// Every worker is on the set that `belongs` names for its submitter, and so is each that is created later.
    fn workers_are_in_place(vm: VmBuilder, belongs: impl Fn(&mut Vm, u32) -> usize) {
        let Some(mut vm) = vm.start() else { return };
        let pid = vm.pid();
        let mut submitters = BTreeMap::new();
        for _ in 0..30 {
            flush(&mut vm);
            for name in threads_called(pid, "iou-wrk-").into_values() {
                let tid = submitter(&name);
                submitters.entry(tid).or_insert_with(|| belongs(&mut vm, tid));
            }
            if submitters.len() >= 2 {
                break;
            }
        }
        if submitters.is_empty() {
            return skip("this kernel has no io_uring workers in QEMU");
        }
        println!("{submitters:?}");
        assert!(submitters.len() >= 2, "the main loop and the IOThread submit: {submitters:?}");
        until(60, "every worker on its set", || {
            let workers = threads_called(pid, "iou-wrk-");
            let right = |(tid, name): (&u32, &String)| {
                cpus_of_thread(pid, *tid)
                    .is_none_or(|cpus| submitters.get(&submitter(name)).is_some_and(|&c| cpus == [c]))
            };
            workers.iter().all(right).then_some(())
        });
        let observer = Observer::start(pid);
        for _ in 0..10 {
            flush(&mut vm);
        }
        let seen = observer.finish();
        for thread in seen.threads.values().filter(|t| t.name().starts_with("iou-wrk-")) {
            let Some(cpu) = submitters.get(&submitter(thread.name())) else { continue };
            assert!(
                thread.runs.iter().all(|run| run.looks < 2 || run.allowed == cpu.to_string()),
                "{thread:?}"
            );
        }
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    }

    /// All submitters on the first CPU, their workers on the second.
    fn named(shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        let vm = disks("io1")
            .affinity(&[cpus.first])
            .env("PIN_CPUS", &cpus.first.to_string())
            .env("PIN_WORKERS", &cpus.second.to_string());
        workers_are_in_place(shape(vm), |_, _| cpus.second);
    }

    /// Each with its submitter's home: the IOThread, or the main loop.
    fn by_default(shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        let vm = disks("io1")
            .affinity(&[cpus.first])
            .env("PIN_CPUS", &cpus.first.to_string())
            .env("PIN_VCPUS", &format!("*@{}", cpus.second))
            .env("PIN_IOTHREADS", &format!("*@{}", cpus.second));
        workers_are_in_place(shape(vm), |vm, tid| {
            let is_iothread = vm.qmp.iothread_tids().iter().any(|(_, iothread)| *iothread == tid);
            if is_iothread { cpus.second } else { cpus.first }
        });
    }

    /// A worker's name has the outermost PID namespace's id of its submitter. Who does not know that id leaves the worker
    /// where it is, and does not say that it is off its set: the library in a namespace, and the command there.
    fn in_a_pid_namespace(shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(200);
        if let Some(why) = own_mounts_missing() {
            return skip(why);
        }
        let Some(cpus) = two_cpus() else { return };
        let vm = disks("io1")
            .started_by(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .behind(library())
            .affinity(&[cpus.first])
            .env("PIN_CPUS", &cpus.first.to_string())
            .env("PIN_IOTHREADS", &format!("*@{}", cpus.second))
            .env("PIN_WATCH", "1");
        let Some(mut vm) = shape(vm).start() else { return };
        let pid = *children_of(vm.pid()).first().expect("unshare's child is QEMU");
        let (&io1, _) = threads_called(pid, "IO io1").first_key_value().expect("the IOThread");
        // Those of which it is known from here whose they are: none, if this is a namespace itself.
        let belongs = |name: &str| match submitter(name) {
            tid if tid == io1 => Some(vec![cpus.second]),
            tid if tid == pid => Some(vec![cpus.first]),
            _ => None,
        };
        let workers = || {
            let workers = threads_called(pid, "iou-wrk-").into_iter();
            workers.filter_map(|(tid, name)| Some((tid, (cpus_of_thread(pid, tid)?, name))))
        };
        for _ in 0..30 {
            flush(&mut vm);
            if workers().any(|(_, (_, name))| submitter(&name) != pid) {
                break;
            }
        }
        let before: BTreeMap<_, _> = workers().collect();
        if before.is_empty() {
            return skip("this kernel has no io_uring workers in QEMU");
        }
        let id = pid.to_string();
        let outside = |verb: &str| pinshim(&[verb, &id]);
        let inside = |verb: &str| {
            let enter = Program::new("nsenter").args(["--target", &id, "--pid", "--mount", "--root"]);
            enter.arg(command()).args([verb, "1"]).run()
        };
        for look in [&outside as &dyn Fn(&str) -> Finished, &inside] {
            let checked = look("check");
            assert_eq!((checked.code(), &*checked.stdout), (0, ""), "{checked:?}");
            let applied = look("apply");
            assert!(applied.code() == 0 && !applied.stdout.contains("moved "), "{applied:?}");
        }
        flush(&mut vm);
        // What the library puts back is put back by a look at all threads. The second one has seen the first one's end.
        for _ in 0..2 {
            assert!(move_thread(io1, &[cpus.first]));
            until(60, "a look at all threads", || (cpus_of_thread(pid, io1)? == [cpus.second]).then_some(()));
        }
        for (tid, (on, name)) in workers() {
            assert!(belongs(&name).is_none_or(|set| set == on), "{name}: {on:?}");
            assert!(before.get(&tid).is_none_or(|(before, _)| *before == on), "{name} was moved to {on:?}");
        }
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    }

    #[test]
    fn in_a_pid_namespace_they_are_left_alone() {
        in_a_pid_namespace(|vm| vm);
    }

    #[test]
    fn in_a_pid_namespace_they_are_left_alone_in_a_sandbox() {
        in_a_pid_namespace(|vm| vm.sandbox(LIBVIRT_SANDBOX));
    }

    #[test]
    fn on_the_workers_set() {
        named(|vm| vm);
    }

    #[test]
    fn on_the_workers_set_in_a_sandbox() {
        named(|vm| vm.sandbox(LIBVIRT_SANDBOX));
    }

    #[test]
    fn on_the_homes_set() {
        by_default(|vm| vm);
    }

    #[test]
    fn on_the_homes_set_in_a_sandbox() {
        by_default(|vm| vm.sandbox(LIBVIRT_SANDBOX));
    }
}

mod of_a_stand_in {
    //! A library of the test's creates the thread in the kernel's place, so that it is there at a known moment.

    use super::*;

    /// Placed before the call that made it has returned.
    fn is_in_place(how: &str, kind: &str, name: &str) {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        let program = Filtered::new("kernel_thread_owner.c", cpus);
        let kernel = compile_library(program.scratch(), &Source { file: "kernel_thread.c", flags: &[] });
        let process = program
            .target()
            .preload(kernel)
            .args([how, kind])
            .env("PIN_CPUS", cpus.first.to_string())
            .env("PIN_VHOST", cpus.second.to_string())
            .env("PIN_WORKERS", cpus.second.to_string())
            .start();
        until(60, "the call's answer", || {
            assert!(process.ended().is_none(), "it ended: {}", process.stderr());
            process.stdout().ends_with('\n').then_some(())
        });
        assert_eq!(process.stdout(), "1\n");
        let pid = process.pid();
        let workers = threads_called(pid, &format!("{name}-{pid}"));
        assert_eq!(workers.len(), 1);
        for &tid in workers.keys() {
            assert_eq!(cpus_of_thread(pid, tid), Some(vec![cpus.second]));
        }
        assert_eq!(cpus_of_thread(pid, pid), Some(vec![cpus.first]));
        assert_eq!(process.stderr(), "");
    }

    #[test]
    fn a_vhost_worker() {
        is_in_place("free", "vhost", "vhost");
    }

    #[test]
    fn a_vhost_worker_in_a_sandbox() {
        is_in_place("sandboxed", "vhost", "vhost");
    }

    #[test]
    fn a_further_vhost_worker() {
        is_in_place("free", "vhost_worker", "vhost");
    }

    #[test]
    fn a_further_vhost_worker_in_a_sandbox() {
        is_in_place("sandboxed", "vhost_worker", "vhost");
    }

    #[test]
    fn an_io_uring_worker() {
        is_in_place("free", "io_uring", "iou-wrk");
    }

    #[test]
    fn an_io_uring_worker_in_a_sandbox() {
        is_in_place("sandboxed", "io_uring", "iou-wrk");
    }
}

mod of_several_vhost_workers {
    //! Each on its own set, by the order in which it appeared. Two CPUs tell apart whether a number is used again.

    use super::*;
    use harness::{Program, command};

    fn each_is_on_the_set_of_its_number(how: &str) {
        let _limit = TimeLimit::seconds(100);
        let Some(cpus) = two_cpus() else { return };
        let program = Filtered::new("kernel_thread_owner.c", cpus);
        let kernel = compile_library(program.scratch(), &Source { file: "kernel_thread.c", flags: &[] });
        let process = program
            .target()
            .preload(kernel)
            .args([how, "vhost_workers"])
            .env("PIN_CPUS", cpus.first.to_string())
            .env("PIN_VHOST", cpus.put_into("0@B,2-3@B,*@A"))
            .start();
        until(60, "the call's answer", || {
            assert!(process.ended().is_none(), "it ended: {}", process.stderr());
            process.stdout().ends_with('\n').then_some(())
        });
        assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("1\n", ""));
        let pid = process.pid();
        // Worker 1 has ended. Ids rise, since no more than a few were used.
        let on_each = threads_called(pid, "vhost-").into_keys().map(|tid| cpus_of_thread(pid, tid));
        let expected = [cpus.second, cpus.second, cpus.second, cpus.first].map(|cpu| Some(vec![cpu]));
        assert_eq!(on_each.collect::<Vec<_>>(), expected);
        let pinshim = |verb: &str| Program::new(command()).args([verb, &pid.to_string()]).run();
        let shown = pinshim("show").assert_clean().stdout.clone();
        let numbers = ["vhost 0 ", "vhost 2 ", "vhost 3 ", "vhost 4 "];
        assert!(
            numbers.iter().all(|number| shown.contains(number)) && !shown.contains("vhost 1 "),
            "{shown}"
        );
        pinshim("check").assert_clean();
        // The same from outside: an administrator's move is mended by number.
        let last = threads_called(pid, "vhost-").into_keys().next_back().expect("a worker");
        assert!(harness::move_thread(last, &[cpus.second]));
        assert_eq!(pinshim("check").code(), 1);
        assert_eq!(pinshim("apply").code(), 0);
        assert_eq!(cpus_of_thread(pid, last), Some(vec![cpus.first]));
    }

    #[test]
    fn without_a_sandbox() {
        each_is_on_the_set_of_its_number("free");
    }

    #[test]
    fn in_a_sandbox() {
        each_is_on_the_set_of_its_number("sandboxed");
    }
}

mod vhost {
    //! `vhost-<pid>` is made inside VHOST_SET_OWNER.

    use super::*;

    fn the_kernels_worker_is_in_place(shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let device = if fs::exists("/dev/vhost-vsock").is_ok_and(|there| there) {
            vec!["-device", "vhost-vsock-pci,guest-cid=4071"]
        } else if fs::exists("/dev/vhost-net").is_ok_and(|there| there) {
            vec![
                "-netdev",
                "tap,id=net,vhost=on,script=no,downscript=no",
                "-device",
                "virtio-net-pci,netdev=net",
            ]
        } else {
            return skip("there is neither /dev/vhost-vsock nor /dev/vhost-net");
        };
        let vm = VmBuilder::new(Accel::Kvm)
            .args(&device)
            .affinity(&[cpus.first])
            .env("PIN_CPUS", &cpus.first.to_string())
            .env("PIN_VHOST", &cpus.second.to_string());
        let Some(vm) = shape(vm).start() else { return };
        vm.wait_visits(1);
        let workers = threads_called(vm.pid(), "vhost-");
        if workers.is_empty() {
            return skip("this kernel's vhost workers are no threads of QEMU");
        }
        for &tid in workers.keys() {
            assert_eq!(cpus_of_thread(vm.pid(), tid), Some(vec![cpus.second]));
        }
    }

    #[test]
    fn of_the_kernel() {
        the_kernels_worker_is_in_place(|vm| vm);
    }

    #[test]
    fn of_the_kernel_in_a_sandbox() {
        the_kernels_worker_is_in_place(|vm| vm.sandbox(LIBVIRT_SANDBOX));
    }
}
