//! Each thread of a VM on its own CPUs, by its role. QEMU itself says over QMP which thread is which.
//!
//! vCPU 0 and the IOThread `io1` are on the second CPU, everything else is on the first: so a worker of the wrong
//! pool is seen on the wrong CPU.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{
    Accel, Aio, Bus, Drive, Expected, Observation, Observer, Rule, ThreadSeen, TimeLimit, TwoCpus, Vm,
    VmBuilder, always_named, judge, kvm_and_tcg, long, object_missing, skip, two_cpus, until,
};
use serde_json::json;

/// `A` and `B` in a placement stand for the two CPUs.
fn placed(vm: VmBuilder, placement: &[(&str, &str)], cpus: TwoCpus) -> VmBuilder {
    placement.iter().fold(vm, |vm, (variable, value)| vm.env(variable, &cpus.put_into(value)))
}

const PLACEMENT: [(&str, &str); 3] =
    [("PIN_VCPUS", "0@B,1@A"), ("PIN_IOTHREADS", "io1@B"), ("PIN_EMULATOR", "A")];

/// Where the threads belong that QMP knows, by thread id.
fn witnessed(vm: &mut Vm, vcpus: &[usize], iothreads: &[(&str, usize)]) -> BTreeMap<u32, usize> {
    let mut by_tid = BTreeMap::new();
    for (index, tid) in vm.qmp.vcpu_tids() {
        by_tid.insert(tid, vcpus[index]);
    }
    for (id, tid) in vm.qmp.iothread_tids() {
        if let Some((_, cpu)) = iothreads.iter().find(|(known, _)| *known == id) {
            by_tid.insert(tid, *cpu);
        }
    }
    assert_eq!(by_tid.len(), vcpus.len() + iothreads.len(), "QMP knows them all, each with its own thread");
    by_tid
}

#[track_caller]
fn assert_in_place(seen: &Observation, expected: impl Fn(&ThreadSeen) -> Expected) {
    let offences: Vec<_> = judge(seen, Rule::Promise, expected).iter().map(ToString::to_string).collect();
    assert!(offences.is_empty(), "{offences:#?}");
}

/// Each thread that QMP knows was seen, and on its CPU.
#[track_caller]
fn assert_known_in_place(seen: &Observation, known: &BTreeMap<u32, usize>) {
    assert!(known.keys().all(|tid| seen.tid(*tid).is_some()), "QMP's threads were seen: {known:?}");
    assert_in_place(seen, |t| known.get(&t.tid).map_or(Expected::Anywhere, |cpu| Expected::cpu(*cpu)));
}

fn is_worker(thread: &ThreadSeen) -> bool {
    thread.name() == "worker"
}

mod at_rest {
    //! All roles of a VM that just runs.

    use super::*;

    fn roles_are_in_place(accel: Accel, shape: impl Fn(VmBuilder) -> VmBuilder) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let vm = shape(placed(VmBuilder::usual(accel), &PLACEMENT, cpus));
        let Some(mut vm) = vm.start() else { return };
        let observer = Observer::start(vm.pid());
        vm.wait_visits(1);
        vm.burst();
        let known = witnessed(&mut vm, &[cpus.second, cpus.first], &[("io1", cpus.second)]);
        let seen = observer.finish();
        assert!(known.keys().all(|tid| seen.tid(*tid).is_some()), "QMP's threads were seen");
        assert_in_place(&seen, |thread| match known.get(&thread.tid) {
            Some(cpu) => Expected::cpu(*cpu),
            // Of either pool. The tests of workers say of which.
            None if is_worker(thread) => Expected::Anywhere,
            None => Expected::cpu(cpus.first),
        });
        let one_cpu = |t: &&ThreadSeen| {
            t.runs
                .iter()
                .filter(|r| r.looks > 1)
                .all(|r| r.allowed.parse() == Ok(cpus.first) || r.allowed.parse() == Ok(cpus.second))
        };
        let workers = seen.named("worker");
        assert!(workers.len() >= 8 && workers.iter().all(one_cpu), "{workers:?}");
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    }

    kvm_and_tcg!(of_a_kvm_guest, of_a_tcg_guest, |accel| roles_are_in_place(accel, |vm| vm));

    kvm_and_tcg!(of_a_kvm_guest_whose_threads_qemu_names, of_a_tcg_guest_whose_threads_qemu_names, |accel| {
        roles_are_in_place(accel, |vm| vm.debug_threads(true))
    });

    #[test]
    fn of_a_guest_that_starts_paused() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        for accel in [Accel::Kvm, Accel::Tcg] {
            let Some(mut vm) = placed(VmBuilder::usual(accel).paused(), &PLACEMENT, cpus).start() else {
                continue;
            };
            let known = witnessed(&mut vm, &[cpus.second, cpus.first], &[("io1", cpus.second)]);
            let observer = Observer::start(vm.pid());
            std::thread::sleep(Duration::from_millis(100));
            vm.qmp.execute("cont", json!({}));
            vm.wait_visits(1);
            assert_known_in_place(&observer.finish(), &known);
        }
    }

    /// No thread has a name that could be read from outside, and all are where they belong.
    #[test]
    fn of_a_guest_whose_threads_nobody_names() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let vm = placed(VmBuilder::usual(Accel::Tcg), &PLACEMENT, cpus)
            .debug_threads(false)
            .env("PIN_NAMES", "off");
        let Some(mut vm) = vm.start() else { return };
        let known = witnessed(&mut vm, &[cpus.second, cpus.first], &[("io1", cpus.second)]);
        let seen = Observer::watch(vm.pid(), Duration::from_millis(500));
        assert_known_in_place(&seen, &known);
        if let Some(why) = always_named() {
            return skip(why);
        }
        assert!(seen.threads.values().all(|t| t.name() == "qemu-system-x86"));
    }
}

