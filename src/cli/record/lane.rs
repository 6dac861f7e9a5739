//! One thread, from record to record: whether it runs, waits for a CPU or sleeps.

use crate::record::recording::Span;
use crate::record::sample::Sample;
use crate::record::spans::{Spans, run};
use crate::record::wait_list::{WaitList, Waited};
use pinning::CpuId;

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No record has told yet. Since `ready`, if at all, it was seen to be ready to run: it ran, or waited.
    Unknown { ready: Option<u64> },
    /// It runs.
    Running { since: u64, cpu: u32 },
    /// It was preempted, and waits for a CPU.
    Preempted { since: u64 },
    /// It sleeps. Or it was woken, and when is not known.
    Asleep,
    /// It was woken, or created, and waits for a CPU.
    Ready { since: u64 },
    /// It has ended.
    Ended,
}

/// A waker can be faster than the sleeper: between a thread's decision to sleep and the moment in which it leaves the CPU it
/// can be woken. This long before the latter a waking may be meant for it.
const EARLY: u64 = 100_000;

/// The same switch is told twice about a thread that two events follow: no later than this.
const TWICE: u64 = 20_000;

/// A thread.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) tid: i32,
    /// Who has created it; `None`: it was there before.
    pub(crate) creator: Option<i32>,
    pub(crate) born: Option<u64>,
    pub(crate) ended: Option<u64>,
    pub(crate) comm: Option<String>,
    /// Whether it was given its comm; otherwise it has its creator's.
    pub(crate) is_named: bool,
    state: State,
    /// When it was woken last while it still ran.
    woken_early: Option<u64>,
    /// Where it ran last.
    last_cpu: Option<u32>,
    /// A record was about it.
    is_told: bool,
    pub(crate) spans: Spans,
    pub(crate) ran: u64,
    pub(crate) runs: u64,
    pub(crate) moves: u64,
    pub(crate) waits: WaitList,
}

/// The beginning of the recording, and how fine it is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Nothing before it is kept.
    pub(crate) begin: u64,
    /// See [`Spans::add`].
    pub(crate) resolution: u64,
}

impl Lane {
    /// A thread that is there when somebody looks, at this moment.
    pub(crate) fn seen(tid: i32, time: u64, is_ready: bool, last_cpu: u32) -> Self {
        Self {
            last_cpu: Some(last_cpu),
            ..Self::new(tid, State::Unknown { ready: is_ready.then_some(time) })
        }
    }

    /// A thread of which the birth was not told: what it did before is lost.
    pub(crate) fn told(tid: i32) -> Self {
        Self::new(tid, State::Asleep)
    }

    /// A thread that the last of two samples has and the one before has not.
    pub(crate) fn appeared(tid: i32, time: u64) -> Self {
        Self { born: Some(time), ..Self::told(tid) }
    }

    /// A thread that is created, with its creator's comm.
    pub(crate) fn born(tid: i32, creator: i32, comm: Option<String>, time: u64) -> Self {
        Self {
            comm,
            creator: Some(creator),
            born: Some(time),
            ..Self::new(tid, State::Ready { since: time })
        }
    }

    fn new(tid: i32, state: State) -> Self {
        Self {
            tid,
            creator: None,
            born: None,
            ended: None,
            comm: None,
            is_named: false,
            state,
            woken_early: None,
            last_cpu: None,
            is_told: false,
            spans: Spans::default(),
            ran: 0,
            runs: 0,
            moves: 0,
            waits: WaitList::default(),
        }
    }

    /// Whether it was there at a moment.
    pub(crate) fn was_there(&self, time: u64) -> bool {
        self.born.is_none_or(|born| born <= time) && self.ended.is_none_or(|ended| ended >= time)
    }

    /// Whether this birth is its own: it was told of twice, or a look has seen the thread before the record came.
    pub(crate) fn is_birth(&self, time: u64) -> bool {
        match self.born {
            Some(born) => time.saturating_sub(born) <= TWICE,
            None => !self.is_told,
        }
    }

    /// It was born, although it was seen before that was told.
    pub(crate) fn set_born(&mut self, creator: i32, time: u64) {
        if self.born.is_none() {
            self.creator = Some(creator);
            self.born = Some(time);
            self.state = State::Ready { since: time };
            self.last_cpu = None;
        }
    }

