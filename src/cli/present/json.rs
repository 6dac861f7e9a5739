//! The JSON output: documented in `docs/command.md`, stable within its `version`.
//!
//! Fields are only ever added. Sets are cpulists, as the kernel prints them.

use crate::output::exit_status::{FAILED, NOT_PINNED, SUCCESS};
use crate::output::failure::Failure;
use crate::output::print::Output;
use crate::present::table::role_from;
use crate::verdict::against_qmp::Comparison;
use crate::verdict::culprits::Culprits;
use crate::verdict::judge::Verdict;
use crate::verdict::max_delay::Late;
use crate::verdict::watch::{Offence, RoleDelay, Watched};
use crate::vm::expected::VmThread;
use crate::vm::look::{Look, Vm};
use pinning::RoleKind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of every document.
pub(crate) const VERSION: u32 = 1;

/// What `pinshim show --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    version: u32,
    /// The VMs that were asked for or found.
    vms: Vec<ShownVm>,
    /// Pids of QEMUs that are not pinned; only where no VM was named.
    not_pinned: Vec<i32>,
    /// Pids of QEMUs that this user may not look into; only where no VM was named.
    unreadable: Vec<i32>,
    /// Sentences: which VM that was named could not be shown and why, and what was not looked at.
    errors: Vec<String>,
}

/// One VM.
#[derive(Debug, Serialize)]
pub(crate) struct ShownVm {
    pid: i32,
    name: Option<String>,
    /// The id of the user that it runs as.
    user: Option<u32>,
    /// Whether the library acts in it.
    pinned: bool,
    /// Sentences: why it is not pinned, what else is to be known.
    notes: Vec<String>,
    /// The variables of its policy.
    policy: Option<BTreeMap<String, String>>,
    /// The pid of the process outside the sandbox that pins for it.
    broker: Option<u32>,
    sandboxed: Option<bool>,
    /// Whether a vCPU has run.
    settled: Option<bool>,
    counters: Option<Counters>,
    /// The time in which the threads' delays came to be.
    interval_seconds: Option<f64>,
    threads: Vec<ShownThread>,
}

/// What the library has counted.
#[derive(Debug, Serialize)]
struct Counters {
    created: u64,
    unlisted: u32,
    brokered: u64,
    cut: u64,
    refused: u64,
    put_back: u64,
    filtered: u64,
    class_refused: u64,
}

/// One thread.
#[derive(Debug, Serialize)]
pub(crate) struct ShownThread {
    tid: i32,
    role: String,
    /// `library`, `qemu`, `name` or `assumed`.
    role_from: &'static str,
    /// A vCPU's index.
    vcpu: Option<u32>,
    /// A vhost worker's number, where `PIN_VHOST` tells them apart.
    vhost_worker: Option<u32>,
    name: String,
    expected: Option<String>,
    allowed: String,
    /// Its scheduling class, where that is not the usual one or another is expected.
    class: Option<String>,
    /// The one that it should have, where that is not the usual one.
    expected_class: Option<String>,
    last_cpu: u32,
    cpu_seconds: f64,
    migrations: Option<u64>,
    /// How long it was ready to run and did not, in the time that was looked at.
    delay_seconds: Option<f64>,
    /// What the library's register says: `born`, `placed`, `cut`, `refused` or `left alone`.
    register: Option<String>,
    /// `ok`, `off`, `ran-off`, `class`, `cut`, `newborn`, `ending`, `exempt` or `unknown`.
    verdict: &'static str,
    /// The verdict in words.
    words: String,
}

/// What `pinshim check --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    version: u32,
    pid: i32,
    name: Option<String>,
    /// The id of the user that it runs as.
    user: Option<u32>,
    pinned: bool,
    /// Whether every thread was where it belongs, every time.
    ok: bool,
    looks: u64,
    seconds: f64,
    /// How many threads were seen, including those that have ended since.
    threads: usize,
    /// The threads that were off their sets.
    offenders: Vec<Offender>,
    /// How long the threads of each role waited.
    delays: Vec<Delays>,
    /// How that is known.
    delays_by: Option<String>,
    /// The threads that waited longer at a stretch than `--max-delay` lets them, or may have.
    late: Vec<LateThread>,
    /// Where QEMU's own answer (`--qmp`) differs, what it cannot tell, and why a process is not pinned.
    notes: Vec<String>,
    exit_status: u8,
    /// Why it could not be checked.
    error: Option<String>,
}

