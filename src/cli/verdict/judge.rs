//! Whether a thread is where it belongs, judged from one look after another.
//!
//! - A new thread may run on its creator's CPUs until it has placed itself. One that the register lists is
//!   judged once the register says that it is placed; any other, when two looks in a row show it off its set.
//! - A thread that was moved while it slept shows its old CPU until it runs again. The CPU that it ran on
//!   last counts only if it has run since it was seen with the right affinity.
//! - Nor does it count while the thread is blocked: it may then be one that the thread never ran on
//!   ([`Thread::runs`](crate::sys::threads::Thread::runs)).
//!
//! Nothing is read here: a judge gets what was seen.

use crate::sys::cpuset::Cpuset;
use crate::sys::threads::ThreadKey;
use crate::vm::class::OtherClass;
use crate::vm::expected::VmThread;
use crate::vm::identify::Evidence;
use pinning::status_page::State;
use pinning::{CpuId, CpuSet, RoleKind};
use std::collections::HashMap;
use std::fmt;

/// What is to be said of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may run where it belongs and nowhere else, and did.
    Ok,
    /// The same, but it has not run since it was put there.
    NotRunYet,
    /// QEMU places it itself, so it is not judged.
    Exempt,
    /// It has not placed itself yet.
    NotPlacedYet,
    /// It has left the register, and is about to end.
    Ending,
    /// It is off its set, but may be placing itself just now: another look decides.
    Unsure,
    /// Nothing says where it belongs.
    Unknown,
    /// Another library created it past ours, and nothing can say who it is: it may be a vCPU.
    Unseen,
    /// Its affinity is not its set.
    Off(Off),
    /// Its affinity is its set, and yet it ran on this other CPU.
    RanOn(CpuId),
    /// It is where it belongs, and is scheduled otherwise than it should be.
    Class(OtherClass),
}

/// How an affinity differs from the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Off {
    /// It has more CPUs: these.
    AlsoOn(CpuSet),
    /// It has these CPUs, since its cpuset leaves it no more of its set, or nothing.
    Held {
        /// The CPUs that it has.
        on: CpuSet,
        /// Whether they are a part of its set.
        is_part: bool,
        /// The cpuset.
        by: Cpuset,
    },
    /// It has only these CPUs of its set, since its cpuset has no more: the library found that.
    Cut(CpuSet),
    /// It has only these CPUs of its set.
    OnlyOn(CpuSet),
    /// It has these other CPUs: the library tried to place it and was refused.
    Refused(CpuSet),
    /// It has these other CPUs: the program's own system call filter does not let the library place it.
    Filtered(CpuSet),
    /// It has these other CPUs.
    On(CpuSet),
}

impl Verdict {
    /// Whether the thread is off its set, ran elsewhere or has another class than it should have, or may be off it since nothing can say who it is.
    pub(crate) fn is_offence(&self) -> bool {
        matches!(self, Verdict::Off(_) | Verdict::RanOn(_) | Verdict::Class(_) | Verdict::Unseen)
    }

    /// Whether its affinity is not its set.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Verdict::Off(_))
    }

    /// The cpuset that holds it off its set. Nobody can move it further then, whatever his rights.
    pub(crate) fn held_by(&self) -> Option<&Cpuset> {
        match self {
            Verdict::Off(Off::Held { by, .. }) => Some(by),
            _ => None,
        }
    }

    /// Whether its affinity is not its set, even if it may be placing itself just now.
    pub(crate) fn may_be_off(&self) -> bool {
        matches!(self, Verdict::Off(_) | Verdict::Unsure)
    }

    /// Whether another look would tell more.
    pub(crate) fn needs_another_look(&self) -> bool {
        matches!(self, Verdict::Unsure | Verdict::NotPlacedYet | Verdict::NotRunYet)
    }

    /// The `verdict` of the JSON output: one word, which never changes.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Verdict::Ok | Verdict::NotRunYet => "ok",
            Verdict::Exempt => "exempt",
            Verdict::NotPlacedYet | Verdict::Unsure => "newborn",
            Verdict::Ending => "ending",
            Verdict::Unknown | Verdict::Unseen => "unknown",
            Verdict::Off(Off::Cut(_) | Off::OnlyOn(_)) => "cut",
            Verdict::Off(Off::Held { is_part: true, .. }) => "cut",
            Verdict::Off(_) => "off",
            Verdict::RanOn(_) => "ran-off",
            Verdict::Class(_) => "class",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Ok => f.write_str("ok"),
            Verdict::NotRunYet => f.write_str("ok, has not run since"),
            Verdict::Exempt => f.write_str("exempt: placed by QEMU"),
            Verdict::NotPlacedYet | Verdict::Unsure => f.write_str("being born"),
            Verdict::Ending => f.write_str("ending"),
            Verdict::Unknown => f.write_str("-"),
            Verdict::Off(Off::Held { on, by, .. }) => write!(f, "HELD on {on} by {}", held_by(by)),
            Verdict::Unseen => f.write_str("UNKNOWN: created unseen by another library's pthread_create"),
            Verdict::Off(Off::AlsoOn(others)) => write!(f, "OFF: may also run on {others}"),
            Verdict::Off(Off::Cut(left)) => write!(f, "CUT to {left} by its cpuset"),
            Verdict::Off(Off::OnlyOn(left)) => write!(f, "CUT: may run only on {left}"),
            Verdict::Off(Off::Refused(on)) => write!(f, "OFF: on {on}, moving it was refused"),
            Verdict::Off(Off::Filtered(on)) => {
                write!(f, "OFF: on {on}, by its own seccomp filter")
            }
            Verdict::Off(Off::On(on)) => write!(f, "OFF: may run on {on}"),
            Verdict::RanOn(cpu) => write!(f, "OFF: ran on {cpu}"),
            Verdict::Class(other) => other.fmt(f),
        }
    }
}

