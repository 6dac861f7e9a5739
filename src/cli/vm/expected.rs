//! Where the threads of a VM belong.

use crate::output::text::cut;
use crate::sys::cpuset::{self, Cpuset};
use crate::sys::process::Process;
use crate::sys::threads::Thread;
use crate::vm::class::ThreadClass;
use crate::vm::homes::Homes;
use crate::vm::identify::{Evidence, Identified, OwnedRole, Sources, identify, name_shown};
use crate::vm::vhost_workers::VhostWorkers;
use crate::vm::whole_ids;
use pinning::status_page::State;
use pinning::{CpuSet, KernelThread, Policy, Role, RoleKind, SetId};
use std::time::Duration;

/// A thread and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VmThread {
    /// What the kernel says about it.
    pub(crate) thread: Thread,
    /// What it does.
    pub(crate) role: RoleKind,
    /// How its role is known.
    pub(crate) evidence: Evidence,
    /// A vCPU's index, or the place in the order of creation of an IOThread or, where it matters, a vhost worker.
    pub(crate) index: Option<u32>,
    /// QEMU's name for it, or its comm.
    pub(crate) name: String,
    /// Where it belongs; `None` without a policy, and for a thread that QEMU places itself.
    pub(crate) expected: Option<CpuSet>,
    /// What the register says about it; `None` if it is not listed.
    pub(crate) state: Option<State>,
    /// How it is scheduled, and how it should be.
    pub(crate) class: ThreadClass,
    /// It is a worker, and nothing says which thread it works for: the main loop is assumed.
    pub(crate) home_assumed: bool,
    /// It is one of these IOThreads, and nothing says which: its comm has only the beginning of its id.
    pub(crate) may_be: Vec<String>,
    /// What keeps it from its set: it has all the CPUs of its set that this cpuset leaves it.
    pub(crate) held_by: Option<Cpuset>,
    /// How long it was ready to run and did not, in the time that was looked at; `None` where that is not known. One look alone
    /// cannot tell.
    pub(crate) delay: Option<Duration>,
}

impl VmThread {
    /// Looks for what keeps it from its set, if it is off it.
    pub(crate) fn find_what_holds_it(&mut self, process: Process<'_>) {
        let Some(expected) = self.expected.as_ref().filter(|set| **set != self.thread.allowed) else {
            return;
        };
        let holds = |cpuset: &Cpuset| {
            let left = expected.intersection(&cpuset.cpus);
            left != *expected && (left.is_empty() || left == self.thread.allowed)
        };
        self.held_by = cpuset::of_thread(process, self.thread.tid).filter(holds);
    }

    /// Where it belongs, as a cpulist for people and programs. A page can name sets of tens of thousands of
    /// CPUs: of such a list the beginning is enough, and `…`.
    pub(crate) fn expected_shown(&self) -> Option<String> {
        self.expected.as_ref().map(|set| cut(&set.to_string(), LIST).into_owned())
    }
}

/// So many characters of a cpulist are shown. A host with 1024 CPUs has a longest one of some 2,500.
const LIST: usize = 4096;

/// Who the threads are and where they belong, in their order.
pub(crate) fn vm_threads(threads: Vec<Thread>, sources: &Sources<'_>) -> Vec<VmThread> {
    let register = sources.register();
    let mut identified: Vec<Identified> =
        threads.iter().map(|thread| identify(thread, sources, &register)).collect();
    whole_ids::complete(&mut identified, sources);
    let homes = Homes::new(&threads, &identified, sources);
    let vhost = VhostWorkers::new(&threads, &identified, sources.policy());
    let order = |thread: &Thread| homes.order_of(thread.inner).or_else(|| vhost.number_of(thread.inner));
    let pairs = threads.into_iter().zip(identified);
    pairs.map(|(thread, identified)| vm_thread(order(&thread), thread, identified, sources, &homes)).collect()
}