/// What `pinshim check --json` prints where several VMs were named, or all.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedAll {
    version: u32,
    /// Whether the exit status is 0.
    ok: bool,
    exit_status: u8,
    vms: Vec<CheckedOne>,
}

/// The outcome for a VM, or for one that is not there.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum CheckedOne {
    Vm(Box<Checked>),
    None { version: u32, error: String, exit_status: u8 },
}

impl From<Checked> for CheckedOne {
    fn from(checked: Checked) -> Self {
        CheckedOne::Vm(Box::new(checked))
    }
}

impl CheckedOne {
    /// The outcome for what could not be checked.
    pub(crate) fn failed(vm: Option<&Vm<'_>>, failure: &Failure) -> Self {
        let (error, exit_status) = (failure.to_string(), failure.exit_status());
        match vm {
            Some(vm) => Checked { error: Some(error), exit_status, ..Checked::nothing_of(vm) }.into(),
            None => CheckedOne::None { version: VERSION, error, exit_status },
        }
    }
}

impl CheckedAll {
    /// The document.
    pub(crate) fn new(exit_status: u8, vms: Vec<CheckedOne>) -> Self {
        Self { version: VERSION, ok: exit_status == SUCCESS, exit_status, vms }
    }
}

/// How long the threads of a role were ready to run and did not.
#[derive(Debug, Serialize)]
struct Delays {
    role: String,
    threads: usize,
    delay_seconds: f64,
    /// The most of one thread between two looks.
    longest_at_most_seconds: f64,
}

impl Delays {
    fn new((role, delay): (&RoleKind, &RoleDelay)) -> Self {
        Self {
            role: role.to_string(),
            threads: delay.threads,
            delay_seconds: delay.total.as_secs_f64(),
            longest_at_most_seconds: delay.longest.as_secs_f64(),
        }
    }
}

/// A thread that waited longer at a stretch than it may, or may have: the worst time between two looks.
#[derive(Debug, Serialize)]
struct LateThread {
    tid: i32,
    role: String,
    role_from: &'static str,
    vcpu: Option<u32>,
    name: String,
    cpu: u32,
    limit_seconds: f64,
    interval_seconds: f64,
    waited_seconds: f64,
    /// In so many stretches at most.
    stretches: u64,
    at_least_seconds: f64,
    /// Whether one was longer than the limit for certain.
    proven: bool,
    /// Whether it got no CPU at all.
    goes_on: bool,
    /// How often a time between two looks was such a one.
    intervals: u64,
    words: String,
    culprits: Option<Used>,
}

/// Who used the CPU that a thread waited for.
#[derive(Debug, Serialize)]
struct Used {
    seconds: f64,
    threads: Vec<UsedBy>,
    interrupts: BTreeMap<String, u64>,
    softirqs: BTreeMap<String, u64>,
}

/// A thread that ran there last.
#[derive(Debug, Serialize)]
struct UsedBy {
    pid: i32,
    tid: i32,
    name: String,
    ran_seconds: f64,
}

impl LateThread {
    fn new(late: &Late) -> Self {
        let shown = ShownThread::new(&late.vm_thread, &Verdict::Unknown);
        let ShownThread { tid, role, role_from, vcpu, name, last_cpu, .. } = shown;
        Self {
            tid,
            role,
            role_from,
            vcpu,
            name,
            cpu: last_cpu,
            limit_seconds: late.limit.as_secs_f64(),
            interval_seconds: late.interval.as_secs_f64(),
            waited_seconds: late.wait.waited.as_secs_f64(),
            stretches: late.stretches,
            at_least_seconds: late.at_least().as_secs_f64(),
            proven: late.is_proven(),
            goes_on: late.goes_on,
            intervals: late.intervals,
            words: late.words(),
            culprits: late.culprits.as_ref().map(Used::new),
        }
    }
}

impl Used {
    fn new(culprits: &Culprits) -> Self {
        let threads = culprits.threads.iter().map(|culprit| UsedBy {
            pid: culprit.pid,
            tid: culprit.tid,
            name: culprit.name.clone(),
            ran_seconds: culprit.time.as_secs_f64(),
        });
        Self {
            seconds: culprits.window.as_secs_f64(),
            threads: threads.collect(),
            interrupts: culprits.interrupts.iter().cloned().collect(),
            softirqs: culprits.softirqs.iter().cloned().collect(),
        }
    }
}

