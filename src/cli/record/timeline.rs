//! From records in the order of time to what each thread of a VM did, and who else ran on its CPUs.

use crate::record::cpu_track::CpuTrack;
use crate::record::lane::{Frame, Lane};
use crate::record::people::{People, PersonId};
use crate::record::recording::{CpuLane, Instead, OtherSpan, Span, Who};
use crate::record::records::{Record, What};
use crate::record::sample::Sample;
use crate::record::wait_list::Waited;
use pinning::{CpuId, CpuSet};
use std::collections::{BTreeMap, HashMap, HashSet};

/// So many spans are kept: then spans with gaps between them become one, with ever longer gaps. A span takes 30 to 150 bytes
/// in a file.
pub(crate) const SPANS: usize = 100_000;

/// The first of these gaps, in nanoseconds.
const FIRST_RESOLUTION: u64 = 10_000;

/// No gap that is longer is ever left out: 100 s.
const LAST_RESOLUTION: u64 = 100_000_000_000;

/// What has happened so far.
pub(crate) struct Timeline<'a> {
    /// The VM's process.
    pid: i32,
    frame: Frame,
    /// Each thread of the VM, one after another where an id was used again.
    pub(crate) lanes: Vec<Lane>,
    /// The lane of a thread that there is.
    present: HashMap<i32, LaneId>,
    /// Threads of the VM that have ended. They still run for a moment.
    gone: HashSet<i32>,
    people: People<'a>,
    cpus: BTreeMap<u32, CpuTrack>,
    spans: usize,
    budget: usize,
    /// So many records did not fit into a ring.
    pub(crate) lost: u64,
}

/// A place in the list of lanes.
pub(crate) type LaneId = usize;

impl<'a> Timeline<'a> {
    /// The timeline of a VM's process from a moment on. On `cpus` others than its threads are kept as well. `comm_now` is that
    /// of [`People::new`].
    pub(crate) fn new(
        pid: i32,
        begin: u64,
        cpus: &CpuSet,
        comm_now: impl Fn(i32, i32) -> Option<String> + 'a,
    ) -> Self {
        let track = |cpu: CpuId| (cpu.0, CpuTrack::of_vm());
        Self {
            pid,
            frame: Frame { begin, resolution: 0 },
            lanes: Vec::new(),
            present: HashMap::new(),
            gone: HashSet::new(),
            people: People::new(comm_now),
            cpus: cpus.iter().map(track).collect(),
            spans: 0,
            budget: SPANS,
            lost: 0,
        }
    }

    /// Up to this gap between them runs are one span.
    pub(crate) fn resolution(&self) -> u64 {
        self.frame.resolution
    }

    /// A thread of the VM that was there at the beginning, as a look at this moment has seen it.
    pub(crate) fn seen_at_begin(&mut self, tid: i32, time: u64, is_ready: bool, last_cpu: u32) -> LaneId {
        self.add(Lane::seen(tid, time, is_ready, last_cpu))
    }

    /// The lane of a thread that a look has seen at a moment, when all records before that were given.
    pub(crate) fn lane_at(&mut self, tid: i32, time: u64) -> Option<LaneId> {
        let is_it = |lane: &Lane| lane.tid == tid && lane.was_there(time);
        let lane = self.lanes.iter().rposition(is_it);
        lane.or_else(|| self.lane_or_new(tid))
    }

    /// A thread of the VM is there that the last sample did not have.
    pub(crate) fn appeared(&mut self, tid: i32, time: u64) -> LaneId {
        self.add(Lane::appeared(tid, time))
    }

