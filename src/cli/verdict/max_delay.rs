//! Whether a thread waited longer for a CPU, at a stretch, than it may.
//!
//! The kernel counts how long a thread waited and how often it got a CPU ([`Wait`]), not how long each wait was. So between
//! two looks a thread that waited no longer in all than its limit kept it for certain. Of one that waited longer in all, the
//! longest stretch was at least the average: where that is over the limit, so was a stretch; else nobody knows, and the
//! promise is not kept either, since it could not be proven.

use crate::arguments::MaxDelay;
use crate::output::failure::Failure;
use crate::output::text::short;
use crate::sys::schedstat::Schedstat;
use crate::sys::threads::ThreadKey;
use crate::verdict::culprits::{Culprits, Surroundings};
use crate::verdict::waits::{Wait, Waits};
use crate::vm::expected::VmThread;
use pinning::RoleKind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How long the threads of each role may wait at a stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits(BTreeMap<RoleKind, Duration>);

/// How it is known how long threads waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// By the kernel's counts, look for look.
    Schedstat,
    /// The kernel's records of every switch.
    Records,
}

/// A thread that waited too long, or of which that cannot be ruled out: the worst time between two looks.
#[derive(Debug, Clone)]
pub(crate) struct Late {
    pub(crate) vm_thread: VmThread,
    /// How long it may wait at a stretch.
    pub(crate) limit: Duration,
    /// The time between the two looks.
    pub(crate) interval: Duration,
    /// How long it waited meanwhile, and how often it got a CPU.
    pub(crate) wait: Wait,
    /// In so many stretches at most.
    pub(crate) stretches: u64,
    /// It waits still: it got no CPU at all.
    pub(crate) goes_on: bool,
    /// How often a time between two looks was such a one.
    pub(crate) intervals: u64,
    /// Who used its CPU meanwhile; `None`: that is still to be found out.
    pub(crate) culprits: Option<Culprits>,
    /// How it is known.
    pub(crate) source: Source,
}

impl Limits {
    /// What the user asks for.
    ///
    /// # Errors
    /// A role has two limits.
    pub(crate) fn new(asked: &[MaxDelay]) -> Result<Self, Failure> {
        let mut limits = BTreeMap::new();
        for MaxDelay { role, limit } in asked {
            if limits.insert(*role, *limit).is_some() {
                let role = crate::arguments::role_word(*role);
                return Err(Failure::new(format!("--max-delay has two limits for {role}")));
            }
        }
        Ok(Self(limits))
    }

    /// Whether there is no limit.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How long a thread of this role may wait; `None`: as long as it likes.
    pub(crate) fn of(&self, role: RoleKind) -> Option<Duration> {
        self.0.get(&role).copied()
    }

    /// The roles that have a limit.
    pub(crate) fn roles(&self) -> impl Iterator<Item = RoleKind> + '_ {
        self.0.keys().copied()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Schedstat => f.write_str("schedstat"),
            Source::Records => f.write_str("records"),
        }
    }
}

impl Late {
    /// What is to be said of a wait between two looks; `None`: it was short enough for certain.
    fn of(vm_thread: &VmThread, limit: Duration, interval: Duration, wait: Wait) -> Option<Self> {
        if wait.waited <= limit {
            return None;
        }
        // Of a thread that is moved to another CPU while it waits, the kernel counts the part before it has run again.
        let parts = u64::from(vm_thread.thread.allowed.len() > 1);
        Some(Self {
            vm_thread: vm_thread.clone(),
            limit,
            interval,
            wait,
            stretches: wait.runs.max(1) + parts,
            goes_on: false,
            intervals: 1,
            culprits: None,
            source: Source::Schedstat,
        })
    }