mod workers {
    //! A worker belongs to its pool's home, whoever created it.

    use super::*;

    /// The CPUs of the workers of a burst, in a VM with only such disks.
    fn workers_are_on(accel: Accel, bus: &Bus, further: &[(&str, &str)], cpu: impl Fn(TwoCpus) -> usize) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let vm = VmBuilder::new(accel).smp("2").iothread("io1");
        let vm = (0..2).fold(vm, |vm, _| vm.drive(Drive::new(bus.clone())));
        let Some(mut vm) = placed(placed(vm, &PLACEMENT, cpus), further, cpus).start() else { return };
        vm.wait_visits(2);
        // Those of QEMU's own start, which read the images before there was a device, have ended or are
        // the main loop's.
        let before = Observer::watch(vm.pid(), Duration::from_millis(50));
        let observer = Observer::start(vm.pid());
        vm.burst();
        vm.wait_visits(1);
        vm.burst_of(64);
        let seen = observer.finish();
        let mut born = seen.threads.values().filter(|t| is_worker(t) && before.tid(t.tid).is_none()).count();
        // From QEMU 10 on the main loop makes some requests of a backup itself, whatever the disk's home is: one
        // after the other, for which one worker of its pool is enough.
        let mut main_loops = None;
        if matches!(bus, Bus::IoThread(_)) && further.is_empty() && vm.qmp.major_version() >= 10 {
            let on_the_first = |t: &&ThreadSeen| {
                is_worker(t) && t.runs.last().is_some_and(|run| run.allowed.parse() == Ok(cpus.first))
            };
            main_loops = seen.threads.values().find(on_the_first).map(|t| t.tid);
            born -= usize::from(main_loops.is_some_and(|tid| before.tid(tid).is_none()));
        }
        assert!(born >= 4, "{born} workers");
        assert_in_place(&seen, |thread| {
            if is_worker(thread) && before.tid(thread.tid).is_none() && Some(thread.tid) != main_loops {
                Expected::cpu(cpu(cpus))
            } else {
                Expected::Anywhere
            }
        });
    }

    kvm_and_tcg!(of_an_iothread_under_kvm, of_an_iothread_under_tcg, |accel| workers_are_on(
        accel,
        &Bus::IoThread("io1".into()),
        &[],
        |cpus| cpus.second
    ));

    kvm_and_tcg!(of_the_main_loop_under_kvm, of_the_main_loop_under_tcg, |accel| workers_are_on(
        accel,
        &Bus::Virtio,
        &[],
        |cpus| cpus.first
    ));

    // An IDE disk's requests are made by the vCPU's thread itself, and vCPU 0 is on the other CPU.
    kvm_and_tcg!(of_requests_made_by_a_vcpu_under_kvm, of_requests_made_by_a_vcpu_under_tcg, |accel| {
        workers_are_on(accel, &Bus::Ide, &[], |cpus| cpus.first)
    });

    #[test]
    fn with_a_set_of_their_own() {
        workers_are_on(Accel::Tcg, &Bus::Virtio, &[("PIN_WORKERS", "B")], |cpus| cpus.second);
        // One time limit at a time: the first has ended with its call.
        workers_are_on(Accel::Tcg, &Bus::IoThread("io1".into()), &[("PIN_WORKERS", "A")], |cpus| cpus.first);
    }

    /// Workers that have ended are created again by the thread with the next request, which may be a vCPU.
    #[test]
    fn born_again_by_a_vcpu() {
        let _limit = TimeLimit::seconds(240);
        let Some(cpus) = two_cpus() else { return };
        let rounds = if long() { 6 } else { 1 };
        for accel in [Accel::Kvm, Accel::Tcg] {
            let vm = VmBuilder::new(accel).smp("2").drive(Drive::new(Bus::Ide)).drive(Drive::new(Bus::Ide));
            let Some(mut vm) = placed(vm, &[("PIN_VCPUS", "*@B"), ("PIN_EMULATOR", "A")], cpus).start()
            else {
                continue;
            };
            let observer = Observer::start(vm.pid());
            for _ in 0..rounds {
                vm.wait_visits(1);
                // Until the last worker is gone, but for those that QEMU lets live on.
                vm.pause(Duration::from_secs(11));
            }
            vm.wait_visits(2);
            let seen = observer.finish();
            assert_in_place(
                &seen,
                |t| if is_worker(t) { Expected::cpu(cpus.first) } else { Expected::Anywhere },
            );
            assert!(seen.named("worker").len() > rounds, "{} workers", seen.named("worker").len());
        }
    }

    /// The requests go through an io_uring or the kernel's AIO. Everything else is placed as ever; should QEMU make
    /// a `worker` for something else, it is not judged.
    #[test]
    fn of_other_kinds_of_io() {
        let _limit = TimeLimit::seconds(240);
        let Some(cpus) = two_cpus() else { return };
        for aio in [Aio::IoUring, Aio::Native] {
            let drive = || Drive::new(Bus::IoThread("io1".into())).aio(aio).cache("none");
            let vm = VmBuilder::new(Accel::Tcg).smp("2").iothread("io1").drive(drive()).drive(drive());
            let Some(mut vm) = placed(vm, &PLACEMENT, cpus).start() else { continue };
            let known = witnessed(&mut vm, &[cpus.second, cpus.first], &[("io1", cpus.second)]);
            let observer = Observer::start(vm.pid());
            vm.wait_visits(1);
            vm.burst();
            let seen = observer.finish();
            assert!(known.keys().all(|tid| seen.tid(*tid).is_some()), "QMP's threads were seen");
            assert_in_place(&seen, |thread| match known.get(&thread.tid) {
                Some(cpu) => Expected::cpu(*cpu),
                None if is_worker(thread) => Expected::Anywhere,
                // Workers of an io_uring belong to the thread that submits, and have its id in their name: io1, or from
                // QEMU 10 on the main loop.
                None => {
                    let submitter = thread.name().strip_prefix("iou-wrk-").and_then(|tid| tid.parse().ok());
                    let cpu = submitter.and_then(|tid: u32| known.get(&tid));
                    Expected::cpu(cpu.copied().unwrap_or(cpus.first))
                }
            });
        }
    }
}

