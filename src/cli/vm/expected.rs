//! Where the threads of a VM belong.

use crate::sys::threads::Thread;
use crate::vm::homes::{Homes, workers_follow_home};
use crate::vm::identify::{Known, Sources, Told, Who, name_shown, policy, tell};
use pinning::status_page::{Listed, State};
use pinning::{CpuSet, RoleKind, Tid};
use std::collections::HashMap;

/// A thread and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// What the kernel says of it.
    pub(crate) thread: Thread,
    /// What it does.
    pub(crate) role: RoleKind,
    /// How that is known.
    pub(crate) known: Known,
    /// A vCPU's index, an IOThread's place in the order of creation.
    pub(crate) index: Option<u32>,
    /// QEMU's name for it, or its comm; harmless to a terminal.
    pub(crate) name: String,
    /// Where it belongs; `None` without a policy.
    pub(crate) expected: Option<CpuSet>,
    /// What the register says of it.
    pub(crate) state: Option<State>,
    /// A worker of which nobody knows whose it is: it counts as the main loop's.
    pub(crate) home_assumed: bool,
}

/// Who the threads are, in their order.
pub(crate) fn members(threads: Vec<Thread>, sources: &Sources<'_>) -> Vec<Member> {
    let listed = sources.page.map(|page| page.snapshot.threads.as_slice()).unwrap_or_default();
    let listed: HashMap<Tid, &Listed> = listed.iter().map(|listed| (listed.tid, listed)).collect();
    let told: Vec<Told> = threads.iter().map(|thread| tell(thread, sources, &listed)).collect();
    let homes = Homes::new(&threads, &told, sources);
    let places = threads.into_iter().zip(told);
    places.map(|(thread, told)| assign(thread, told, sources, &homes)).collect()
}