    /// A thread is gone that the last sample had.
    pub(crate) fn disappeared(&mut self, lane: LaneId, time: u64) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.end(time, self.frame);
        }
    }

    /// A thread ran between two samples, which then are what is told apart.
    pub(crate) fn sampled(&mut self, lane: LaneId, sample: Sample) {
        self.frame.resolution = self.frame.resolution.max(1);
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.spans += usize::from(lane.sampled(sample, self.frame));
            self.cpus.entry(sample.cpu).or_default().is_vms = true;
        }
        if self.spans > self.budget {
            self.merge();
        }
    }

    /// Takes the next record.
    pub(crate) fn take(&mut self, record: Record) {
        let Record { time, cpu, pid, tid, what } = record;
        match what {
            What::On => self.on(time, cpu, pid, tid),
            What::Left { preempted } => self.left(time, cpu, tid, preempted),
            What::Born { pid, tid: new } => self.born(time, pid, new, tid),
            What::Ended { tid } => self.ended(time, cpu, tid),
            What::Named { pid, tid, comm } => self.named(pid, tid, comm),
            What::Woken { tid } => {
                if let Some(lane) = self.lane_of(tid) {
                    lane.woken(time);
                }
            }
            What::Lost(records) => self.lost += records,
        }
        if self.spans > self.budget {
            self.merge();
        }
    }

    fn on(&mut self, time: u64, cpu: u32, pid: i32, tid: i32) {
        // That somebody else has left is lost.
        self.leave_cpu(time, cpu);
        if tid <= 0 {
            return;
        }
        let who = self.people.of(pid, tid);
        let frame = self.frame;
        if pid != self.pid {
            self.cpus.entry(cpu).or_default().on(time, who);
            return;
        }
        let track = self.cpus.entry(cpu).or_default();
        track.is_vms = true;
        track.on(time, who);
        let Some(id) = self.lane_or_new(tid) else { return };
        let Some(lane) = self.lanes.get_mut(id) else { return };
        let (wait, is_span) = lane.on(time, cpu, frame);
        self.spans += usize::from(is_span);
        if let Some(wait) = wait {
            self.waited(id, wait, cpu, who);
        }
    }

    fn left(&mut self, time: u64, cpu: u32, tid: i32, preempted: bool) {
        let is_told = self.leave_cpu(time, cpu);
        let frame = self.frame;
        let Some((from, is_span)) = self.lane_of(tid).and_then(|lane| lane.left(time, cpu, preempted, frame))
        else {
            return;
        };
        self.spans += usize::from(is_span);
        // It ran there from the beginning on, and nobody has told that it was put there.
        if !is_told {
            let who = self.people.of(self.pid, tid);
            let track = self.cpus.entry(cpu).or_default();
            track.is_vms = true;
            track.remember(who, from, time);
        }
    }

    /// Whoever is on a CPU leaves it. False: nobody is known to be.
    fn leave_cpu(&mut self, time: u64, cpu: u32) -> bool {
        let Frame { begin, resolution } = self.frame;
        let Some(track) = self.cpus.get_mut(&cpu) else { return false };
        let Some((who, from)) = track.left(time) else { return false };
        let is_others = self.people.get(who).is_some_and(|who| who.pid != self.pid);
        if is_others && time > begin {
            self.spans += usize::from(track.keep(who, from.max(begin), time, cpu, resolution));
        }
        true
    }

    fn born(&mut self, time: u64, pid: i32, tid: i32, creator: i32) {
        if pid != self.pid {
            self.people.born(tid, creator);
            return;
        }
        if let Some(lane) = self.lane_of(tid) {
            if lane.is_birth(time) {
                lane.set_born(creator, time);
                return;
            }
            // Its end is lost.
            self.end_lane(time, tid);
        }
        self.people.born(tid, creator);
        self.gone.remove(&tid);
        let comm = self.people.comm_of(tid).map(str::to_owned);
        self.add(Lane::born(tid, creator, comm, time));
    }

    fn ended(&mut self, time: u64, cpu: u32, tid: i32) {
        let is_on_cpu = |(who, _)| self.people.get(who).is_some_and(|who| who.tid.0 == tid);
        if self.cpus.get(&cpu).and_then(CpuTrack::running).is_some_and(is_on_cpu) {
            self.leave_cpu(time, cpu);
        }
        self.end_lane(time, tid);
        self.people.ended(tid);
    }

    fn end_lane(&mut self, time: u64, tid: i32) {
        let frame = self.frame;
        if let Some(lane) = self.lane_of(tid) {
            let is_span = lane.end(time, frame);
            self.spans += usize::from(is_span);
            self.present.remove(&tid);
            self.gone.insert(tid);
        }
    }

    fn named(&mut self, pid: i32, tid: i32, comm: String) {
        if pid == self.pid {
            if let Some(lane) = self.lane_of(tid) {
                (lane.comm, lane.is_named) = (Some(comm.clone()), true);
            }
        }
        self.people.named(tid, comm);
    }

    /// A wait of a thread has ended on a CPU.
    fn waited(&mut self, lane: LaneId, wait: Waited, cpu: u32, own: PersonId) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        let (people, track) = (&self.people, self.cpus.get(&cpu));
        lane.waits.add(wait, cpu, || {
            let ran = track.map(|track| track.ran_in(wait.from, wait.to)).unwrap_or_default();
            let ran = ran.into_iter().filter(|(who, _)| *who != own);
            let instead = ran.take(INSTEAD);
            instead.filter_map(|(who, ran)| Some(Instead { who: people.get(who)?.clone(), ran })).collect()
        });
    }

    fn lane_of(&mut self, tid: i32) -> Option<&mut Lane> {
        self.lanes.get_mut(*self.present.get(&tid)?)
    }

    /// The lane of a thread of the VM; a new one where its birth was not told.
    fn lane_or_new(&mut self, tid: i32) -> Option<LaneId> {
        match self.present.get(&tid) {
            Some(lane) => Some(*lane),
            None if self.gone.contains(&tid) => None,
            None => Some(self.add(Lane::told(tid))),
        }
    }

    fn add(&mut self, lane: Lane) -> LaneId {
        self.present.insert(lane.tid, self.lanes.len());
        self.lanes.push(lane);
        self.lanes.len() - 1
    }

    /// Makes runs with longer gaps between them one span, until there are half as many as may be. Where that does not do,
    /// since threads go from CPU to CPU all the time, more may be.
    fn merge(&mut self) {
        while self.spans > self.budget / 2 && self.frame.resolution < LAST_RESOLUTION {
            let resolution = (self.frame.resolution * 2).max(FIRST_RESOLUTION);
            self.frame.resolution = resolution;
            self.lanes.iter_mut().for_each(|lane| lane.spans.merge(resolution));
            self.cpus.values_mut().for_each(|track| track.merge(resolution));
            let of_threads: usize = self.lanes.iter().map(|lane| lane.spans.len()).sum();
            self.spans = of_threads + self.cpus.values().map(CpuTrack::spans).sum::<usize>();
        }
        self.budget = self.budget.max(self.spans * 2);
    }

    /// The recording ends. `ran` is how long a lane's thread ran by the kernel's count.
    pub(crate) fn close(&mut self, end: u64, ran: impl Fn(LaneId) -> Option<u64>) {
        let frame = self.frame;
        let cpus: Vec<u32> = self.cpus.keys().copied().collect();
        for cpu in cpus {
            self.leave_cpu(end, cpu);
        }
        for id in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            let wait = lane.close(end, ran(id), frame);
            let (cpu, tid) = (lane.last_cpu(), lane.tid);
            if let Some(wait) = wait {
                let own = self.people.of(self.pid, tid);
                self.waited(id, wait, cpu, own);
            }
        }
    }

    /// The CPUs of the VM, and everybody else who ran there.
    pub(crate) fn into_cpus(self) -> (Vec<Lane>, Vec<CpuLane>, Vec<Who>) {
        let begin = self.frame.begin;
        let mut places: HashMap<PersonId, usize> = HashMap::new();
        let mut others = Vec::new();
        let mut lanes = Vec::new();
        for (cpu, track) in self.cpus.into_iter().filter(|(_, track)| track.is_vms) {
            let mut lane = CpuLane { cpu: CpuId(cpu), others: Vec::new() };
            for (person, span) in track.into_others() {
                let Some(who) = self.people.get(person) else { continue };
                let place = *places.entry(person).or_insert_with(|| {
                    others.push(who.clone());
                    others.len() - 1
                });
                lane.others.push(OtherSpan { span: since(begin, span), who: place });
            }
            lanes.push(lane);
        }
        (self.lanes, lanes, others)
    }
}