mod vcpus {
    //! Which vCPU is which.

    use super::*;

    #[track_caller]
    fn vcpus_are_on(vm: VmBuilder, expected: &[usize]) -> Option<Vm> {
        let mut vm = vm.start()?;
        vm.wait_visits(1);
        let known = witnessed(&mut vm, expected, &[]);
        assert_known_in_place(&Observer::watch(vm.pid(), Duration::from_millis(300)), &known);
        Some(vm)
    }

    /// The APIC ids of three cores a socket are 0 1 2 4 5 6.
    fn the_apic_id_is_not_the_index(accel: Accel) {
        let _limit = TimeLimit::seconds(150);
        let Some(TwoCpus { first: a, second: b }) = two_cpus() else { return };
        let cpus = TwoCpus { first: a, second: b };
        let vm = VmBuilder::new(accel).smp("6,sockets=2,cores=3,threads=1").drive(Drive::new(Bus::Virtio));
        let vm = placed(vm, &[("PIN_VCPUS", "B,A,A,B,B,A"), ("PIN_CPUS", "A")], cpus);
        vcpus_are_on(vm, &[b, a, a, b, b, a]);
    }

    kvm_and_tcg!(
        the_apic_id_is_not_the_index_under_kvm,
        the_apic_id_is_not_the_index_under_tcg,
        the_apic_id_is_not_the_index
    );