/// `order` is an IOThread's or a vhost worker's place in the order of creation.
fn vm_thread(
    order: Option<u32>,
    thread: Thread,
    identified: Identified,
    sources: &Sources<'_>,
    homes: &Homes,
) -> VmThread {
    // The register knows the set of the page's own policy, however little of the id is seen.
    let is_known = identified.may_be.is_empty() || (identified.listed.is_some() && sources.policy.is_none());
    let has_set = is_known && identified.evidence != Evidence::Unseen;
    let policy = sources.policy().filter(|_| has_set);
    let assigned = policy.map(|policy| assign(&identified, order, policy, sources, homes));
    let index = match identified.role {
        OwnedRole::Vcpu(index) => Some(index),
        OwnedRole::IoThread(_) | OwnedRole::Vhost | OwnedRole::Kernel(KernelThread::Vhost) => order,
        _ => None,
    };
    let role = assigned.as_ref().map_or(identified.role.as_role().kind(), |assigned| assigned.role);
    VmThread {
        role,
        class: ThreadClass::new(&thread, &identified, role, sources),
        evidence: identified.evidence,
        index,
        name: name_shown(&identified),
        home_assumed: assigned.as_ref().is_some_and(|assigned| assigned.home_assumed),
        // What QEMU places on purpose has no set, although the register has one for every thread.
        expected: assigned
            .filter(|assigned| assigned.role != RoleKind::Exempt)
            .and_then(|assigned| assigned.cpus),
        state: identified.listed.map(|listed| listed.state),
        may_be: identified.may_be,
        held_by: None,
        delay: None,
        thread,
    }
}

/// Where a policy puts a thread.
struct Assigned {
    /// `None` for an io_uring worker whose home cannot be known.
    cpus: Option<CpuSet>,
    /// Its role there: a rule that names an exempt thread overrides the exemption.
    role: RoleKind,
    home_assumed: bool,
}

