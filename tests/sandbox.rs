//! libvirt's sandbox: every thread is on its set, although no thread may set its own affinity, and the sandbox is
//! as tight as without the library.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{
    Accel, Expected, LIBVIRT_SANDBOX, NOBODY, Observation, Observer, Rule, Scratch, Source, TimeLimit,
    TwoCpus, Vm, VmBuilder, brokers_of, compile_library, judge, kvm_and_tcg, long, root_missing, skip,
    two_cpus, until,
};
use serde_json::json;

/// No vCPU, IOThread, worker or migration thread belongs on its creator's set, so that none is in place by
/// inheritance.
struct Placement {
    first: String,
    second: String,
    both: String,
    /// Where QEMU is started, and where the emulator's threads belong.
    cpu: usize,
}

impl Placement {
    fn on(cpus: TwoCpus) -> Self {
        Self {
            first: cpus.first.to_string(),
            second: cpus.second.to_string(),
            both: cpus.both(),
            cpu: cpus.first,
        }
    }

    fn vm(&self, accel: Accel) -> VmBuilder {
        let Self { first, second, both, .. } = self;
        VmBuilder::usual(accel)
            .sandbox(LIBVIRT_SANDBOX)
            .affinity(&[self.cpu])
            .env("PIN_CPUS", first)
            .env("PIN_VCPUS", &format!("0@{second},1@[{both}]"))
            .env("PIN_IOTHREADS", &format!("*@{second}"))
            .env("PIN_WORKERS", both)
            .env("PIN_MIGRATION", second)
            .env("PIN_THREADS", &format!("call_rcu@{second}"))
    }

    /// Each thread is on its set in every look from the one that shows its own name. Before that it is being
    /// created: the broker has to place it, which may take a while. The kernel's thread can only be placed after
    /// it is there, so that the last look counts.
    #[track_caller]
    fn assert_in_place(&self, mut seen: Observation, vm: &mut Vm) {
        let mut known: BTreeMap<u32, &str> = [(vm.pid(), &*self.first)].into();
        for (index, tid) in vm.qmp.vcpu_tids() {
            known.insert(tid, if index == 0 { &self.second } else { &self.both });
        }
        let iothreads = vm.qmp.iothread_tids();
        known.extend(iothreads.iter().map(|(_, tid)| (*tid, &*self.second)));
        for thread in seen.threads.values_mut() {
            let name = thread.name().to_owned();
            thread.runs.retain(|run| run.name == name);
            if name.starts_with("kvm-nx-lpage") {
                thread.runs.drain(..thread.runs.len() - 1);
            }
        }
        let offences = judge(&seen, Rule::Promise, |thread| {
            let set = match thread.name() {
                "worker" => &self.both,
                "call_rcu" | "live_migration" | "mig/src/main" => &self.second,
                _ => known.get(&thread.tid).copied().unwrap_or(&self.first),
            };
            Expected::On(set.to_owned())
        });
        assert!(offences.is_empty(), "{} offences, the first: {}", offences.len(), offences[0]);
        assert_eq!(seen.named("call_rcu").len(), 1);
        // A worker that an IOThread creates has its name, too, until QEMU has named it: so each is looked up by its id.
        for (id, tid) in iothreads {
            assert!(seen.tid(tid).is_some_and(|thread| thread.name() == format!("IO {id}")), "{id}");
        }
        assert!(seen.named("worker").len() >= 8, "{} workers", seen.named("worker").len());
    }
}

/// Migrates the VM to a socket that throws everything away, so that there is a migration thread. Nothing is read
/// until that thread was seen on `set`.
fn migrate(vm: &mut Vm, set: &str) {
    let socket = vm.folder().join("elsewhere");
    let listener = UnixListener::bind(&socket).expect("make a socket");
    fs::set_permissions(&socket, Permissions::from_mode(0o777)).expect("open the socket to all");
    let (go_on, wait) = mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = wait.recv();
        let mut room = vec![0; 1 << 16];
        while stream.read(&mut room).is_ok_and(|read| read > 0) {}
    });
    vm.qmp.execute("migrate", json!({"uri": format!("unix:{}", socket.display())}));
    let allowed = format!("Cpus_allowed_list:\t{set}\n");
    until(60, "the migration's thread on its set", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", vm.pid())).ok()?.flatten();
        let mut statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        // The second name is QEMU's from 10 on.
        let of_migration = |s: &String| {
            ["Name:\tlive_migration\n", "Name:\tmig/src/main\n"].iter().any(|name| s.starts_with(name))
        };
        statuses.find(|s| of_migration(s) && s.contains(&allowed)).map(drop)
    });
    drop(go_on);
    until(60, "the end of a migration", || {
        let state = vm.qmp.execute("query-migrate", json!({}))["status"].clone();
        assert_ne!(state, "failed");
        (state == "completed").then_some(())
    });
    reader.join().expect("the reading thread");
}