    #[test]
    fn a_list_that_is_too_short_leaves_the_rest_to_the_base_with_one_warning() {
        let _limit = TimeLimit::seconds(150);
        let Some(TwoCpus { first: a, second: b }) = two_cpus() else { return };
        let vm = VmBuilder::new(Accel::Tcg).smp("4").drive(Drive::new(Bus::Virtio));
        let vm = placed(vm, &[("PIN_VCPUS", "B"), ("PIN_CPUS", "A")], TwoCpus { first: a, second: b });
        let Some(vm) = vcpus_are_on(vm, &[b, a, a, a]) else { return };
        let said = vm.stderr();
        let warnings: Vec<_> = said.lines().filter(|line| line.contains("pinshim")).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("PIN_VCPUS"), "{warnings:?}");
    }

    /// With one TCG thread for all vCPUs, that one may run wherever one of them may.
    #[test]
    fn one_thread_for_all_vcpus() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        // Counting instructions needs a single thread. (A second -accel would only be for where the first fails.)
        let vm = VmBuilder::new(Accel::Tcg).smp("2").args(&["-icount", "auto"]);
        let vm = placed(vm, &[("PIN_VCPUS", "*@B"), ("PIN_EMULATOR", "A")], cpus);
        let Some(mut vm) = vm.start() else { return };
        let known: BTreeMap<_, _> =
            vm.qmp.vcpu_tids().into_iter().map(|(_, tid)| (tid, cpus.second)).collect();
        assert_eq!(known.len(), 1, "one thread for both: {known:?}");
        assert_known_in_place(&Observer::watch(vm.pid(), Duration::from_millis(300)), &known);
    }

    fn hotplug(accel: Accel) {
        let _limit = TimeLimit::seconds(200);
        let Some(cpus) = two_cpus() else { return };
        let vm = VmBuilder::new(accel).smp("1,maxcpus=3,sockets=3").qtest().drive(Drive::new(Bus::Virtio));
        let vm = placed(vm, &[("PIN_VCPUS", "0@A,1@B,2@[A,B]"), ("PIN_EMULATOR", "A")], cpus);
        let Some(mut vm) = vm.start() else { return };
        vm.wait_visits(1);
        let mut qtest = vm.qtest();
        vm.qmp.execute("stop", json!({}));
        qtest.begin_cpu_hotplug();
        vm.qmp.execute("cont", json!({}));
        let places = vm.qmp.execute("query-hotpluggable-cpus", json!({}));
        let place = places.as_array().expect("a list").iter().find(|p| p["props"]["socket-id"] == 1);
        let place = place.expect("a place for vCPU 1").clone();
        // Plugged in, pulled out, plugged in again: QEMU parks KVM's vCPU, so the second time none is created.
        // QEMU 7.2's TCG dies of a vCPU that is plugged in again, library or not.
        let rounds = if accel == Accel::Kvm { 2 } else { 1 };
        for round in 0..rounds {
            let observer = Observer::start(vm.pid());
            let mut device = place["props"].clone();
            device["driver"] = place["type"].clone();
            device["id"] = json!("plugged");
            vm.qmp.execute("device_add", device);
            let tids = vm.qmp.vcpu_tids();
            let &(_, tid) = tids.iter().find(|(index, _)| *index == 1).expect("vCPU 1 is there");
            vm.wait_visits(1);
            let seen = observer.finish();
            let plugged = seen.tid(tid).expect("the new thread was seen");
            assert!(plugged.first_seen > Duration::ZERO && plugged.looks() > 1, "round {round}");
            assert_in_place(&seen, |t| {
                if t.tid == tid { Expected::cpu(cpus.second) } else { Expected::cpu(cpus.first) }
            });

            vm.qmp.execute("device_del", json!({"id": "plugged"}));
            // Halted, since QEMU takes a guest's own access to a port at the same moment for a
            // re-entrant one, and refuses it.
            vm.qmp.execute("stop", json!({}));
            qtest.eject_vcpu(1);
            vm.qmp.wait_event("DEVICE_DELETED", 60);
            vm.qmp.execute("cont", json!({}));
            assert_eq!(vm.qmp.vcpu_tids().len(), 1);
            vm.wait_visits(1);
        }
    }

    kvm_and_tcg!(come_and_go_under_kvm, come_and_go_under_tcg, hotplug);
}

mod at_run_time {
    //! Threads that are made later, each on its set as it is created.

    use super::*;