fn assign(thread: Thread, told: Told, sources: &Sources<'_>, homes: &Homes) -> Member {
    let mut home_assumed = false;
    let order = homes.order.get(&thread.inner).copied();
    let expected = policy(sources).map(|policy| {
        // The register has the last word on the page's own policy.
        if let (None, Some(listed)) = (sources.policy, &told.listed) {
            return policy.set(listed.set).clone();
        }
        if let Some(rule) = policy.rule_for(&told.name) {
            return policy.set(rule).clone();
        }
        let (home, assumed) = match told.who {
            Who::Worker | Who::IoUringWorker(_) => homes.of_worker(&told, policy, sources),
            _ => (policy.emulator(), false),
        };
        home_assumed = assumed && workers_follow_home(policy);
        policy.set(policy.cpus_for(told.who.role(), order.unwrap_or(0), home)).clone()
    });
    let index = match told.who {
        Who::Vcpu(index) => Some(index),
        Who::IoThread(_) => order,
        _ => None,
    };
    Member {
        role: told.who.role().kind(),
        known: told.known,
        index,
        name: name_shown(&told),
        expected,
        state: told.listed.map(|listed| listed.state),
        home_assumed,
        thread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::page::Content;
    use crate::vm::qmp::Ids;
    use pinning::status_page::Snapshot;
    use pinning::{CpuId, Host, Policy, SetId};
    use std::time::Duration;

    const MAIN: i32 = 10;

    fn thread(tid: i32, comm: &str) -> Thread {
        Thread {
            tid: Tid(tid),
            inner: Tid(tid),
            started: u64::from(tid.unsigned_abs()),
            comm: comm.as_bytes().to_vec(),
            allowed: CpuSet::from_words(&[1]),
            last_cpu: CpuId(0),
            cpu_time: Duration::ZERO,
            switches: 0,
            migrations: None,
        }
    }

    fn policy(environment: &[(&str, &str)]) -> Policy {
        let all = CpuSet::from_words(&[0xff]);
        let host = Host { available: all.clone(), start: all };
        Policy::read(environment.iter().copied(), &host).policy.unwrap()
    }

    /// tid, role, index, set, home, name.
    type Entry = (i32, RoleKind, Option<u32>, u16, u16, &'static str);

    /// A page with its threads.
    fn page(environment: &[(&str, &str)], threads: &[Entry]) -> Content {
        let policy = policy(environment);
        let listed = |&(tid, role, index, set, home, name): &Entry| Listed {
            tid: Tid(tid),
            state: State::Placed,
            role,
            index,
            set: SetId(set),
            home: SetId(home),
            born_ns: 0,
            name: name.to_owned(),
        };
        let snapshot = Snapshot {
            owner: MAIN.unsigned_abs(),
            broker: None,
            settled: true,
            sandboxed: false,
            sets: policy.sets().to_vec(),
            host: None,
            environment: policy.entries().to_vec(),
            threads: threads.iter().map(listed).collect(),
            counters: Default::default(),
        };
        Content { snapshot, policy }
    }

    fn told(threads: Vec<Thread>, sources: Sources<'_>) -> Vec<String> {
        let members = members(threads, &Sources { inner_pid: MAIN, ..sources });
        members
            .iter()
            .map(|member| {
                let set = member.expected.as_ref().map_or("-".to_owned(), CpuSet::to_string);
                let sure = if member.known == Known::Assumed || member.home_assumed { "?" } else { "" };
                format!("{} {}{sure} {set}", member.thread.tid, member.role)
            })
            .collect()
    }

    #[test]
    fn names_go_as_far_as_they_go() {
        let threads = || {
            vec![
                thread(MAIN, "qemu-system-x86"),
                thread(11, "CPU 1/KVM"),
                thread(12, "IO io1"),
                thread(13, "worker"),
                thread(14, "qemu-system-x86"),
                thread(15, "kvm-nx-lpage-re"),
                thread(16, "vhost-10"),
                thread(17, "iou-wrk-12"),
                thread(18, "iou-wrk-11"),
                thread(19, "TC tc0"),
            ]
        };
        let policy = policy(&[
            ("PIN_CPUS", "7"),
            ("PIN_VCPUS", "1,2"),
            ("PIN_IOTHREADS", "io1@3"),
            ("PIN_EMULATOR", "4"),
            ("PIN_VHOST", "5"),
        ]);
        let told = told(threads(), Sources { policy: Some(&policy), ..Sources::default() });
        let expected = [
            "10 emulator 4",
            "11 vcpu 2",
            "12 iothread 3",
            "13 worker? 4",
            "14 emulator? 4",
            "15 emulator 4",
            "16 vhost 5",
            "17 worker 3",
            "18 worker 4",
            "19 exempt 4",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn workers_of_one_set_need_no_guess() {
        let threads = || vec![thread(MAIN, "q"), thread(11, "IO io1"), thread(12, "worker")];
        for environment in [
            &[("PIN_CPUS", "1")][..],
            &[("PIN_EMULATOR", "1"), ("PIN_IOTHREADS", "2"), ("PIN_WORKERS", "3")],
            &[("PIN_EMULATOR", "1"), ("PIN_IOTHREADS", "2"), ("PIN_THREADS", "worker@3")],
        ] {
            let policy = policy(environment);
            let told = told(threads(), Sources { policy: Some(&policy), ..Sources::default() });
            assert!(told[2].starts_with("12 worker "), "{told:?}");
        }
    }

    /// An ordered list counts IOThreads as they were created, and thread ids begin anew some day.
    #[test]
    fn iothreads_are_counted_in_the_order_of_their_creation() {
        let policy = policy(&[("PIN_IOTHREADS", "1,2"), ("PIN_EMULATOR", "4")]);
        let born = |tid, started, comm| Thread { started, ..thread(tid, comm) };
        let threads = vec![
            born(MAIN, 1, "q"),
            born(11, 30, "IO younger"),
            born(12, 20, "IO older"),
            born(13, 40, "iou-wrk-11"),
            born(14, 40, "iou-wrk-12"),
        ];
        let told = told(threads, Sources { policy: Some(&policy), ..Sources::default() });
        assert_eq!(told, ["10 emulator 4", "11 iothread 2", "12 iothread 1", "13 worker 2", "14 worker 1"]);
    }

    #[test]
    fn qemus_answer_tells_threads_without_names_apart() {
        let policy = policy(&[
            ("PIN_VCPUS", "1,2"),
            ("PIN_IOTHREADS", "a-very-long-iothread@3,*@5"),
            ("PIN_EMULATOR", "4"),
        ]);
        let ids = Ids {
            vcpus: vec![(0, Tid(11)), (1, Tid(12))],
            iothreads: vec![("a-very-long-iothread".to_owned(), Tid(13))],
        };
        let threads = vec![
            thread(MAIN, "q"),
            thread(11, "q"),
            thread(12, "q"),
            thread(13, "IO a-very-long"),
            thread(14, "q"),
        ];
        let told = told(threads, Sources { policy: Some(&policy), ids: Some(&ids), ..Sources::default() });
        assert_eq!(told, ["10 emulator 4", "11 vcpu 1", "12 vcpu 2", "13 iothread 3", "14 emulator? 4"]);
    }

    #[test]
    fn one_thread_for_all_vcpus_may_run_on_all_their_sets() {
        let policy = policy(&[("PIN_VCPUS", "1,2"), ("PIN_EMULATOR", "4")]);
        let ids = Ids { vcpus: vec![(0, Tid(11)), (1, Tid(11))], iothreads: Vec::new() };
        let threads = vec![thread(MAIN, "q"), thread(11, "q")];
        let told = told(threads, Sources { policy: Some(&policy), ids: Some(&ids), ..Sources::default() });
        assert_eq!(told, ["10 emulator 4", "11 vcpu 1-2"]);
    }

    /// Sets of the page: 0 is base, 1 the emulator's, 2 the IOThread's.
    fn paged() -> Content {
        page(
            &[("PIN_CPUS", "7"), ("PIN_EMULATOR", "1"), ("PIN_IOTHREADS", "2")],
            &[
                (MAIN, RoleKind::Emulator, None, 2, 2, ""),
                (11, RoleKind::IoThread, Some(0), 1, 1, "IO io1"),
                (12, RoleKind::Worker, None, 1, 1, "worker"),
                (13, RoleKind::Worker, None, 2, 2, "worker"),
            ],
        )
    }

    fn its_threads() -> Vec<Thread> {
        vec![
            thread(MAIN, "q"),
            thread(11, "q"),
            thread(12, "q"),
            thread(13, "q"),
            thread(14, "iou-wrk-11"),
            thread(15, "CPU 0/KVM"),
        ]
    }

    #[test]
    fn the_register_has_the_last_word() {
        let page = paged();
        assert_eq!((page.policy.base(), page.policy.emulator()), (SetId(0), SetId(2)));
        let told = told(its_threads(), Sources { page: Some(&page), ..Sources::default() });
        let expected =
            ["10 emulator 1", "11 iothread 2", "12 worker 2", "13 worker 1", "14 worker 2", "15 emulator? 1"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_full_register_leaves_the_rest_to_the_names() {
        let mut page = paged();
        page.snapshot.counters.unlisted = 1;
        let told = told(its_threads(), Sources { page: Some(&page), ..Sources::default() });
        assert_eq!(told[5], "15 vcpu 7");
    }

    #[test]
    fn a_policy_in_place_of_the_pages_keeps_workers_with_their_homes() {
        let page = paged();
        let policy = policy(&[("PIN_EMULATOR", "5"), ("PIN_IOTHREADS", "io1@6")]);
        let sources = Sources { page: Some(&page), policy: Some(&policy), ..Sources::default() };
        let expected =
            ["10 emulator 5", "11 iothread 6", "12 worker 6", "13 worker 5", "14 worker 6", "15 emulator? 5"];
        assert_eq!(told(its_threads(), sources), expected);
    }

    #[test]
    fn homes_that_were_one_set_cannot_be_told_apart() {
        let page = page(
            &[("PIN_CPUS", "7")],
            &[
                (MAIN, RoleKind::Emulator, None, 0, 0, ""),
                (11, RoleKind::IoThread, Some(0), 0, 0, "IO io1"),
                (12, RoleKind::Worker, None, 0, 0, "worker"),
            ],
        );
        let policy = policy(&[("PIN_EMULATOR", "5"), ("PIN_IOTHREADS", "io1@6")]);
        let sources = Sources { page: Some(&page), policy: Some(&policy), ..Sources::default() };
        assert_eq!(told(its_threads().drain(..3).collect(), sources)[2], "12 worker? 5");
    }

    #[test]
    fn without_a_policy_nothing_is_expected() {
        let told = told(vec![thread(MAIN, "q"), thread(11, "CPU 0/TCG")], Sources::default());
        assert_eq!(told, ["10 emulator -", "11 vcpu -"]);
    }
}
