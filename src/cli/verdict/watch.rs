//! Looking at a VM again and again for a time, and keeping what was wrong.

use crate::output::failure::Failure;
use crate::record::live::Live;
use crate::sys::kernel::Kernel;
use crate::sys::threads::ThreadKey;
use crate::verdict::culprits::Surroundings;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::max_delay::{Late, Limits, MaxDelays, Source};
use crate::verdict::recorded_delays;
use crate::verdict::waits::Waits;
use crate::vm::expected::VmThread;
use crate::vm::look::{Ask, Look, Vm};
use pinning::RoleKind;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The time between two looks. A thread places itself within microseconds, or on a busy machine within some
/// milliseconds: what two looks show, it does not do by itself.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// How long a watch goes on beyond its time for a thread that cannot be judged yet.
const GRACE: Duration = Duration::from_secs(1);

/// The same for a thread that may be waiting for a CPU: it may as well run on a CPU without a timer's tick (nohz_full), and then
/// its counts stand still for a second (kernel/sched/core.c, sched_tick_remote).
const LONGEST_RUN: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Every thread that was off its set at any time, as it was when it was last seen so.
    pub(crate) offences: Vec<Offence>,
    /// How many times the VM was looked at.
    pub(crate) looks: u64,
    /// For how long.
    pub(crate) time: Duration,
    /// How many threads were seen, including those that have ended since.
    pub(crate) threads: usize,
    /// How long the threads of each role were ready to run and did not; a role of which the kernel does not tell is not there.
    pub(crate) delays: BTreeMap<RoleKind, RoleDelay>,
    /// The threads that waited longer at a stretch than they may, or may have.
    pub(crate) late: Vec<Late>,
    /// Whether every wait was recorded, so that what is not among these waited no longer than it may.
    pub(crate) are_recorded: bool,
    /// The roles with a limit for that of which no thread was seen.
    pub(crate) unseen: Vec<RoleKind>,
}

impl Watched {
    /// How it is known how long threads waited at a stretch.
    pub(crate) fn delays_by(&self) -> Source {
        let all_by_records =
            !self.late.is_empty() && self.late.iter().all(|late| late.source == Source::Records);
        if self.are_recorded || all_by_records { Source::Records } else { Source::Schedstat }
    }

    /// The same, judged by what was recorded too.
    fn recorded(mut self, live: Option<Live<'_, '_>>, limits: &Limits) -> Self {
        if let Some(live) = live {
            let recorded = live.finish();
            self.are_recorded = recorded.is_complete;
            self.late = recorded_delays::judge(self.late, recorded, limits, self.time);
        }
        self
    }
}

/// How long the threads of a role were ready to run and did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RoleDelay {
    /// Of how many threads it is known.
    pub(crate) threads: usize,
    /// All of them together.
    pub(crate) total: Duration,
    /// The most of any of them between two looks: none waited longer at a stretch.
    pub(crate) longest: Duration,
}

/// A thread off its set.
#[derive(Debug, Clone)]
pub(crate) struct Offence {
    pub(crate) vm_thread: VmThread,
    pub(crate) verdict: Verdict,
    /// In how many looks it was off its set.
    pub(crate) looks: u64,
}