    fn iothreads_come_and_go(accel: Accel) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let vm = VmBuilder::new(accel).drive(Drive::new(Bus::Virtio)).drive(Drive::new(Bus::Virtio));
        let placement = [("PIN_CPUS", "A"), ("PIN_IOTHREADS", "late@B")];
        let Some(mut vm) = placed(vm, &placement, cpus).start() else { return };
        vm.wait_visits(1);
        let image = vm.folder().join("disk1");
        for _ in 0..2 {
            let observer = Observer::start(vm.pid());
            vm.qmp.execute("object-add", json!({"qom-type": "iothread", "id": "late"}));
            vm.qmp.execute("object-add", json!({"qom-type": "iothread", "id": "other"}));
            let tids = vm.qmp.iothread_tids();
            let tid = |id: &str| tids.iter().find(|(known, _)| known == id).expect("QMP knows it").1;
            let (late, other) = (tid("late"), tid("other"));
            // A disk that no device has, held in the new IOThread by an export, so that its pool has work.
            let node = json!({
                "driver": "raw", "node-name": "spare", "read-only": true,
                "file": {"driver": "file", "filename": image, "locking": "off"},
            });
            vm.qmp.execute("blockdev-add", node);
            let address = json!({"type": "unix", "data": {"path": vm.folder().join("nbd")}});
            vm.qmp.execute("nbd-server-start", json!({"addr": address}));
            let export = json!({
                "type": "nbd", "id": "holds", "node-name": "spare", "iothread": "late", "fixed-iothread": true,
            });
            vm.qmp.execute("block-export-add", export);
            // The guest's own requests would make workers of the main loop's pool.
            vm.qmp.execute("stop", json!({}));
            let before = Observer::watch(vm.pid(), Duration::from_millis(50));
            vm.burst_on("spare", 32);
            let seen = observer.finish();
            vm.qmp.execute("cont", json!({}));
            assert!(seen.tid(late).is_some() && seen.tid(other).is_some(), "the new threads were seen");
            let pool = |t: &ThreadSeen| is_worker(t) && before.tid(t.tid).is_none();
            assert!(seen.threads.values().filter(|t| pool(t)).count() >= 2, "the new pool has workers");
            assert_in_place(&seen, |t| {
                if t.tid == late || pool(t) { Expected::cpu(cpus.second) } else { Expected::cpu(cpus.first) }
            });
            vm.qmp.execute("block-export-del", json!({"id": "holds"}));
            vm.qmp.wait_event("BLOCK_EXPORT_DELETED", 60);
            vm.qmp.execute("nbd-server-stop", json!({}));
            vm.qmp.execute("blockdev-del", json!({"node-name": "spare"}));
            vm.qmp.execute("object-del", json!({"id": "late"}));
            vm.qmp.execute("object-del", json!({"id": "other"}));
            assert!(vm.qmp.iothread_tids().is_empty());
        }
    }

    kvm_and_tcg!(iothreads_come_and_go_under_kvm, iothreads_come_and_go_under_tcg, iothreads_come_and_go);

    /// QEMU's names for the threads of a migration, in its versions.
    fn is_migrations(name: &str) -> bool {
        ["live_migration", "return path", "multifd", "mig/"].iter().any(|start| name.starts_with(start))
    }

    fn is_migration(thread: &ThreadSeen) -> bool {
        is_migrations(thread.name())
    }

    const MIGRATION: [(&str, &str); 2] = [("PIN_CPUS", "A"), ("PIN_MIGRATION", "B")];

    #[test]
    fn a_migration_to_a_command() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        for accel in [Accel::Kvm, Accel::Tcg] {
            let vm = placed(VmBuilder::new(accel), &MIGRATION, cpus);
            let Some(mut vm) = vm.start() else { continue };
            vm.wait_visits(1);
            // So slow that the migration is still under way when its thread is looked at.
            vm.qmp.execute("migrate-set-parameters", json!({"max-bandwidth": 4096}));
            let observer = Observer::start(vm.pid());
            vm.qmp.execute("migrate", json!({"uri": "exec:cat >/dev/null"}));
            until(60, "the migration", || {
                let status = vm.qmp.execute("query-migrate", json!({}));
                assert!(status["status"] == "setup" || status["status"] == "active", "{status}");
                (status["status"] == "active").then_some(())
            });
            let seen = observer.finish();
            vm.qmp.execute("migrate_cancel", json!({}));
            let looks: u64 = seen.threads.values().filter(|t| is_migration(t)).map(ThreadSeen::looks).sum();
            assert!(looks > 1, "the migration's thread was seen");
            assert_in_place(&seen, |t| Expected::cpu(if is_migration(t) { cpus.second } else { cpus.first }));
            vm.wait_visits(1);
        }
    }

    #[test]
    fn a_migration_to_another_qemu_through_many_channels() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let vm = || placed(VmBuilder::new(Accel::Tcg), &MIGRATION, cpus);
        let Some(mut target) = vm().args(&["-incoming", "defer"]).start() else { return };
        let Some(mut source) = vm().start() else { return };
        source.wait_visits(1);
        let uri = json!({"uri": format!("unix:{}", target.folder().join("migration").display())});
        for vm in [&mut source, &mut target] {
            let on = json!({"capabilities": [{"capability": "multifd", "state": true}]});
            vm.qmp.execute("migrate-set-capabilities", on);
        }
        source.qmp.execute("migrate-set-parameters", json!({"max-bandwidth": 65536}));
        let observers = [&source, &target].map(|vm| Observer::start(vm.pid()));
        target.qmp.execute("migrate-incoming", uri.clone());
        source.qmp.execute("migrate", uri);
        for vm in [&source, &target] {
            until(60, "the threads of the migration", || {
                let names = harness::threads(vm.pid()).into_values();
                (names.filter(|name| is_migrations(name)).count() >= 2).then_some(())
            });
        }
        for observer in observers {
            let seen = observer.finish();
            assert!(
                seen.threads.values().filter(|t| is_migration(t)).count() >= 2,
                "{:?}",
                seen.threads.values().map(|t| t.name().to_owned()).collect::<Vec<_>>()
            );
            assert_in_place(&seen, |t| Expected::cpu(if is_migration(t) { cpus.second } else { cpus.first }));
        }
        source.qmp.execute("migrate_cancel", json!({}));
    }
}

