//! Recording by looking at /proc again and again, where the kernel does not record: what happened between two looks is lost.

use crate::output::failure::Failure;
use crate::record::exact::Recorded;
use crate::record::identities::Identities;
use crate::record::progress::Progress;
use crate::record::recording::nanoseconds;
use crate::record::sample::Sample;
use crate::record::timeline::{LaneId, Timeline};
use crate::sys::threads::{Thread, ThreadKey};
use crate::vm::expected::VmThread;
use crate::vm::look::{Ask, Vm};
use pinning::CpuSet;
use std::collections::HashMap;
use std::time::Duration;

/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A look at many threads takes long. The pauses take this many times as long, so that the looks cost little.
const TIMES_A_LOOK: u32 = 20;

/// Records a VM. The answer has the time from one look to the next too, on average.
///
/// # Errors
/// The VM has ended before the recording has begun.
pub(crate) fn record<'k>(
    vm: &Vm<'k>,
    cpus: &CpuSet,
    progress: &mut Progress<'_>,
) -> Result<(Recorded<'k>, Duration), Failure> {
    let kernel = vm.process.kernel;
    let begin = kernel.clock();
    let timeline = Timeline::new(vm.process.pid, begin, cpus, |_, _| None);
    let mut samples =
        Samples { timeline, identities: Identities::default(), before: HashMap::new(), time: begin };
    let look = vm.look(&Ask::default())?;
    samples.identities.read(look.content.ok().map(|content| content.policy));
    samples.take(begin, look.threads);
    let mut looks = 0;
    while !progress.is_over(kernel.now()) {
        let looked = kernel.now();
        let time = kernel.clock();
        // Where it has ended, what came so far is kept.
        let Ok(look) = vm.look(&Ask::default()) else { break };
        samples.identities.read(look.content.ok().map(|content| content.policy));
        samples.take(time, look.threads);
        looks += 1;
        progress.tell(kernel.now(), samples.timeline.lanes.len());
        let took = kernel.now().saturating_sub(looked);
        kernel.sleep(PAUSE.max(took * TIMES_A_LOOK).min(progress.left(kernel.now())));
    }
    let end = kernel.clock();
    let Samples { mut timeline, identities, .. } = samples;
    timeline.close(end, |_| None);
    let every = Duration::from_nanos(end - begin) / looks.max(1);
    Ok((Recorded { timeline, identities, begin, end }, every))
}

/// What the looks have shown so far.
struct Samples<'k> {
    timeline: Timeline<'k>,
    identities: Identities,
    /// The threads of the last look, and its time.
    before: HashMap<ThreadKey, Before>,
    time: u64,
}

/// What the last look has shown of a thread.
#[derive(Debug, Clone, Copy)]
struct Before {
    lane: LaneId,
    ran: Duration,
    runs: u64,
}

impl Samples<'_> {
    fn take(&mut self, time: u64, threads: Vec<VmThread>) {
        let is_first = self.before.is_empty();
        let mut now = HashMap::new();
        for vm_thread in threads {
            let thread = &vm_thread.thread;
            let (ran, runs) = sums(thread);
            let before = self.before.remove(&thread.key());
            let lane = match before {
                Some(before) => before.lane,
                None if is_first => self.timeline.seen_at_begin(thread.tid.0, time, false, thread.last_cpu.0),
                None => self.timeline.appeared(thread.tid.0, time),
            };
            let before_or_new =
                before.unwrap_or(Before { lane, ran: if is_first { ran } else { Duration::ZERO }, runs });
            let ran_since = ran.saturating_sub(before_or_new.ran);
            if !ran_since.is_zero() {
                let ran = nanoseconds(ran_since);
                let runs = runs.saturating_sub(before_or_new.runs).max(1);
                let sample = Sample { from: self.time, to: time, cpu: thread.last_cpu.0, ran, runs };
                self.timeline.sampled(lane, sample);
            }
            now.insert(thread.key(), Before { lane, ran, runs });
            self.identities.seen(lane, vm_thread);
        }
        for gone in self.before.values() {
            self.timeline.disappeared(gone.lane, time);
        }
        self.before = now;
        self.time = time;
    }
}

/// How long a thread has run, and how often it was put on a CPU.
fn sums(thread: &Thread) -> (Duration, u64) {
    match thread.schedstat {
        Some(stat) => (stat.ran, stat.runs),
        None => (thread.cpu_time, thread.switches),
    }
}