fn every_role_is_in_place(accel: Accel, shape: impl Fn(VmBuilder) -> VmBuilder) {
    let _limit = TimeLimit::seconds(240);
    let Some(cpus) = two_cpus() else { return };
    let placement = Placement::on(cpus);
    let Some(mut vm) = shape(placement.vm(accel)).start() else { return };
    let end = Instant::now() + Duration::from_secs(if long() { 30 } else { 6 });
    let observer = Observer::start(vm.pid());
    while Instant::now() < end {
        vm.burst();
        vm.wait_visits(1);
    }
    migrate(&mut vm, &placement.second);
    let seen = observer.finish();
    println!("{} threads in {} looks", seen.count(), seen.looks);
    placement.assert_in_place(seen, &mut vm);
    assert!(!vm.stderr().contains("pinshim"), "silent on success: {}", vm.stderr());
    assert!(vm.quit().status.success());
}

kvm_and_tcg!(roots_kvm_guest_is_in_place, roots_tcg_guest_is_in_place, |accel| every_role_is_in_place(
    accel,
    |vm| vm
));

fn an_ordinary_users_guest_is_in_place(accel: Accel) {
    match root_missing() {
        Some(why) => skip(why),
        None => every_role_is_in_place(accel, |vm| vm.user(NOBODY)),
    }
}

kvm_and_tcg!(
    an_ordinary_users_kvm_guest_is_in_place,
    an_ordinary_users_tcg_guest_is_in_place,
    an_ordinary_users_guest_is_in_place
);

/// Starts one VM after the other. In each the creation of `call_rcu` races the loading of the filter.
fn no_start_leaves_a_thread_behind(accel: Accel) {
    let _limit = TimeLimit::seconds(500);
    let Some(cpus) = two_cpus() else { return };
    let placement = Placement::on(cpus);
    for _ in 0..if long() { 50 } else { 5 } {
        let Some(mut vm) = placement.vm(accel).start() else { return };
        let observer = Observer::start(vm.pid());
        vm.burst();
        placement.assert_in_place(observer.finish(), &mut vm);
        assert!(!vm.stderr().contains("pinshim"), "{}", vm.stderr());
    }
}

kvm_and_tcg!(
    no_start_of_a_kvm_guest_leaves_a_thread_behind,
    no_start_of_a_tcg_guest_leaves_a_thread_behind,
    no_start_leaves_a_thread_behind
);

mod is_no_weaker {
    use super::*;

    /// How many threads there are with each pair of `Seccomp:` and `Seccomp_filters:`.
    fn filters(vm: &Vm) -> BTreeMap<String, usize> {
        let mut seen = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{}/task", vm.pid())).expect("QEMU's threads").flatten() {
            // One that has ended meanwhile.
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            let lines: Vec<_> = status.lines().filter(|line| line.starts_with("Seccomp")).collect();
            if !lines.is_empty() {
                *seen.entry(lines.join(" ")).or_default() += 1;
            }
        }
        seen
    }

    fn every_thread_has_the_same_filters(accel: Accel) {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let placement = Placement::on(cpus);
        let Some(mut with) = placement.vm(accel).start() else { return };
        let Some(mut without) = placement.vm(accel).without_library().start() else { return };
        assert!(!brokers_of(with.pid()).is_empty() && brokers_of(without.pid()).is_empty());
        for vm in [&mut with, &mut without] {
            vm.wait_visits(1);
            vm.burst();
        }
        let (with, without) = (filters(&with), filters(&without));
        println!("{with:?} and {without:?}");
        assert_eq!(with.len(), 1, "one kind of thread: {with:?}");
        assert_eq!(with.keys().next(), without.keys().next());
        assert!(with.keys().all(|line| line.starts_with("Seccomp:\t2")), "{with:?}");
    }

    kvm_and_tcg!(for_a_kvm_guest, for_a_tcg_guest, every_thread_has_the_same_filters);

    #[test]
    fn for_a_thread_that_moves_itself() {
        let _limit = TimeLimit::seconds(150);
        let Some(cpus) = two_cpus() else { return };
        let scratch = Scratch::new();
        let tries = compile_library(&scratch, &Source { file: "tries_to_move.c", flags: &[] });
        let Some(vm) = Placement::on(cpus).vm(Accel::Kvm).behind(&tries).start() else { return };
        vm.wait_visits(1);
        let said = vm.stderr();
        let mut lines: Vec<_> = said.lines().filter(|line| line.contains("tried")).collect();
        lines.sort_unstable();
        let vcpu = "a vCPU tried to move: EPERM";
        assert_eq!(lines, [vcpu, vcpu, "main tried to move: EPERM"]);
    }
}