/// A thread that was off its set.
#[derive(Debug, Serialize)]
pub(crate) struct Offender {
    #[serde(flatten)]
    thread: ShownThread,
    /// In how many looks it was.
    looks: u64,
}

impl Shown {
    /// The document.
    pub(crate) fn new(
        vms: Vec<ShownVm>,
        not_pinned: Vec<i32>,
        unreadable: Vec<i32>,
        errors: Vec<String>,
    ) -> Self {
        Self { version: VERSION, vms, not_pinned, unreadable, errors }
    }
}

impl ShownVm {
    /// A VM, one look at it and the verdicts.
    pub(crate) fn new(
        vm: &Vm<'_>,
        look: &Look,
        verdicts: &[Verdict],
        notes: Vec<String>,
        interval: Option<Duration>,
    ) -> Self {
        let snapshot = look.content.as_ref().ok().map(|content| &content.snapshot);
        let counters = snapshot.map(|snapshot| snapshot.counters);
        Self {
            pid: vm.process.pid,
            name: vm.name.clone(),
            user: vm.owner,
            pinned: snapshot.is_some(),
            notes,
            policy: snapshot.map(|snapshot| snapshot.environment.iter().cloned().collect()),
            broker: snapshot.and_then(|snapshot| snapshot.broker),
            sandboxed: snapshot.map(|snapshot| snapshot.sandboxed),
            settled: snapshot.map(|snapshot| snapshot.settled),
            counters: counters.map(|counters| Counters {
                created: counters.created,
                unlisted: counters.unlisted,
                brokered: counters.brokered,
                cut: counters.cut,
                refused: counters.refused,
                put_back: counters.put_back,
                filtered: counters.filtered,
                class_refused: counters.class_refused,
            }),
            interval_seconds: interval.map(|interval| interval.as_secs_f64()),
            threads: look.threads.iter().zip(verdicts).map(|(m, v)| ShownThread::new(m, v)).collect(),
        }
    }
}

impl ShownThread {
    /// A thread and the verdict on it.
    pub(crate) fn new(vm_thread: &VmThread, verdict: &Verdict) -> Self {
        let thread = &vm_thread.thread;
        Self {
            tid: thread.tid.0,
            role: vm_thread.role.to_string(),
            role_from: role_from(vm_thread),
            vcpu: vm_thread.index.filter(|_| vm_thread.role == RoleKind::Vcpu),
            vhost_worker: vm_thread.index.filter(|_| vm_thread.role == RoleKind::Vhost),
            name: vm_thread.name.clone(),
            expected: vm_thread.expected_shown(),
            allowed: thread.allowed.to_string(),
            class: vm_thread.class.shown(),
            expected_class: vm_thread.class.expected_shown(),
            last_cpu: thread.last_cpu.0,
            cpu_seconds: thread.cpu_time.as_secs_f64(),
            migrations: thread.migrations,
            delay_seconds: vm_thread.delay.map(|delay| delay.as_secs_f64()),
            register: vm_thread.state.map(|state| state.to_string()),
            verdict: verdict.word(),
            words: verdict.to_string(),
        }
    }
}

impl Checked {
    /// A VM of which nothing is known.
    fn nothing_of(vm: &Vm<'_>) -> Self {
        Self {
            version: VERSION,
            pid: vm.process.pid,
            name: vm.name.clone(),
            user: vm.owner,
            pinned: vm.is_pinned(),
            ok: false,
            looks: 0,
            seconds: 0.0,
            threads: 0,
            offenders: Vec::new(),
            delays: Vec::new(),
            delays_by: None,
            late: Vec::new(),
            notes: Vec::new(),
            exit_status: FAILED,
            error: None,
        }
    }

    /// The outcome for a VM that is not pinned.
    pub(crate) fn not_pinned(vm: &Vm<'_>, why: String) -> Self {
        Self { pinned: false, notes: vec![why], exit_status: NOT_PINNED, ..Self::nothing_of(vm) }
    }

    /// The outcome for a pinned VM.
    pub(crate) fn new(vm: &Vm<'_>, watched: &Watched, comparison: &Comparison, exit_status: u8) -> Self {
        let offender = |offence: &Offence| Offender {
            thread: ShownThread::new(&offence.vm_thread, &offence.verdict),
            looks: offence.looks,
        };
        Self {
            pinned: true,
            ok: exit_status == SUCCESS,
            looks: watched.looks,
            seconds: watched.time.as_secs_f64(),
            threads: watched.threads,
            offenders: watched.offences.iter().map(offender).collect(),
            delays: watched.delays.iter().map(Delays::new).collect(),
            delays_by: (!watched.delays.is_empty()).then(|| watched.delays_by().to_string()),
            late: watched.late.iter().map(LateThread::new).collect(),
            notes: comparison.differences.iter().chain(&comparison.not_told).cloned().collect(),
            exit_status,
            ..Self::nothing_of(vm)
        }
    }
}