/// Looks at some VMs for a time, twice at least: at all of them in turn, so that they are watched at the same time.
/// The answers are in their order. `limits` say how long threads may wait for a CPU. `progress` hears after every look how
/// long it has gone on, and how many threads so far were off their sets, and how many waited too long.
pub(crate) fn watch(
    kernel: &dyn Kernel,
    vms: &[&Vm<'_>],
    time: Duration,
    limits: &Limits,
    mut progress: impl FnMut(Duration, usize, usize),
) -> Vec<Result<Watched, Failure>> {
    let began = kernel.now();
    let mut watches: Vec<Result<Watch<'_>, Failure>> =
        vms.iter().map(|vm| Ok(Watch::new(vm, limits))).collect();
    // What is not permitted is left to the counts.
    let mut recordings: Vec<Option<Live<'_, '_>>> =
        vms.iter().map(|vm| if limits.is_empty() { None } else { Live::begin(vm) }).collect();
    let mut surroundings = (!limits.is_empty()).then(|| Surroundings::new(kernel));
    let mut looks = 0;
    loop {
        for watch in &mut watches {
            if let Err(failure) = watch.as_mut().map_or(Ok(()), |watch| watch.look()) {
                *watch = Err(failure);
            }
        }
        recordings.iter_mut().flatten().for_each(Live::step);
        looks += 1;
        let elapsed = kernel.now().saturating_sub(began);
        let of_all = |count: fn(&Watch<'_>) -> usize| watches.iter().flatten().map(count).sum();
        progress(elapsed, of_all(|watch| watch.offences.len()), of_all(|watch| watch.max_delays.count()));
        let is_open = watches.iter().flatten().any(|watch| watch.is_open);
        let may_wait = watches.iter().flatten().any(|watch| watch.max_delays.is_open(began + time));
        let are_left = watches.iter().any(Result::is_ok);
        let is_over = looks >= 2
            && elapsed >= time
            && (!is_open || elapsed >= time + GRACE)
            && (!may_wait || elapsed >= time + LONGEST_RUN);
        let is_last = is_over || !are_left;
        if is_last {
            watches.iter_mut().flatten().for_each(|watch| watch.max_delays.give_up(LONGEST_RUN));
        }
        if let Some(surroundings) = &mut surroundings {
            let asked = watches.iter().flatten().any(|watch| watch.max_delays.asks_for_culprits());
            if surroundings.is_due() || (is_last && asked) {
                surroundings.look(asked);
                watches.iter_mut().flatten().for_each(|watch| watch.max_delays.name_culprits(surroundings));
            }
        }
        if is_last {
            let finished = watches.into_iter().map(|watch| Ok(watch?.finished(looks, elapsed)));
            return finished
                .zip(recordings)
                .map(|(watched, live)| Ok(watched?.recorded(live, limits)))
                .collect();
        }
        kernel.sleep(PAUSE);
    }
}

/// The watch of one VM.
struct Watch<'a> {
    vm: &'a Vm<'a>,
    judge: Judge,
    threads: HashMap<ThreadKey, Seen>,
    /// What the threads had waited at the look before.
    waits: Option<Waits>,
    offences: BTreeMap<ThreadKey, Offence>,
    max_delays: MaxDelays<'a>,
    /// The last look has left a thread that cannot be judged yet.
    is_open: bool,
}

/// What is kept of every thread.
struct Seen {
    role: RoleKind,
    /// How long it has waited so far, and the most between two looks.
    delay: Option<(Duration, Duration)>,
}

impl<'a> Watch<'a> {
    fn new(vm: &'a Vm<'a>, limits: &'a Limits) -> Self {
        Self {
            vm,
            judge: Judge::default(),
            threads: HashMap::new(),
            waits: None,
            offences: BTreeMap::new(),
            max_delays: MaxDelays::new(limits),
            is_open: false,
        }
    }

    fn look(&mut self) -> Result<(), Failure> {
        let at = self.vm.process.kernel.now();
        let look = look(self.vm)?;
        let before = self.waits.replace(Waits::of(&look.threads, at));
        self.max_delays.look(before.as_ref(), at, &look.threads);
        let verdicts = self.judge.judge(&look.threads);
        self.is_open = false;
        for (vm_thread, verdict) in look.threads.into_iter().zip(verdicts) {
            let key = vm_thread.thread.key();
            let seen = self.threads.entry(key).or_insert(Seen { role: vm_thread.role, delay: None });
            seen.role = vm_thread.role;
            if let Some(wait) = before.as_ref().and_then(|before| before.since(&vm_thread.thread)) {
                let (total, longest) = seen.delay.unwrap_or_default();
                seen.delay = Some((total + wait.waited, longest.max(wait.waited)));
            }
            self.is_open |= matches!(verdict, Verdict::Unsure | Verdict::NotPlacedYet);
            if verdict.is_offence() {
                let looks = self.offences.get(&key).map_or(0, |before| before.looks) + 1;
                self.offences.insert(key, Offence { vm_thread, verdict, looks });
            }
        }
        Ok(())
    }

    fn finished(self, looks: u64, time: Duration) -> Watched {
        let offence = |(key, mut offence): (ThreadKey, Offence)| {
            let delay = self.threads.get(&key).and_then(|seen| seen.delay);
            offence.vm_thread.delay = delay.map(|(total, _)| total);
            offence
        };
        let offences = self.offences.into_iter().map(offence).collect();
        let mut delays = BTreeMap::new();
        for seen in self.threads.values() {
            let Some((total, longest)) = seen.delay else { continue };
            let of_role: &mut RoleDelay = delays.entry(seen.role).or_default();
            of_role.threads += 1;
            of_role.total += total;
            of_role.longest = of_role.longest.max(longest);
        }
        let (late, unseen) = self.max_delays.finished();
        Watched {
            offences,
            looks,
            time,
            threads: self.threads.len(),
            delays,
            late,
            are_recorded: false,
            unseen,
        }
    }
}

fn look(vm: &Vm<'_>) -> Result<Look, Failure> {
    let look = vm.look(&Ask::default())?;
    match &look.content {
        Ok(_) => Ok(look),
        Err(missing) => Err(Failure::new(format!("process {}: {missing}", vm.process.pid))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, FakeThread, ms};
    use crate::vm::find;
    use crate::vm::sample::web;
    use pinning::status_page::State;

    /// Watches the VM `web` for a time: each offence as `TID VERDICT xLOOKS`, and how many looks and threads.
    fn watched(kernel: &FakeKernel, time: Duration) -> (Vec<String>, u64, usize) {
        let vm = find::named(kernel, "web").unwrap();
        let watched = watch(kernel, &[&vm], time, &Limits::default(), |_, _, _| {}).pop().unwrap().unwrap();
        let offences = watched.offences.iter().map(|offence| {
            format!("{} {} x{}", offence.vm_thread.thread.tid, offence.verdict, offence.looks)
        });
        (offences.collect(), watched.looks, watched.threads)
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_listed_thread_is_an_offence_in_every_look_that_sees_it_off() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "0");
        kernel.at(ms(40), |kernel| kernel.move_to(101, "1"));
        assert_eq!(watched(&kernel, ms(100)), (vec!["101 OFF: may run on 0 x2".to_owned()], 6, 5));
    }

    #[test]
    fn a_new_thread_may_have_its_creators_cpus_until_it_says_that_it_is_placed() {
        let kernel = FakeKernel::new();
        web(&kernel).thread(105, "worker", "1").lists(105, pinning::Role::Worker, 0, "worker");
        web_state(&kernel, State::Born);
        kernel.at(ms(60), |kernel| kernel.move_to(105, "0"));
        kernel.at(ms(60), |kernel| web_state(kernel, State::Placed));
        assert_eq!(watched(&kernel, ms(0)), (none(), 4, 6));
        // One that says so and is not is an offence at once.
        kernel.move_to(105, "1");
        assert_eq!(watched(&kernel, ms(0)), (vec!["105 OFF: may run on 1 x2".to_owned()], 2, 6));
    }

    /// Changes the state of thread 105.
    fn web_state(kernel: &FakeKernel, state: State) {
        kernel.existing(100).state(105, state);
    }

    #[test]
    fn a_thread_that_is_not_listed_is_held_to_its_set_from_the_second_look_on() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        vm.thread(105, "SPICE Worker", "1");
        kernel.at(ms(20), |kernel| kernel.move_to(105, "0"));
        assert_eq!(watched(&kernel, ms(0)), (none(), 2, 6));
        vm.thread(106, "SPICE Worker", "1");
        assert_eq!(watched(&kernel, ms(0)), (vec!["106 OFF: may run on 1 x1".to_owned()], 2, 7));
    }

    #[test]
    fn what_is_still_open_at_the_end_is_waited_for_a_second_at_most() {
        let kernel = FakeKernel::new();
        web(&kernel).state(104, State::Born);
        assert_eq!(watched(&kernel, ms(100)), (none(), 56, 5));
        assert_eq!(kernel.now(), ms(1100));
    }

    #[test]
    fn a_thread_that_ends_is_counted_and_keeps_its_offence() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(103, "0");
        kernel.at(ms(20), |kernel| kernel.end(103));
        kernel.at(ms(40), |kernel| kernel.end(104));
        assert_eq!(watched(&kernel, ms(100)), (vec!["103 OFF: may run on 0 x1".to_owned()], 6, 5));
    }

    #[test]
    fn a_later_thread_with_the_same_id_is_another_thread() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        vm.thread(105, "SPICE Worker", "1");
        let replaced = |thread: &mut FakeThread| thread.started = 9000;
        kernel.at(ms(20), move |kernel| kernel.change(105, replaced));
        kernel.at(ms(40), |kernel| kernel.move_to(105, "0"));
        // Either was seen off its set once only.
        assert_eq!(watched(&kernel, ms(40)), (none(), 3, 7));
    }

    #[test]
    fn how_long_threads_waited_is_counted_for_each_role() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        // What was before counts for nothing.
        kernel.change(101, |thread| thread.schedstat = Some((0, 500_000_000, 9)));
        vm.thread(105, "worker", "0").lists(105, pinning::Role::Worker, 0, "worker");
        let waits = |tid, ns, runs| {
            move |kernel: &FakeKernel| kernel.change(tid, |thread| thread.schedstat = Some((0, ns, runs)))
        };
        kernel.at(ms(20), waits(101, 503_000_000, 10));
        kernel.at(ms(40), waits(101, 504_000_000, 12));
        kernel.at(ms(40), waits(102, 2_000_000, 2));
        kernel.at(ms(40), |kernel| kernel.end(104));
        kernel.at(ms(20), |kernel| kernel.change(103, |thread| thread.schedstat = None));
        kernel.move_to(101, "0");
        let vm = find::named(&kernel, "web").unwrap();
        let watched =
            watch(&kernel, &[&vm], ms(60), &Limits::default(), |_, _, _| {}).pop().unwrap().unwrap();
        let delays = watched.delays.iter().map(|(role, delay)| {
            (role.to_string(), delay.threads, delay.total.as_millis(), delay.longest.as_millis())
        });
        let delays: Vec<_> = delays.collect();
        let of = |role: &str, threads, total, longest| (role.to_owned(), threads, total, longest);
        assert_eq!(delays, [of("emulator", 1, 0, 0), of("vcpu", 2, 6, 3), of("worker", 2, 0, 0)]);
        assert_eq!(watched.offences[0].vm_thread.delay, Some(ms(4)));
    }

    #[test]
    fn several_vms_are_watched_at_the_same_time_and_one_that_ends_does_not_stop_the_others() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel
            .process(200, &["/usr/bin/qemu-system-x86_64"])
            .thread(200, "q", "1")
            .page(&[("PIN_CPUS", "1")]);
        kernel.at(ms(40), |kernel| kernel.end_process(100));
        kernel.at(ms(60), |kernel| kernel.move_to(200, "0"));
        let vms = ["web", "200"].map(|word| find::named(&kernel, word).unwrap());
        let watched = watch(&kernel, &[&vms[0], &vms[1]], ms(100), &Limits::default(), |_, _, _| {});
        assert_eq!((watched.len(), kernel.now()), (2, ms(100)));
        assert_eq!(watched[0].as_ref().unwrap_err().to_string(), "process 100 has ended");
        let offences = &watched[1].as_ref().unwrap().offences;
        assert_eq!((offences.len(), offences[0].looks), (1, 2));
    }

    #[test]
    fn a_thread_that_runs_elsewhere_than_it_may_is_an_offence() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.at(ms(20), |kernel| {
            kernel.change(101, |thread| (thread.last_cpu, thread.switches) = (3, 2));
        });
        assert_eq!(watched(&kernel, ms(20)), (vec!["101 OFF: ran on 3 x1".to_owned()], 2, 5));
    }
}