/// What holds a thread: its cgroup, and who has given that its CPUs.
pub(crate) fn held_by(cpuset: &Cpuset) -> String {
    match cpuset.of_libvirt() {
        Some(group) => format!("its cgroup …/{group}: virsh {} or <cputune>", group.command()),
        None => format!("its cgroup {}, which has only {}", cpuset.group().display(), cpuset.cpus),
    }
}

/// Judges one look after another.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    before: HashMap<ThreadKey, LastSeen>,
}

/// What the last look has shown of a thread.
#[derive(Debug)]
struct LastSeen {
    expected: CpuSet,
    /// The register listed it.
    listed: bool,
    allowed: CpuSet,
    switches: u64,
    time: std::time::Duration,
    /// It was seen to run with the right CPUs allowed.
    has_run: bool,
}

impl LastSeen {
    fn new(vm_thread: &VmThread, expected: &CpuSet, listed: bool) -> Self {
        Self {
            expected: expected.clone(),
            listed,
            allowed: vm_thread.thread.allowed.clone(),
            switches: vm_thread.thread.switches,
            time: vm_thread.thread.cpu_time,
            has_run: false,
        }
    }
}

impl Judge {
    /// The verdicts on the threads of a look, in their order.
    pub(crate) fn judge(&mut self, threads: &[VmThread]) -> Vec<Verdict> {
        let mut now = HashMap::new();
        let verdicts = threads.iter().map(|vm_thread| {
            let key = vm_thread.thread.key();
            let (verdict, seen) = judge(vm_thread, self.before.get(&key));
            now.extend(seen.map(|seen| (key, seen)));
            verdict
        });
        let verdicts = verdicts.collect();
        self.before = now;
        verdicts
    }
}

fn judge(vm_thread: &VmThread, before: Option<&LastSeen>) -> (Verdict, Option<LastSeen>) {
    if vm_thread.role == RoleKind::Exempt {
        return (Verdict::Exempt, None);
    }
    if vm_thread.evidence == Evidence::Unseen {
        return (Verdict::Unseen, None);
    }
    let Some(expected) = &vm_thread.expected else { return (Verdict::Unknown, None) };
    if vm_thread.state == Some(State::Born) {
        return (Verdict::NotPlacedYet, None);
    }
    let listed = vm_thread.state.is_some();
    let thread = &vm_thread.thread;
    if before.is_some_and(|before| before.listed) && !listed {
        let seen = LastSeen::new(vm_thread, before.map_or(expected, |before| &before.expected), true);
        return (Verdict::Ending, Some(seen));
    }
    let before = before.filter(|before| before.expected == *expected);
    let mut seen = LastSeen::new(vm_thread, expected, listed);
    if thread.allowed != *expected {
        let is_certain = listed || before.is_some_and(|before| before.allowed != *expected);
        let off = Verdict::Off(off(expected, vm_thread));
        return (if is_certain { off } else { Verdict::Unsure }, Some(seen));
    }
    let was_right = before.filter(|before| before.allowed == *expected);
    let runs = was_right.is_some_and(|before| before.switches != seen.switches || before.time != seen.time);
    seen.has_run = runs || was_right.is_some_and(|before| before.has_run);
    let verdict = match expected.contains(thread.last_cpu) {
        true => Verdict::Ok,
        false if !seen.has_run => Verdict::NotRunYet,
        false if thread.runs => Verdict::RanOn(thread.last_cpu),
        false => Verdict::Ok,
    };
    let verdict = match vm_thread.class.offence() {
        // A thread that is not listed may be giving itself its class just now.
        Some(_) if !listed && before.is_none() => Verdict::Unsure,
        Some(other) if !matches!(verdict, Verdict::RanOn(_)) => Verdict::Class(other),
        _ => verdict,
    };
    (verdict, Some(seen))
}