/// What `pinshim apply --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Applied {
    version: u32,
    pid: i32,
    name: Option<String>,
    user: Option<u32>,
    dry_run: bool,
    /// Whether the exit status is 0.
    ok: bool,
    exit_status: u8,
    /// How many threads there are.
    threads: usize,
    moves: Vec<Moved>,
    /// The threads that were given a scheduling class.
    classes: Vec<Moved>,
    failures: Vec<Unmoved>,
    /// Sentences: what was only assumed, which names of the placement no thread has.
    notes: Vec<String>,
}

/// A thread that was moved, or in a dry run would be.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    #[serde(flatten)]
    thread: PutThread,
    to: String,
}

/// A thread that could not be moved.
#[derive(Debug, Serialize)]
pub(crate) struct Unmoved {
    #[serde(flatten)]
    thread: PutThread,
    why: String,
}

/// A thread that was to be moved.
#[derive(Debug, Serialize)]
struct PutThread {
    tid: i32,
    role: String,
    role_from: &'static str,
    vcpu: Option<u32>,
    name: String,
    from: String,
}

impl PutThread {
    fn new(vm_thread: &VmThread) -> Self {
        let shown = ShownThread::new(vm_thread, &Verdict::Unknown);
        let ShownThread { tid, role, role_from, vcpu, name, allowed, .. } = shown;
        Self { tid, role, role_from, vcpu, name, from: allowed }
    }
}

impl Moved {
    /// A thread as it was before, and where it is now.
    pub(crate) fn new(thread: &VmThread, to: &str) -> Self {
        Self { thread: PutThread::new(thread), to: to.to_owned() }
    }

    /// A thread with the class that it had before and the one that it has now.
    pub(crate) fn class(thread: &VmThread, from: &str, to: &str) -> Self {
        let thread = PutThread { from: from.to_owned(), ..PutThread::new(thread) };
        Self { thread, to: to.to_owned() }
    }
}

impl Unmoved {
    /// A thread as it is, and why it is not where it belongs.
    pub(crate) fn new(thread: &VmThread, why: &str) -> Self {
        Self { thread: PutThread::new(thread), why: why.to_owned() }
    }
}

impl Applied {
    /// The document of a run over so many threads.
    #[allow(clippy::too_many_arguments, reason = "one for each part of the document")]
    pub(crate) fn new(
        vm: &Vm<'_>,
        dry_run: bool,
        exit_status: u8,
        threads: usize,
        moves: Vec<Moved>,
        classes: Vec<Moved>,
        failures: Vec<Unmoved>,
        notes: Vec<String>,
    ) -> Self {
        let (pid, name, user, ok) = (vm.process.pid, vm.name.clone(), vm.owner, exit_status == SUCCESS);
        Self {
            version: VERSION,
            pid,
            name,
            user,
            dry_run,
            ok,
            exit_status,
            threads,
            moves,
            classes,
            failures,
            notes,
        }
    }
}

/// What `pinshim show --by-cpu --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct ByCpu {
    version: u32,
    cpus: Vec<Cpu>,
    errors: Vec<String>,
}

/// A CPU and the threads that may run on it.
#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    cpu: u32,
    threads: Vec<ThreadOfVm>,
}

/// A thread of some VM.
#[derive(Debug, Serialize)]
pub(crate) struct ThreadOfVm {
    pid: i32,
    vm: Option<String>,
    tid: i32,
    role: String,
    vcpu: Option<u32>,
    name: String,
}

impl ByCpu {
    /// The document.
    pub(crate) fn new(cpus: Vec<Cpu>, errors: Vec<String>) -> Self {
        Self { version: VERSION, cpus, errors }
    }
}

impl Cpu {
    /// A CPU with threads of these VMs.
    pub(crate) fn new<'a>(cpu: u32, threads: impl Iterator<Item = (&'a Vm<'a>, &'a VmThread)>) -> Self {
        let thread = |(vm, vm_thread): (&Vm<'_>, &VmThread)| {
            let shown = ShownThread::new(vm_thread, &Verdict::Unknown);
            let ShownThread { tid, role, vcpu, name, .. } = shown;
            ThreadOfVm { pid: vm.process.pid, vm: vm.name.clone(), tid, role, vcpu, name }
        };
        Self { cpu, threads: threads.map(thread).collect() }
    }
}