fn assign(
    identified: &Identified,
    order: Option<u32>,
    policy: &Policy,
    sources: &Sources<'_>,
    homes: &Homes,
) -> Assigned {
    let kind = identified.role.as_role().kind();
    let certain =
        |set: SetId| Assigned { cpus: Some(policy.set(set).clone()), role: kind, home_assumed: false };
    // The register knows best what the page's own policy makes of a thread.
    if let (None, Some(listed)) = (sources.policy, &identified.listed) {
        return certain(listed.set);
    }
    if let OwnedRole::Kernel(thread) = identified.role {
        let home = match thread {
            KernelThread::IoUringWorker { submitter } => homes.set_of_submitter(submitter, policy, sources),
            KernelThread::NxRecovery | KernelThread::Vhost => None,
        };
        // One that has no number yet is about to get one, or the register is full: nothing says where it belongs.
        let is_one_of_several = thread == KernelThread::Vhost && policy.tells_vhost_workers_apart();
        let set = match order {
            None if is_one_of_several => None,
            _ => policy.cpus_for_kernel_thread(thread, &identified.name, order.unwrap_or(0), home),
        };
        return Assigned { cpus: set.map(|set| policy.set(set).clone()), role: kind, home_assumed: false };
    }
    // The page's entry has the role that the page's rules left the thread; its name says which it has without them.
    let named_exempt = Role::of_qemu_name(&identified.name) == Some(Role::Exempt);
    if let Some(rule) = identified.rule(policy) {
        let role = if kind == RoleKind::Exempt { RoleKind::Emulator } else { kind };
        return Assigned { role, ..certain(rule) };
    }
    if named_exempt {
        return Assigned { role: RoleKind::Exempt, ..certain(policy.emulator()) };
    }
    let role = identified.role.as_role();
    if identified.role != OwnedRole::Worker {
        return certain(policy.cpus_for(role, order.unwrap_or(0), policy.emulator()));
    }
    let home = homes.home_of(identified, policy, sources);
    Assigned {
        // Which thread it works for matters only where PIN_WORKERS does not place all workers.
        home_assumed: home.is_assumed && policy.workers().is_none(),
        ..certain(policy.cpus_for(role, 0, home.set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::page::Content;
    use crate::vm::qmp::Ids;
    use crate::vm::sample::thread;
    use pinning::status_page::{Listed, Snapshot};
    use pinning::{Host, Tid};

    const MAIN: i32 = 10;

    fn policy(environment: &[(&str, &str)]) -> Policy {
        let all = CpuSet::from_words(&[0xff]);
        let host = Host { available: all.clone(), start: all };
        Policy::parse(environment.iter().copied(), &host).policy.unwrap()
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
            given_name: Vec::new(),
            class: None,
            name: name.to_owned(),
        };
        let snapshot = Snapshot {
            owner: MAIN.unsigned_abs(),
            broker: None,
            settled: true,
            sandboxed: false,
            threads_may_be_unseen: false,
            start_class: None,
            sets: policy.sets().to_vec(),
            host: None,
            environment: policy.entries().to_vec(),
            threads: threads.iter().map(listed).collect(),
            memory: Default::default(),
            core: Default::default(),
            counters: Default::default(),
        };
        Content { snapshot, policy }
    }

    fn described(threads: Vec<Thread>, sources: Sources<'_>) -> Vec<String> {
        let threads = vm_threads(threads, &Sources { inner_pid: MAIN, ..sources });
        threads
            .iter()
            .map(|vm_thread| {
                let set = vm_thread.expected.as_ref().map_or("-".to_owned(), CpuSet::to_string);
                let sure =
                    if vm_thread.evidence == Evidence::Assumed || vm_thread.home_assumed { "?" } else { "" };
                format!("{} {}{sure} {set}", vm_thread.thread.tid, vm_thread.role)
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
        let said = described(threads(), Sources { policy: Some(&policy), ..Sources::default() });
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
            "19 exempt -",
        ];
        assert_eq!(said, expected);
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
            let said = described(threads(), Sources { policy: Some(&policy), ..Sources::default() });
            assert!(said[2].starts_with("12 worker "), "{said:?}");
        }
    }

    #[test]
    fn io_urings_workers_go_by_the_ids_of_the_host() {
        let policy = policy(&[("PIN_IOTHREADS", "io1@3"), ("PIN_EMULATOR", "4")]);
        let inner = |tid, inner, comm| Thread { inner: Tid(inner), ..thread(tid, comm) };
        // Thread 500 sees itself as 12, and another one is 12 here.
        let threads = || {
            vec![
                inner(400, MAIN, "q"),
                inner(500, 12, "IO io1"),
                inner(600, 13, "iou-wrk-500"),
                inner(700, 14, "iou-wrk-12"),
            ]
        };
        let said = described(threads(), Sources { policy: Some(&policy), ..Sources::default() });
        assert_eq!(said[2..], ["600 worker 3", "700 worker 4"]);
        // In a container nobody can say whose they are, except where it does not matter.
        let inside = Sources { names_have_other_ids: true, ..Sources::default() };
        let said = described(threads(), Sources { policy: Some(&policy), ..inside });
        assert_eq!(said[2..], ["600 worker -", "700 worker -"]);
        for environment in
            [&[("PIN_EMULATOR", "4"), ("PIN_WORKERS", "5")], &[("PIN_CPUS", "5"), ("PIN_VHOST", "1")]]
        {
            let policy = self::policy(environment);
            let said = described(threads(), Sources { policy: Some(&policy), ..inside });
            assert_eq!(said[2..], ["600 worker 5", "700 worker 5"]);
        }
    }

    /// The third worker that appeared was the first one listed here, of which two are left.
    #[test]
    fn vhost_workers_are_told_by_the_register_or_else_as_they_were_started() {
        let environment = [("PIN_EMULATOR", "4"), ("PIN_VHOST", "0@1,1@2,2@3,*@5")];
        let page = page(
            &environment,
            &[(MAIN, RoleKind::Emulator, None, 1, 1, ""), (11, RoleKind::Vhost, Some(2), 4, 4, "vhost-10")],
        );
        let started = |tid, started| Thread { started, ..thread(tid, "vhost-10") };
        let threads = || vec![thread(MAIN, "q"), started(11, 30), started(12, 20)];
        let by_page = described(threads(), Sources { page: Some(&page), ..Sources::default() });
        // What has no number yet is about to get one.
        assert_eq!(by_page[1..], ["11 vhost 3", "12 vhost -"]);
        let policy = policy(&environment);
        let by_options = described(threads(), Sources { policy: Some(&policy), ..Sources::default() });
        assert_eq!(by_options[1..], ["11 vhost 2", "12 vhost 1"]);
        let both = Sources { policy: Some(&policy), page: Some(&page), ..Sources::default() };
        assert_eq!(described(threads(), both)[1..], ["11 vhost 3", "12 vhost -"]);
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
        let said = described(threads, Sources { policy: Some(&policy), ..Sources::default() });
        assert_eq!(said, ["10 emulator 4", "11 iothread 2", "12 iothread 1", "13 worker 2", "14 worker 1"]);
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
            ..Ids::default()
        };
        let threads = vec![
            thread(MAIN, "q"),
            thread(11, "q"),
            thread(12, "q"),
            thread(13, "IO a-very-long"),
            thread(14, "q"),
        ];
        let said =
            described(threads, Sources { policy: Some(&policy), ids: Some(&ids), ..Sources::default() });
        assert_eq!(said, ["10 emulator 4", "11 vcpu 1", "12 vcpu 2", "13 iothread 3", "14 emulator? 4"]);
    }

    /// Two IOThreads with the ids `block-io-device-1` and `-2`, and one with the id `block-io-dev`, by their comms.
    #[test]
    fn the_beginning_of_an_id_is_enough_where_only_one_iothread_has_it() {
        let policy = policy(&[("PIN_IOTHREADS", "block-io-device-1@3,*@5"), ("PIN_EMULATOR", "4")]);
        let of = |threads: &[Thread], created: &[&str]| {
            let created: Vec<String> = created.iter().map(|id| (*id).to_owned()).collect();
            let sources = Sources { policy: Some(&policy), iothreads: &created, ..Sources::default() };
            let threads = vm_threads(threads.to_vec(), &Sources { inner_pid: MAIN, ..sources });
            let said = threads
                .iter()
                .map(|of| format!("{} {:?} {}", of.name, of.expected_shown(), of.may_be.join(" ")));
            said.skip(1).collect::<Vec<_>>()
        };
        let main = thread(MAIN, "q");
        let one = [main.clone(), thread(11, "IO block-io-dev")];
        assert_eq!(of(&one, &["io1", "block-io-device-1"]), ["IO block-io-device-1 Some(\"3\") "]);
        // It was plugged in: the placement alone knows its id.
        assert_eq!(of(&one, &["io1"]), ["IO block-io-device-1 Some(\"3\") "]);
        assert_eq!(of(&one, &["block-io-dev"]), ["IO block-io-dev Some(\"5\") "]);
        let doubt = "IO block-io-dev None block-io-device-1 block-io-device-2";
        let created = ["block-io-device-1", "block-io-device-2"];
        assert_eq!(of(&one, &created), [doubt]);
        let two = [main, thread(11, "IO block-io-dev"), thread(12, "IO block-io-dev")];
        assert_eq!(of(&two, &created), [doubt; 2]);
        // One that the arguments name, and one that nothing does.
        let doubt = "IO block-io-dev None block-io-device-1";
        assert_eq!(of(&two, &["block-io-device-1"]), [doubt; 2]);
    }

    #[test]
    fn one_thread_for_all_vcpus_may_run_on_all_their_sets() {
        let policy = policy(&[("PIN_VCPUS", "1,2"), ("PIN_EMULATOR", "4")]);
        let ids = Ids { vcpus: vec![(0, Tid(11)), (1, Tid(11))], ..Ids::default() };
        let threads = vec![thread(MAIN, "q"), thread(11, "q")];
        let said =
            described(threads, Sources { policy: Some(&policy), ids: Some(&ids), ..Sources::default() });
        assert_eq!(said, ["10 emulator 4", "11 vcpu 1-2"]);
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
        let said = described(its_threads(), Sources { page: Some(&page), ..Sources::default() });
        let expected =
            ["10 emulator 1", "11 iothread 2", "12 worker 2", "13 worker 1", "14 worker 2", "15 emulator? 1"];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_full_register_leaves_the_rest_to_the_names() {
        let mut page = paged();
        page.snapshot.counters.unlisted = 1;
        let said = described(its_threads(), Sources { page: Some(&page), ..Sources::default() });
        assert_eq!(said[5], "15 vcpu 7");
    }

    #[test]
    fn a_policy_in_place_of_the_pages_keeps_workers_with_their_homes() {
        let page = paged();
        let policy = policy(&[("PIN_EMULATOR", "5"), ("PIN_IOTHREADS", "io1@6")]);
        let sources = Sources { page: Some(&page), policy: Some(&policy), ..Sources::default() };
        let expected =
            ["10 emulator 5", "11 iothread 6", "12 worker 6", "13 worker 5", "14 worker 6", "15 emulator? 5"];
        assert_eq!(described(its_threads(), sources), expected);
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
        assert_eq!(described(its_threads().drain(..3).collect(), sources)[2], "12 worker? 5");
    }

    #[test]
    fn without_a_policy_nothing_is_expected() {
        let said = described(vec![thread(MAIN, "q"), thread(11, "CPU 0/TCG")], Sources::default());
        assert_eq!(said, ["10 emulator -", "11 vcpu -"]);
    }
}