    /// It is put on a CPU. The answer is the wait that ends, and whether its run has become a span of its own.
    pub(crate) fn on(&mut self, time: u64, cpu: u32, frame: Frame) -> (Option<Waited>, bool) {
        self.is_told = true;
        let mut is_span = false;
        let wait = match self.state {
            State::Running { cpu: same, .. } if same == cpu => return (None, false),
            // That it has left the other one is lost.
            State::Running { since, cpu } => {
                is_span = self.run(since, time, cpu, frame);
                None
            }
            State::Unknown { ready: Some(from) } if from < time => Some((from, true)),
            State::Preempted { since } => Some((since, true)),
            State::Ready { since } => Some((since, false)),
            State::Unknown { .. } | State::Asleep => None,
            State::Ended => return (None, false),
        };
        self.state = State::Running { since: time, cpu };
        self.woken_early = None;
        self.note_move(time, cpu, frame);
        let wait = wait.map(|(from, preempted)| Waited { from: from.max(frame.begin), to: time, preempted });
        (wait.filter(|wait| wait.from < wait.to), is_span)
    }

    /// It leaves the CPU. The answer is since when it ran, and whether its run has become a span of its own; `None`: that it
    /// ran is not known.
    pub(crate) fn left(&mut self, time: u64, cpu: u32, preempted: bool, frame: Frame) -> Option<(u64, bool)> {
        self.is_told = true;
        let (from, cpu) = match self.state {
            State::Running { since, cpu } => (since.max(frame.begin), cpu),
            // It ran from the beginning on.
            State::Unknown { .. } => (frame.begin, cpu),
            // Told twice; or that it was put on is lost.
            State::Preempted { .. } | State::Asleep | State::Ready { .. } | State::Ended => return None,
        };
        let woken = self.woken_early.take().filter(|woken| time.saturating_sub(*woken) <= EARLY);
        self.state = match woken {
            _ if preempted => State::Preempted { since: time },
            Some(_) => State::Ready { since: time },
            None => State::Asleep,
        };
        self.last_cpu = Some(cpu);
        Some((from, self.run(from, time, cpu, frame)))
    }

    /// It ran between two samples. True: that became a span of its own.
    pub(crate) fn sampled(&mut self, sample: Sample, frame: Frame) -> bool {
        let Sample { from, to, cpu, ran, runs } = sample;
        self.moves += u64::from(self.last_cpu.is_some_and(|last| last != cpu));
        self.last_cpu = Some(cpu);
        self.ran += ran;
        self.runs += runs;
        self.spans.add(Span { from, to, ran, runs, cpu: CpuId(cpu), off: false }, frame.resolution)
    }

    /// Somebody wakes it. A later waking shows that it was still asleep after an earlier one.
    pub(crate) fn woken(&mut self, time: u64) {
        match self.state {
            State::Running { .. } => self.woken_early = Some(time),
            State::Asleep | State::Ready { .. } | State::Unknown { .. } => {
                self.state = State::Ready { since: time };
            }
            State::Preempted { .. } | State::Ended => {}
        }
    }

    /// It ends. True: its run has become a span of its own.
    pub(crate) fn end(&mut self, time: u64, frame: Frame) -> bool {
        let is_span = match self.state {
            State::Running { since, cpu } => self.run(since, time, cpu, frame),
            _ => false,
        };
        self.state = State::Ended;
        self.ended = Some(time);
        is_span
    }

    /// The recording ends. The answer is a wait that still goes on. `ran` is how long it ran by the kernel's count, for a
    /// thread of which no record has told.
    pub(crate) fn close(&mut self, time: u64, ran: Option<u64>, frame: Frame) -> Option<Waited> {
        let wait = match self.state {
            State::Running { since, cpu } => {
                self.run(since, time, cpu, frame);
                None
            }
            State::Preempted { since } => Some((since, true)),
            State::Ready { since } => Some((since, false)),
            State::Unknown { ready } => {
                let length = time.saturating_sub(frame.begin);
                let ran_throughout = ran.is_some_and(|ran| ran > length / 2);
                match (self.last_cpu, ready) {
                    (Some(cpu), _) if ran_throughout => {
                        self.run(frame.begin, time, cpu, frame);
                        None
                    }
                    (_, Some(ready)) => Some((ready, true)),
                    _ => None,
                }
            }
            State::Asleep | State::Ended => None,
        };
        let wait = wait.map(|(from, preempted)| Waited { from: from.max(frame.begin), to: time, preempted });
        wait.filter(|wait| wait.from < wait.to)
    }

    /// Where it ran last.
    pub(crate) fn last_cpu(&self) -> u32 {
        self.last_cpu.unwrap_or(0)
    }

    fn note_move(&mut self, time: u64, cpu: u32, frame: Frame) {
        let has_moved = time >= frame.begin && self.last_cpu.is_some_and(|last| last != cpu);
        self.moves += u64::from(has_moved);
        self.last_cpu = Some(cpu);
    }

    fn run(&mut self, from: u64, to: u64, cpu: u32, frame: Frame) -> bool {
        let from = from.max(frame.begin);
        if to <= from {
            return false;
        }
        self.ran += to - from;
        self.runs += 1;
        self.spans.add(run(from, to, cpu), frame.resolution)
    }
}
