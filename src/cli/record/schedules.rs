//! Random schedules of threads, as records split over rings: what comes out is what went in.

use crate::record::encoded::{WOKEN_AT, encoded};
use crate::record::order::Order;
use crate::record::records::{Record, Records, What};
use crate::record::timeline::Timeline;
use crate::sys::fake::cpus;
use proptest::prelude::*;

const PID: i32 = 100;
const BEGIN: u64 = 1_000_000;
const CPUS: u32 = 3;
const THREADS: usize = 5;

/// What the schedule says of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Truth {
    born: Option<u64>,
    ended: Option<u64>,
    spans: Vec<(u64, u64, u32)>,
    waits: Vec<(u64, u64, bool)>,
}

/// What a thread does in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    NotBorn,
    Asleep,
    Ready { since: u64, preempted: bool },
    Running { since: u64, cpu: u32 },
    Ended,
}

/// Plays steps: of a thread, with a number that chooses what it does next. Thread 0 is there from the beginning on.
fn play(steps: &[(usize, u32, u64)]) -> (Vec<Record>, Vec<Truth>, u64) {
    let mut doing = [Doing::NotBorn; THREADS];
    doing[0] = Doing::Asleep;
    let mut truth = vec![Truth::default(); THREADS];
    let mut records = Vec::new();
    let mut on: [Option<usize>; CPUS as usize] = [None; CPUS as usize];
    let mut time = BEGIN;
    let tid = |thread: usize| 101 + thread as i32;
    for &(thread, choice, pause) in steps {
        time += 1 + pause;
        let record = |cpu: u32, tid: i32, what: What| Record { time, cpu, pid: PID, tid, what };
        let free = (0..CPUS).map(|more| (choice + more) % CPUS).find(|cpu| on[*cpu as usize].is_none());
        match (doing[thread], choice % 4) {
            (Doing::NotBorn, _) => {
                records.push(record(choice % CPUS, 101, What::Born { pid: PID, tid: tid(thread) }));
                truth[thread].born = Some(time);
                doing[thread] = Doing::Ready { since: time, preempted: false };
            }
            (Doing::Asleep, _) => {
                records.push(record(choice % CPUS, 7, What::Woken { tid: tid(thread) }));
                doing[thread] = Doing::Ready { since: time, preempted: false };
            }
            (Doing::Ready { since, preempted }, _) => {
                let Some(cpu) = free else { continue };
                records.push(record(cpu, tid(thread), What::On));
                truth[thread].waits.push((since, time - since, preempted));
                on[cpu as usize] = Some(thread);
                doing[thread] = Doing::Running { since: time, cpu };
            }
            (Doing::Running { since, cpu }, ends) => {
                truth[thread].spans.push((since, time, cpu));
                on[cpu as usize] = None;
                let (what, next) = match ends {
                    0 if thread > 0 => (What::Ended { tid: tid(thread) }, Doing::Ended),
                    1 => (What::Left { preempted: true }, Doing::Ready { since: time, preempted: true }),
                    _ => (What::Left { preempted: false }, Doing::Asleep),
                };
                truth[thread].ended = (next == Doing::Ended).then_some(time);
                records.push(record(cpu, tid(thread), what));
                doing[thread] = next;
            }
            (Doing::Ended, _) => {}
        }
    }
    let end = time + 10;
    for (thread, doing) in doing.into_iter().enumerate() {
        match doing {
            Doing::Running { since, cpu } => truth[thread].spans.push((since, end, cpu)),
            Doing::Ready { since, preempted } => truth[thread].waits.push((since, end - since, preempted)),
            _ => {}
        }
    }
    (records, truth, end)
}

/// What became of a thread.
fn recorded(timeline: &Timeline<'_>, tid: i32) -> Truth {
    let Some(lane) = timeline.lanes.iter().find(|lane| lane.tid == tid) else { return Truth::default() };
    let spans = lane.spans.clone().into_list();
    let mut waits = lane.waits.clone().finished(0).longest;
    waits.sort_by_key(|wait| wait.from);
    Truth {
        born: lane.born,
        ended: lane.ended,
        spans: spans.iter().map(|span| (span.from, span.to, span.cpu.0)).collect(),
        waits: waits.iter().map(|wait| (wait.from, wait.length, wait.preempted)).collect(),
    }
}

proptest! {
    #[test]
    fn a_schedule_comes_out_of_its_records_as_it_was(
        steps in prop::collection::vec((0..THREADS, 0u32..12, 0u64..5000), 0..150),
        reads in prop::collection::vec(0usize..150, 0..6),
        twice in any::<bool>(),
    ) {
        let (records, truth, end) = play(&steps);
        let mut rings = vec![Vec::new(); CPUS as usize];
        let mut timeline = Timeline::new(PID, BEGIN, &cpus("1"), |_, _| None);
        timeline.seen_at_begin(101, BEGIN + 1, false, 0);
        let (mut order, mut before) = (Order::default(), 0);
        let mut read = |rings: &mut Vec<Vec<u8>>, now: u64, timeline: &mut Timeline<'_>| {
            for ring in rings.iter_mut() {
                Records::new(ring, WOKEN_AT).for_each(|record| order.add(record));
                ring.clear();
            }
            order.release(before, |record| timeline.take(record));
            before = now;
        };
        for (at, record) in records.iter().enumerate() {
            let bytes = encoded(record);
            rings[record.cpu as usize].extend(&bytes);
            if twice && !matches!(record.what, What::Woken { .. }) {
                rings[record.cpu as usize].extend(&bytes);
            }
            if reads.contains(&at) {
                read(&mut rings, record.time, &mut timeline);
            }
        }
        read(&mut rings, u64::MAX, &mut timeline);
        read(&mut rings, u64::MAX, &mut timeline);
        timeline.close(end, |_| None);
        prop_assert_eq!(order.late(), 0);
        for (thread, truth) in truth.into_iter().enumerate() {
            prop_assert_eq!(recorded(&timeline, 101 + thread as i32), truth, "thread {}", thread);
        }
    }
}