    /// How long the longest stretch was at least: the average.
    pub(crate) fn at_least(&self) -> Duration {
        let nanoseconds = self.wait.waited.as_nanos() / u128::from(self.stretches.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Whether a stretch was longer than the limit for certain.
    pub(crate) fn is_proven(&self) -> bool {
        self.at_least() > self.limit
    }

    /// What is wrong, in words.
    pub(crate) fn words(&self) -> String {
        let (waited, limit) = (short(self.wait.waited), short(self.limit));
        if self.goes_on {
            return format!("has been ready to run for {waited} and has not run; it may wait {limit}");
        }
        if self.stretches == 1 {
            return format!("waited {waited} at a stretch; it may wait {limit}");
        }
        let begin =
            format!("waited {waited} in {}, in at most {} stretches", short(self.interval), self.stretches);
        if self.is_proven() {
            return format!("{begin}: one of at least {}; it may wait {limit}", short(self.at_least()));
        }
        format!("{begin}: MAY have waited longer than {limit} in one of them")
    }

    /// The worse one of two counts.
    fn is_worse_than(&self, other: &Late) -> bool {
        (self.at_least(), self.wait.waited) > (other.at_least(), other.wait.waited)
    }
}

/// The watch over how long the threads of a VM wait.
#[derive(Debug)]
pub(crate) struct MaxDelays<'a> {
    limits: &'a Limits,
    late: BTreeMap<ThreadKey, Late>,
    /// The threads that were ready to run in the last look, and had not got a CPU since when.
    stuck: HashMap<ThreadKey, Stuck>,
    /// The roles with a limit that a thread had.
    seen: BTreeSet<RoleKind>,
    /// When the last look was.
    at: Duration,
}

/// A thread that waits, or runs without a timer's tick: its counts stand still.
#[derive(Debug)]
struct Stuck {
    since: Duration,
    stat: Schedstat,
    cpu_time: Duration,
    vm_thread: VmThread,
    limit: Duration,
}

impl<'a> MaxDelays<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            late: BTreeMap::new(),
            stuck: HashMap::new(),
            seen: BTreeSet::new(),
            at: Duration::ZERO,
        }
    }

    /// Judges the threads of a look by what they had waited at the look before.
    pub(crate) fn look(&mut self, before: Option<&Waits>, at: Duration, threads: &[VmThread]) {
        let mut stuck = HashMap::new();
        for vm_thread in threads {
            let Some(limit) = self.limits.of(vm_thread.role) else { continue };
            self.seen.insert(vm_thread.role);
            let key = vm_thread.thread.key();
            if let (Some(stat), true) = (vm_thread.thread.schedstat, vm_thread.thread.runs) {
                let cpu_time = vm_thread.thread.cpu_time;
                let earlier = self.stuck.get(&key);
                let earlier = earlier.filter(|stuck| (stuck.stat, stuck.cpu_time) == (stat, cpu_time));
                let since = earlier.map_or(at, |stuck| stuck.since);
                stuck.insert(key, Stuck { since, stat, cpu_time, vm_thread: vm_thread.clone(), limit });
            }
            let Some((before, wait)) =
                before.and_then(|before| Some((before, before.since(&vm_thread.thread)?)))
            else {
                continue;
            };
            if let Some(late) = Late::of(vm_thread, limit, at.saturating_sub(before.at), wait) {
                self.add(key, late);
            }
        }
        (self.stuck, self.at) = (stuck, at);
    }

    fn add(&mut self, key: ThreadKey, late: Late) {
        match self.late.get_mut(&key) {
            Some(known) => {
                let intervals = known.intervals + late.intervals;
                if late.is_worse_than(known) {
                    *known = late;
                }
                known.intervals = intervals;
            }
            None => _ = self.late.insert(key, late),
        }
    }

    /// Whether the last look has left a thread that may have been waiting since an earlier one, which was no later than this.
    pub(crate) fn is_open(&self, end: Duration) -> bool {
        self.stuck.values().any(|stuck| stuck.since < self.at && stuck.since <= end)
    }

    /// Counts those that have not got a CPU for so long as late: a thread that runs has shown it by then.
    pub(crate) fn give_up(&mut self, patience: Duration) {
        for (key, stuck) in std::mem::take(&mut self.stuck) {
            let waited = self.at.saturating_sub(stuck.since);
            let wait = Wait { waited, runs: 0 };
            if waited >= patience {
                if let Some(late) = Late::of(&stuck.vm_thread, stuck.limit, waited, wait) {
                    self.add(key, Late { stretches: 1, goes_on: true, ..late });
                }
            }
        }
    }

    /// How many threads waited too long so far, or may have.
    pub(crate) fn count(&self) -> usize {
        self.late.len()
    }

    /// Whether of one of them it is not known yet who used its CPU.
    pub(crate) fn asks_for_culprits(&self) -> bool {
        self.late.values().any(|late| late.culprits.is_none())
    }

    /// Writes down who used their CPUs.
    pub(crate) fn name_culprits(&mut self, surroundings: &Surroundings<'_>) {
        for late in self.late.values_mut().filter(|late| late.culprits.is_none()) {
            late.culprits = surroundings.culprits(&late.vm_thread.thread);
        }
    }

    /// The threads that waited too long or may have, and the roles with a limit of which there was none.
    pub(crate) fn finished(self) -> (Vec<Late>, Vec<RoleKind>) {
        let unseen = self.limits.roles().filter(|role| !self.seen.contains(role)).collect();
        (self.late.into_values().collect(), unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{cpus, ms};
    use crate::vm::sample;

    fn us(microseconds: u64) -> Duration {
        Duration::from_micros(microseconds)
    }

    /// What is said of a vCPU that may run on these CPUs and wait 40 µs, and waited so long in so many runs within 20 ms, and
    /// whether it is proven.
    fn said(set: &str, waited: u64, runs: u64) -> Option<(String, bool)> {
        let mut vcpu = sample::vm_thread(101, RoleKind::Vcpu, "CPU 0/KVM");
        vcpu.thread.allowed = cpus(set);
        let late = Late::of(&vcpu, us(40), ms(20), Wait { waited: us(waited), runs })?;
        Some((late.words(), late.is_proven()))
    }

    fn words(text: &str, is_proven: bool) -> Option<(String, bool)> {
        Some((text.to_owned(), is_proven))
    }

    #[test]
    fn a_thread_that_waited_no_longer_in_all_kept_its_limit() {
        assert_eq!(
            [said("1", 0, 0), said("1", 40, 1), said("1", 40, 9), said("1-2", 40, 0)],
            [None, None, None, None]
        );
    }

    #[test]
    fn a_single_stretch_is_known_exactly() {
        assert_eq!(said("1", 41, 1), words("waited 41µs at a stretch; it may wait 40µs", true));
    }

    #[test]
    fn of_several_stretches_one_was_as_long_as_the_average() {
        let text = "waited 3.1ms in 20ms, in at most 4 stretches: one of at least 775µs; it may wait 40µs";
        assert_eq!(said("1", 3100, 4), words(text, true));
        let text =
            "waited 160µs in 20ms, in at most 4 stretches: MAY have waited longer than 40µs in one of them";
        assert_eq!(said("1", 160, 4), words(text, false));
        assert_eq!(said("1", 164, 4).map(|(_, is_proven)| is_proven), Some(true));
    }

    #[test]
    fn a_thread_that_may_be_moved_may_have_waited_in_one_part_more() {
        let text =
            "waited 60µs in 20ms, in at most 2 stretches: MAY have waited longer than 40µs in one of them";
        assert_eq!(said("1-2", 60, 1), words(text, false));
    }

    /// A vCPU that may wait 40 µs, in looks 20 ms apart: for each of them its waits and runs, and whether it is ready to run.
    fn looked(looks: &[(u64, u64, bool)]) -> MaxDelays<'static> {
        static LIMITS: std::sync::OnceLock<Limits> = std::sync::OnceLock::new();
        let of = |role, limit| MaxDelay { role, limit };
        let asked = [of(RoleKind::Vcpu, us(40)), of(RoleKind::IoThread, ms(1))];
        let mut delays = MaxDelays::new(LIMITS.get_or_init(|| Limits::new(&asked).unwrap()));
        let mut before: Option<Waits> = None;
        for (look, &(waited, runs, is_ready)) in (0..).zip(looks) {
            let mut vcpu = sample::vm_thread(101, RoleKind::Vcpu, "CPU 0/KVM");
            vcpu.thread.schedstat = Some(Schedstat { ran: ms(5), waited: us(waited), runs });
            (vcpu.thread.runs, vcpu.thread.allowed) = (is_ready, cpus("1"));
            // It may wait as long as it likes.
            let mut other = sample::vm_thread(102, RoleKind::Worker, "worker");
            other.thread.schedstat = Some(Schedstat { waited: ms(look * 10), ..Schedstat::default() });
            let threads = [vcpu, other];
            delays.look(before.as_ref(), ms(look * 20), &threads);
            before = Some(Waits::of(&threads, ms(look * 20)));
        }
        delays
    }

    #[test]
    fn the_worst_time_of_a_thread_is_kept_and_how_many_there_were() {
        let delays =
            looked(&[(900, 1, true), (950, 2, true), (1250, 3, true), (1300, 9, true), (1340, 10, false)]);
        assert!(!delays.is_open(ms(1000)) && delays.asks_for_culprits());
        let (late, unseen) = delays.finished();
        assert_eq!((late.len(), late[0].wait, late[0].intervals), (1, Wait { waited: us(300), runs: 1 }, 3));
        assert_eq!(unseen, [RoleKind::IoThread]);
    }

    #[test]
    fn a_wait_that_goes_on_is_not_taken_for_none() {
        let still = [(900, 5, true), (900, 5, true), (900, 5, true)];
        let mut delays = looked(&still);
        assert!(delays.is_open(ms(0)));
        // It may as well run without a tick for so long.
        delays.give_up(ms(41));
        assert_eq!(delays.count(), 0);
        let mut delays = looked(&still);
        delays.give_up(ms(40));
        let words = delays.finished().0[0].words();
        assert_eq!(words, "has been ready to run for 40ms and has not run; it may wait 40µs");
        // One that sleeps waits for something else, and one that has run has shown it.
        for other in [[(900, 5, true), (900, 5, false)], [(900, 5, true), (900, 6, true)]] {
            assert!(!looked(&other).is_open(ms(1000)), "{other:?}");
        }
    }

    #[test]
    fn two_limits_for_a_role_are_a_fault() {
        let limit = MaxDelay { role: RoleKind::Worker, limit: ms(1) };
        let why = Limits::new(&[limit, limit]).unwrap_err().to_string();
        assert_eq!(why, "--max-delay has two limits for workers");
    }
}