fn off(expected: &CpuSet, vm_thread: &VmThread) -> Off {
    let (allowed, state) = (&vm_thread.thread.allowed, vm_thread.state);
    if let Some(by) = &vm_thread.held_by {
        return Off::Held { on: allowed.clone(), is_part: allowed.is_subset(expected), by: by.clone() };
    }
    if allowed.is_subset(expected) {
        let left = allowed.clone();
        return if state == Some(State::Cut) { Off::Cut(left) } else { Off::OnlyOn(left) };
    }
    if state == Some(State::Filtered) {
        return Off::Filtered(allowed.clone());
    }
    if state == Some(State::Refused) {
        return Off::Refused(allowed.clone());
    }
    if expected.is_subset(allowed) {
        return Off::AlsoOn(allowed.difference(expected));
    }
    Off::On(allowed.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::cpus;
    use crate::sys::threads::Thread;
    use crate::vm::sample;
    use std::time::Duration;

    fn vm_thread(
        state: Option<State>,
        expected: &str,
        allowed: &str,
        last_cpu: u32,
        switches: u64,
    ) -> VmThread {
        let worker = sample::vm_thread(7, RoleKind::Worker, "worker");
        let (allowed, last_cpu) = (cpus(allowed), CpuId(last_cpu));
        let thread = Thread { allowed, last_cpu, switches, ..worker.thread };
        VmThread { thread, expected: Some(cpus(expected)), state, ..worker }
    }

    #[track_caller]
    fn said(looks: &[VmThread], verdicts: &[&str]) {
        let mut judge = Judge::default();
        let said: Vec<String> =
            looks.iter().map(|look| judge.judge(std::slice::from_ref(look))[0].to_string()).collect();
        assert_eq!(said, verdicts);
    }

    const PLACED: Option<State> = Some(State::Placed);

    #[test]
    fn a_placed_thread_is_judged_at_once() {
        said(&[vm_thread(PLACED, "1", "1", 1, 0)], &["ok"]);
        said(&[vm_thread(PLACED, "1", "0-1", 1, 0)], &["OFF: may also run on 0"]);
        said(&[vm_thread(PLACED, "1", "0", 1, 0)], &["OFF: may run on 0"]);
        said(&[vm_thread(PLACED, "0-1", "0", 0, 0)], &["CUT: may run only on 0"]);
        said(&[vm_thread(Some(State::Cut), "0-1", "0", 0, 0)], &["CUT to 0 by its cpuset"]);
        said(&[vm_thread(Some(State::Refused), "1", "0", 0, 0)], &["OFF: on 0, moving it was refused"]);
        let filtered = "OFF: on 0, by its own seccomp filter";
        said(&[vm_thread(Some(State::Filtered), "1", "0", 0, 0)], &[filtered]);
        said(&[vm_thread(Some(State::Filtered), "0", "0", 0, 0)], &["ok"]);
    }

    #[test]
    fn a_thread_that_its_cgroup_holds_is_said_to_be_held_by_whoever_made_that() {
        let held = |expected: &str, allowed: &str, group: &str| {
            let mut vm_thread = vm_thread(Some(State::Refused), expected, allowed, 0, 0);
            let file = std::path::Path::new(group).join("cpuset.cpus.effective");
            vm_thread.held_by = Some(Cpuset { file, cpus: cpus("0") });
            let verdict = Judge::default().judge(&[vm_thread]).remove(0);
            (verdict.to_string(), verdict.word())
        };
        let by_libvirt = |command: &str, group: &str| {
            format!("HELD on 0 by its cgroup …/{group}: virsh {command} or <cputune>")
        };
        assert_eq!(held("1", "0", "/x/vcpu1"), (by_libvirt("vcpupin", "vcpu1"), "off"));
        assert_eq!(held("0-1", "0", "/x/iothread2"), (by_libvirt("iothreadpin", "iothread2"), "cut"));
        assert_eq!(held("1", "0", "/x/emulator"), (by_libvirt("emulatorpin", "emulator"), "off"));
        let other = "HELD on 0 by its cgroup /x/vm.scope, which has only 0";
        assert_eq!(held("1", "0", "/x/vm.scope"), (other.to_owned(), "off"));
    }

    #[test]
    fn a_thread_that_has_not_placed_itself_is_not_judged() {
        let born = Some(State::Born);
        said(
            &[vm_thread(born, "1", "0", 0, 0), vm_thread(born, "1", "0", 0, 1)],
            &["being born", "being born"],
        );
    }

    #[test]
    fn an_unlisted_thread_is_judged_on_two_looks_in_a_row() {
        let (off, on) = (|| vm_thread(None, "1", "0", 0, 0), || vm_thread(None, "1", "1", 1, 0));
        said(&[off(), off()], &["being born", "OFF: may run on 0"]);
        said(&[off(), on(), off()], &["being born", "ok", "being born"]);
    }

    #[test]
    fn a_thread_that_has_left_the_register_is_not_judged() {
        let gone = || vm_thread(None, "0", "1", 1, 9);
        said(&[vm_thread(PLACED, "1", "1", 1, 0), gone(), gone()], &["ok", "ending", "ending"]);
    }

    #[test]
    fn another_thread_of_the_same_id_begins_anew() {
        let mut judge = Judge::default();
        let mut vm_thread = vm_thread(None, "1", "0", 0, 0);
        judge.judge(std::slice::from_ref(&vm_thread));
        vm_thread.thread.started = 2;
        assert_eq!(judge.judge(&[vm_thread]), [Verdict::Unsure]);
    }

    #[test]
    fn a_cpu_counts_only_if_the_thread_has_run_since() {
        let on = |last, switches| vm_thread(PLACED, "1", "1", last, switches);
        said(&[on(0, 5), on(0, 5)], &["ok, has not run since", "ok, has not run since"]);
        said(&[on(0, 5), on(0, 6)], &["ok, has not run since", "OFF: ran on 0"]);
        said(&[on(0, 5), on(1, 6), on(0, 6)], &["ok, has not run since", "ok", "OFF: ran on 0"]);
        let moved = [vm_thread(PLACED, "1", "0", 0, 5), on(0, 6), on(1, 7)];
        said(&moved, &["OFF: may run on 0", "ok, has not run since", "ok"]);
        let mut long = on(0, 5);
        long.thread.cpu_time = Duration::from_millis(10);
        said(&[on(0, 5), long], &["ok, has not run since", "OFF: ran on 0"]);
    }

    /// SCHED_PROXY_EXEC counts a thread that waits for a mutex to the CPU of the mutex's owner.
    #[test]
    fn a_cpu_does_not_count_while_the_thread_is_blocked() {
        let on = |last, switches, runs| {
            let mut vm_thread = vm_thread(PLACED, "1", "1", last, switches);
            vm_thread.thread.runs = runs;
            vm_thread
        };
        said(&[on(1, 5, true), on(0, 6, false), on(0, 6, false)], &["ok", "ok", "ok"]);
        said(&[on(0, 5, false), on(0, 6, false)], &["ok, has not run since", "ok"]);
        said(&[on(1, 5, true), on(0, 6, false), on(0, 7, true)], &["ok", "ok", "OFF: ran on 0"]);
        // Its affinity counts all the same.
        let mut off = on(0, 6, false);
        off.thread.allowed = cpus("0");
        said(&[on(1, 5, true), off], &["ok", "OFF: may run on 0"]);
    }

    #[test]
    fn what_qemu_places_itself_is_exempt() {
        let mut exempt = vm_thread(Some(State::LeftAlone), "1", "0", 0, 0);
        exempt.role = RoleKind::Exempt;
        said(&[exempt], &["exempt: placed by QEMU"]);
    }

    #[test]
    fn without_an_expectation_there_is_no_verdict() {
        let mut unknown = vm_thread(None, "1", "0", 0, 0);
        unknown.expected = None;
        said(&[unknown.clone()], &["-"]);
        unknown.evidence = Evidence::Unseen;
        said(&[unknown], &["UNKNOWN: created unseen by another library's pthread_create"]);
    }
}