/// Prints a document on a line of its own.
pub(crate) fn print(output: &mut Output, document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(document)
        .map_err(|error| Failure::new(format!("the JSON output could not be made: {error}")))?;
    output.document(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::MaxDelay;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::verdict::judge::Off;
    use crate::verdict::max_delay::Limits;
    use crate::verdict::watch;
    use crate::vm::class::OtherClass;
    use crate::vm::find;
    use crate::vm::identify::Evidence;
    use crate::vm::look::Ask;
    use crate::vm::sample::web;
    use pinning::status_page::State;
    use pinning::{Class, CpuSet};
    use serde_json::Value;
    use std::collections::BTreeSet;

    const DOCUMENT: &str = include_str!("../../../docs/command.md");

    type Names = BTreeSet<String>;

    fn names(of: &[&str]) -> Names {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The words of a text that stand between backticks.
    fn quoted(text: &str) -> Names {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// The rows of the first table after a heading: the two cells of each.
    fn table(heading: &str) -> Vec<(&'static str, &'static str)> {
        let lines = DOCUMENT.lines().skip_while(|line| !line.starts_with(heading));
        let lines = lines.skip_while(|line| !line.starts_with("|---")).skip(1);
        let rows = lines.take_while(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split_once('|').unwrap()).collect()
    }

    /// The fields of the object that a table describes.
    fn documented(heading: &str) -> Names {
        table(heading).iter().flat_map(|(fields, _)| quoted(fields)).collect()
    }

    /// What the table of an object says about one of its fields.
    fn meaning(heading: &str, field: &str) -> &'static str {
        table(heading).iter().find(|(fields, _)| quoted(fields).contains(field)).unwrap().1
    }

    fn fields(object: &Value) -> Names {
        object.as_object().unwrap().keys().cloned().collect()
    }

    const SHOWN: &str = "`pinshim show --json`:";
    const VM: &str = "| field of a VM |";
    const THREAD: &str = "| field of a thread |";
    const CHECKED: &str = "`pinshim check --json`:";
    const LATE: &str = "| field of a thread that waited |";
    const USED_BY: &str = "| field of a thread that ran |";
    const BY_CPU: &str = "`pinshim show --by-cpu --json`:";
    const THREAD_OF_CPU: &str = "| field of a CPU's thread |";
    const APPLIED: &str = "`pinshim apply --json`:";
    const CHECKED_ALL: &str = "| field of several VMs |";
    const FAILED_FIELDS: &str = "| field of a failure |";

    #[test]
    fn each_object_has_the_fields_that_are_documented_for_it_and_no_others() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "0");
        let vm = find::named(&kernel, "web").unwrap();
        let look = vm.look(&Ask::default()).unwrap();
        let verdicts = vec![Verdict::Ok; look.threads.len()];
        let shown = Shown::new(
            vec![ShownVm::new(&vm, &look, &verdicts, Vec::new(), None)],
            vec![1],
            vec![1],
            Vec::new(),
        );
        let shown = serde_json::to_value(shown).unwrap();
        assert_eq!(fields(&shown), documented(SHOWN));
        let shown = &shown["vms"][0];
        assert_eq!(fields(shown), documented(VM));
        assert_eq!(fields(&shown["counters"]), quoted(meaning(VM, "counters")));
        assert_eq!(fields(&shown["threads"][0]), documented(THREAD));

        let limits = Limits::new(&[MaxDelay { role: RoleKind::Vcpu, limit: ms(1) }]).unwrap();
        kernel.at(ms(20), |kernel| kernel.change(101, |thread| thread.schedstat = Some((0, 3_000_000, 2))));
        kernel.at(ms(20), |kernel| {
            kernel.change(100, |thread| (thread.last_cpu, thread.schedstat) = (1, Some((9, 0, 1))))
        });
        let watched =
            watch::watch(&kernel, &[&vm], Duration::ZERO, &limits, |_, _, _| {}).pop().unwrap().unwrap();
        let checked =
            serde_json::to_value(Checked::new(&vm, &watched, &Comparison::default(), SUCCESS)).unwrap();
        assert_eq!(fields(&checked), documented(CHECKED));
        let added = quoted(meaning(CHECKED, "offenders"));
        assert_eq!(fields(&checked["offenders"][0]), &documented(THREAD) | &added);
        assert_eq!(fields(&checked["delays"][0]), quoted(meaning(CHECKED, "delays")));
        let late = &checked["late"][0];
        assert_eq!(fields(late), documented(LATE));
        let used = &late["culprits"];
        assert_eq!(fields(used), quoted(meaning(LATE, "culprits")));
        assert_eq!(fields(&used["threads"][0]), documented(USED_BY));
        let not_pinned = serde_json::to_value(Checked::not_pinned(&vm, "x".to_owned())).unwrap();
        assert_eq!(fields(&not_pinned), documented(CHECKED));
        let failure = Failure::new("x");
        let failed = serde_json::to_value(CheckedOne::failed(Some(&vm), &failure)).unwrap();
        assert_eq!(fields(&failed), documented(CHECKED));
        let none = serde_json::to_value(CheckedOne::failed(None, &failure)).unwrap();
        assert_eq!(fields(&none), documented(FAILED_FIELDS));
        let none: Value = serde_json::from_str(&failure.document()).unwrap();
        assert_eq!(fields(&none), documented(FAILED_FIELDS));
        let by_cpu = Cpu::new(0, look.threads.iter().map(|thread| (&vm, thread)));
        let by_cpu = serde_json::to_value(ByCpu::new(vec![by_cpu], Vec::new())).unwrap();
        assert_eq!(fields(&by_cpu), documented(BY_CPU));
        assert_eq!(fields(&by_cpu["cpus"][0]), quoted(meaning(BY_CPU, "cpus")));
        assert_eq!(fields(&by_cpu["cpus"][0]["threads"][0]), documented(THREAD_OF_CPU));
        let thread = &look.threads[0];
        let (moves, failures) = (vec![Moved::new(thread, "1")], vec![Unmoved::new(thread, "x")]);
        let classes = vec![Moved::class(thread, "other:0", "fifo:1")];
        let applied = Applied::new(&vm, false, 0, 1, moves, classes, failures, Vec::new());
        let applied = serde_json::to_value(applied).unwrap();
        assert_eq!(fields(&applied), documented(APPLIED));
        assert_eq!(fields(&applied["moves"][0]), quoted(meaning(APPLIED, "moves")));
        assert_eq!(fields(&applied["classes"][0]), quoted(meaning(APPLIED, "classes")));
        assert_eq!(fields(&applied["failures"][0]), quoted(meaning(APPLIED, "failures")));
        let all = serde_json::to_value(CheckedAll::new(2, Vec::new())).unwrap();
        assert_eq!(fields(&all), documented(CHECKED_ALL));
    }

    #[test]
    fn each_word_that_a_field_may_have_is_documented_for_it() {
        let words = |field| quoted(meaning(THREAD, field));
        let roles = (0..=u8::MAX).filter_map(RoleKind::from_number).map(|role| role.to_string());
        assert_eq!(roles.collect::<Names>(), words("role"));
        let states =
            [State::Born, State::Placed, State::Cut, State::Refused, State::LeftAlone, State::Filtered];
        assert_eq!(states.iter().map(State::to_string).collect::<Names>(), words("register"));
        let all = [Evidence::Certain, Evidence::Qemu, Evidence::Name, Evidence::Assumed, Evidence::Unseen];
        let of = |evidence| {
            role_from(&VmThread { evidence, ..crate::vm::sample::vm_thread(7, RoleKind::Worker, "worker") })
        };
        assert_eq!(names(&all.map(of)), words("role_from"));
        let verdicts = [
            Verdict::Ok,
            Verdict::NotRunYet,
            Verdict::Exempt,
            Verdict::NotPlacedYet,
            Verdict::Ending,
            Verdict::Unsure,
            Verdict::Unknown,
            Verdict::Unseen,
            Verdict::Off(Off::AlsoOn(CpuSet::new())),
            Verdict::Off(Off::Cut(CpuSet::new())),
            Verdict::Off(Off::OnlyOn(CpuSet::new())),
            Verdict::Off(Off::Refused(CpuSet::new())),
            Verdict::Off(Off::Filtered(CpuSet::new())),
            Verdict::Off(Off::On(CpuSet::new())),
            Verdict::RanOn(pinning::CpuId(0)),
            Verdict::Class(OtherClass::new(Class::USUAL, Class::USUAL)),
        ];
        assert_eq!(names(&verdicts.each_ref().map(Verdict::word)), words("verdict"));
    }
}