/// So many that ran in a thread's place are named.
const INSTEAD: usize = 8;

/// A span with moments counted from the beginning of the recording.
pub(crate) fn since(begin: u64, span: Span) -> Span {
    Span { from: span.from.saturating_sub(begin), to: span.to.saturating_sub(begin), ..span }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::cpus;

    const PID: i32 = 100;
    const BEGIN: u64 = 1000;

    fn timeline<'a>() -> Timeline<'a> {
        Timeline::new(PID, BEGIN, &cpus("1"), |_, _| None)
    }

    /// Takes records, each as `TIME CPU PID TID WHAT`: on, left, preempted, born TID, ended, named COMM, woken TID, lost COUNT.
    fn take(timeline: &mut Timeline<'_>, records: &str) {
        for line in records.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().unwrap();
            let (pid, tid) = (number(2) as i32, words[3].parse().unwrap());
            let what = match words[4] {
                "on" => What::On,
                "left" => What::Left { preempted: false },
                "preempted" => What::Left { preempted: true },
                "born" => What::Born { pid, tid: number(5) as i32 },
                "ended" => What::Ended { tid },
                "named" => What::Named { pid, tid, comm: words[5].to_owned() },
                "woken" => What::Woken { tid: number(5) as i32 },
                "lost" => What::Lost(number(5)),
                other => panic!("{other}"),
            };
            timeline.take(Record { time: number(0), cpu: number(1) as u32, pid, tid, what });
        }
    }

    /// A thread's spans as `FROM-TO@CPU`, and its waits as `FROM+LENGTH` with `!` if preempted and who ran instead.
    fn of(timeline: &Timeline<'_>, tid: i32) -> (String, String) {
        let lane = timeline.lanes.iter().rev().find(|lane| lane.tid == tid).unwrap();
        let spans = lane.spans.clone().into_list();
        assert_eq!(lane.ran, spans.iter().map(|span| span.ran).sum::<u64>());
        assert_eq!(lane.runs, spans.iter().map(|span| span.runs).sum::<u64>());
        let spans = spans.iter().map(|span| format!("{}-{}@{}", span.from, span.to, span.cpu));
        let mut waits = lane.waits.clone().finished(0).longest;
        waits.sort_by_key(|wait| wait.from);
        let waits = waits.iter().map(|wait| {
            let instead = wait.instead.iter().map(|one| format!(" {}:{}", one.who.comm, one.ran));
            let mark = if wait.preempted { "!" } else { "" };
            format!("{}+{}{mark}{}", wait.from, wait.length, instead.collect::<String>())
        });
        (spans.collect::<Vec<_>>().join(" "), waits.collect::<Vec<_>>().join(", "))
    }

    #[track_caller]
    fn is(timeline: &Timeline<'_>, tid: i32, spans: &str, waits: &str) {
        assert_eq!(of(timeline, tid), (spans.to_owned(), waits.to_owned()));
    }

    #[test]
    fn a_thread_runs_sleeps_is_woken_and_preempted() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, false, 1);
        take(
            &mut timeline,
            "1010 1 100 101 on
             1020 1 100 101 left
             1025 0 7 7 woken 101
             1030 1 100 101 on
             1040 1 100 101 preempted
             1045 2 100 101 on",
        );
        timeline.close(1060, |_| None);
        is(&timeline, 101, "1010-1020@1 1030-1040@1 1045-1060@2", "1025+5, 1040+5!");
        assert_eq!((timeline.lanes[0].runs, timeline.lanes[0].moves), (3, 1));
    }

    #[test]
    fn one_that_is_first_told_to_leave_ran_from_the_beginning_on() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, true, 1);
        take(&mut timeline, "1010 0 100 101 left");
        timeline.close(1060, |_| None);
        is(&timeline, 101, "1000-1010@0", "");
    }

    #[test]
    fn one_that_was_ready_and_is_first_told_to_be_put_on_had_waited() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, true, 1);
        take(&mut timeline, "1010 0 100 101 on");
        timeline.close(1060, |_| None);
        is(&timeline, 101, "1010-1060@0", "1001+9!");
    }

    #[test]
    fn one_of_which_nothing_is_told_ran_throughout_or_not_at_all() {
        let mut timeline = timeline();
        for (tid, is_ready) in [(101, true), (102, false), (103, true)] {
            timeline.seen_at_begin(tid, 1001, is_ready, 1);
        }
        timeline.close(1060, |lane| Some(if lane == 0 { 56 } else { 0 }));
        is(&timeline, 101, "1000-1060@1", "");
        is(&timeline, 102, "", "");
        is(&timeline, 103, "", "1001+59!");
    }

    #[test]
    fn what_was_before_the_beginning_is_not_kept() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, true, 1);
        take(&mut timeline, "990 1 100 101 on\n1010 1 100 101 left");
        timeline.seen_at_begin(102, 1001, false, 1);
        take(&mut timeline, "990 0 100 102 on\n995 0 100 102 left\n1020 0 100 102 on");
        timeline.close(1060, |_| None);
        is(&timeline, 101, "1000-1010@1", "");
        is(&timeline, 102, "1020-1060@0", "");
    }

    #[test]
    fn births_ends_and_names_are_kept_and_an_id_is_used_again() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, true, 1);
        take(
            &mut timeline,
            "1010 1 100 101 born 105
             1012 1 100 105 on
             1013 1 100 105 named worker
             1020 1 100 105 ended
             1021 1 100 -1 left
             1030 1 100 101 born 105
             1035 1 100 105 on",
        );
        timeline.close(1060, |_| None);
        let lanes = &timeline.lanes;
        assert_eq!((lanes[1].born, lanes[1].ended, lanes[1].creator), (Some(1010), Some(1020), Some(101)));
        assert_eq!((lanes[1].comm.as_deref(), lanes[1].ran, lanes[1].moves), (Some("worker"), 8, 0));
        assert_eq!((lanes[2].born, lanes[2].ended, lanes[2].is_named), (Some(1030), None, false));
        is(&timeline, 105, "1035-1060@1", "1030+5");
    }

    /// Two events may follow one thread: that of its creator, and one of its own.
    #[test]
    fn what_is_told_twice_counts_once() {
        let mut timeline = timeline();
        timeline.seen_at_begin(105, 1001, false, 1);
        take(
            &mut timeline,
            "1010 1 100 101 born 105
             1010 1 100 101 born 105
             1020 1 100 105 on
             1021 1 100 105 on
             1030 1 100 105 left
             1031 1 100 105 left
             1040 1 100 105 on
             1050 1 100 105 ended
             1051 1 100 105 ended",
        );
        timeline.close(1060, |_| None);
        is(&timeline, 105, "1020-1030@1 1040-1050@1", "1010+10");
        assert_eq!((timeline.lanes.len(), timeline.lanes[0].born), (1, Some(1010)));
    }

    /// It decides to sleep, is woken, and only then leaves the CPU. Or it does not sleep after all.
    #[test]
    fn one_may_be_woken_before_it_sleeps() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, false, 1);
        take(
            &mut timeline,
            "1010 1 100 101 on
             1018 0 7 7 woken 101
             1020 1 100 101 left
             1030 1 100 101 on
             1035 0 7 7 woken 101
             1040 1 100 101 left
             1090 0 7 7 woken 101
             1095 1 100 101 on",
        );
        timeline.close(1100, |_| None);
        is(&timeline, 101, "1010-1020@1 1030-1040@1 1095-1100@1", "1020+10, 1090+5");
    }

    #[test]
    fn who_ran_instead_is_named() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, false, 1);
        take(
            &mut timeline,
            "1001 1 200 200 named hog
             1002 1 300 300 named other
             1010 1 100 101 on
             1020 1 100 101 preempted
             1020 1 300 300 on
             1023 1 300 300 left
             1024 1 200 200 on
             1029 1 200 200 preempted
             1029 1 0 0 on
             1030 1 0 0 left
             1030 1 300 300 on
             1031 1 300 300 left
             1031 1 100 101 on",
        );
        timeline.close(1060, |_| None);
        is(&timeline, 101, "1010-1020@1 1031-1060@1", "1020+11! hog:5 other:4");
        let (_, cpus, others) = timeline.into_cpus();
        let spans = cpus[0].others.iter().map(|other| {
            let Span { from, to, .. } = other.span;
            format!("{} {from}-{to}", others[other.who].comm)
        });
        assert_eq!(spans.collect::<Vec<_>>(), ["other 20-23", "hog 24-29", "other 30-31"]);
    }

    #[test]
    fn of_cpus_that_are_not_the_vms_nothing_is_kept_until_a_thread_comes_there() {
        let mut timeline = timeline();
        take(
            &mut timeline,
            "1010 3 200 200 on
             1020 3 200 200 left
             1020 3 100 101 on
             1030 3 100 101 preempted
             1030 3 200 200 on
             1040 3 200 200 left
             1040 3 100 101 on",
        );
        timeline.close(1060, |_| None);
        is(&timeline, 101, "1020-1030@3 1040-1060@3", "1030+10! :10");
        let (_, cpus, _) = timeline.into_cpus();
        let all: Vec<(u32, usize)> = cpus.iter().map(|lane| (lane.cpu.0, lane.others.len())).collect();
        assert_eq!(all, [(1, 0), (3, 1)]);
    }

    #[test]
    fn an_hour_stays_small_and_its_sums_exact() {
        let mut timeline = timeline();
        timeline.budget = 100;
        let (mut time, mut ran, mut runs) = (BEGIN, 0, 0);
        for round in 0..10_000u64 {
            let cpu = if round % 1000 == 999 { 2 } else { 1 };
            time += 5_000 + round % 7 * 1_000;
            take(&mut timeline, &format!("{time} {cpu} 100 101 on"));
            time += 1_000;
            take(&mut timeline, &format!("{time} {cpu} 100 101 preempted"));
            (ran, runs) = (ran + 1000, runs + 1);
        }
        timeline.close(time, |_| None);
        let lane = &timeline.lanes[0];
        let spans = lane.spans.clone().into_list();
        assert!(spans.len() <= 100 && timeline.resolution() > 0, "{}", spans.len());
        assert_eq!((lane.ran, lane.runs), (ran, runs));
        assert_eq!((spans.iter().map(|s| s.ran).sum(), spans.iter().map(|s| s.runs).sum()), (ran, runs));
        assert_eq!(spans.iter().filter(|span| span.cpu.0 == 2).count(), 10, "each visit is there");
        assert_eq!(lane.waits.clone().finished(0).lengths.len(), runs - 1);
    }

    #[test]
    fn what_is_lost_is_counted_and_invents_nothing() {
        let mut timeline = timeline();
        timeline.seen_at_begin(101, 1001, false, 1);
        take(
            &mut timeline,
            "1010 1 100 101 on
             1015 1 100 101 lost 3
             1030 1 100 101 on
             1040 1 100 101 left
             1050 1 100 101 left
             1055 0 100 106 left",
        );
        timeline.close(1060, |_| None);
        assert_eq!(timeline.lost, 3);
        is(&timeline, 101, "1010-1040@1", "");
    }
}