mod exempt {
    //! Threads that QEMU places on purpose.

    use super::*;

    #[test]
    fn a_thread_context_and_those_it_makes_stay_where_qemu_puts_them() {
        let _limit = TimeLimit::seconds(150);
        if let Some(why) = object_missing("thread-context") {
            return skip(why);
        }
        let Some(cpus) = two_cpus() else { return };
        let context = format!("thread-context,id=tc1,cpu-affinity={}", cpus.first);
        let vm = placed(VmBuilder::new(Accel::Tcg).args(&["-object", &context]), &[("PIN_CPUS", "B")], cpus);
        let Some(mut vm) = vm.start() else { return };
        let tid = vm.qmp.execute("qom-get", json!({"path": "/objects/tc1", "property": "thread-id"}));
        let tid = tid.as_u64().expect("a thread id") as u32;
        let observer = Observer::start(vm.pid());
        let memory = json!({
            "qom-type": "memory-backend-ram", "id": "more", "size": 1u64 << 29, "prealloc": true,
            "prealloc-threads": 2, "prealloc-context": "tc1",
        });
        vm.qmp.execute("object-add", memory);
        let seen = observer.finish();
        let touching = |t: &ThreadSeen| t.tid == tid || t.name() == "touch_pages";
        assert!(
            seen.tid(tid).is_some() && seen.threads.values().filter(|t| touching(t)).count() >= 3,
            "touched"
        );
        assert_in_place(&seen, |t| Expected::cpu(if touching(t) { cpus.first } else { cpus.second }));

        let moved = json!({"path": "/objects/tc1", "property": "cpu-affinity", "value": [cpus.second]});
        vm.qmp.execute("qom-set", moved);
        assert_eq!(harness::cpus_of(&format!("{}/task/{tid}", vm.pid())), [cpus.second], "QEMU may move it");
    }
}

mod rules {
    //! `PIN_THREADS` against QEMU's own names.

    use super::*;

    #[test]
    fn a_rule_wins_over_the_role() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let placement = [
            ("PIN_CPUS", "A"),
            ("PIN_IOTHREADS", "*@A"),
            ("PIN_THREADS", "IO mon*@B,IO io?@B,worker@B,CPU 1/*@B"),
        ];
        let Some(mut vm) = placed(VmBuilder::usual(Accel::Tcg), &placement, cpus).start() else { return };
        let observer = Observer::start(vm.pid());
        vm.wait_visits(1);
        vm.burst();
        let seen = observer.finish();
        let ruled = ["IO mon_iothread", "IO io1", "worker", "CPU 1/TCG"];
        for name in ruled {
            assert!(!seen.named(name).is_empty(), "there is a thread {name}");
        }
        assert_in_place(&seen, |t| {
            Expected::cpu(if ruled.contains(&t.name()) { cpus.second } else { cpus.first })
        });
    }
}
