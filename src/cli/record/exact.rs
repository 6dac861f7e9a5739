//! Recording by the kernel's records of every switch.

use crate::output::failure::Failure;
use crate::record::identities::Identities;
use crate::record::order::Order;
use crate::record::progress::Progress;
use crate::record::records::What;
use crate::record::tap::Tap;
use crate::record::timeline::Timeline;
use crate::sys::threads;
use crate::vm::expected::VmThread;
use crate::vm::look::{Ask, Vm};
use pinning::{CpuSet, Tid};
use std::collections::VecDeque;
use std::time::Duration;

/// The longest time between two readings of the rings.
const PAUSE: Duration = Duration::from_millis(100);

/// The shortest.
const SHORT_PAUSE: Duration = Duration::from_millis(5);

/// The time between two looks at the VM, for who its threads are. Another one follows the birth of a thread at once.
const BETWEEN_LOOKS: u64 = 500_000_000;

/// What was recorded.
pub(crate) struct Recorded<'k> {
    pub(crate) timeline: Timeline<'k>,
    pub(crate) identities: Identities,
    /// By the clock of the records.
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// Looks at a VM while it is recorded.
struct Looks<'v, 'k> {
    vm: &'v Vm<'k>,
    /// Looks whose moment the records have not reached yet.
    open: VecDeque<(u64, Vec<VmThread>)>,
    next: u64,
}

impl Looks<'_, '_> {
    /// Looks, and keeps what was seen.
    fn look(&mut self, identities: &mut Identities) -> Result<(), Failure> {
        let time = self.vm.process.kernel.clock();
        let look = self.vm.look(&Ask::default())?;
        identities.read(look.content.ok().map(|content| content.policy));
        self.open.push_back((time, look.threads));
        self.next = time + BETWEEN_LOOKS;
        Ok(())
    }

    /// Gives the looks that the records have reached.
    fn give(&mut self, until: u64, timeline: &mut Timeline<'_>, identities: &mut Identities) {
        while self.open.front().is_some_and(|(time, _)| *time < until) {
            let Some((time, threads)) = self.open.pop_front() else { return };
            for thread in threads {
                if let Some(lane) = timeline.lane_at(thread.thread.tid.0, time) {
                    identities.seen(lane, thread);
                }
            }
        }
    }
}

/// Records a VM with the events of a tap. On `cpus` others are kept, too.
///
/// # Errors
/// The VM has ended before the recording has begun.
pub(crate) fn record<'k>(
    vm: &Vm<'k>,
    tap: &mut Tap<'k>,
    cpus: &CpuSet,
    progress: &mut Progress<'_>,
) -> Result<Recorded<'k>, Failure> {
    let kernel = vm.process.kernel;
    let begin = kernel.clock();
    let process = vm.process;
    let mut timeline =
        Timeline::new(process.pid, begin, cpus, move |pid, tid| threads::comm(kernel, pid, Tid(tid)));
    let mut identities = Identities::default();
    let mut looks = Looks { vm, open: VecDeque::new(), next: 0 };
    looks.look(&mut identities)?;
    for (time, threads) in looks.open.drain(..) {
        for thread in threads {
            let (tid, last_cpu) = (thread.thread.tid.0, thread.thread.last_cpu.0);
            let lane = timeline.seen_at_begin(tid, time, thread.thread.runs, last_cpu);
            identities.seen(lane, thread);
        }
    }
    let mut order = Order::default();
    let (mut pause, mut read_before) = (PAUSE, begin);
    loop {
        kernel.sleep(pause.min(progress.left(kernel.now())));
        let read = kernel.clock();
        let mut has_new = false;
        let is_full = tap.take(|record| {
            has_new |= matches!(record.what, What::Born { pid, .. } if pid == process.pid);
            order.add(record);
        });
        pause = if is_full { (pause / 2).max(SHORT_PAUSE) } else { (pause * 2).min(PAUSE) };
        let is_over = progress.is_over(kernel.now());
        if !is_over && (has_new || read >= looks.next) && looks.look(&mut identities).is_err() {
            // It ends, and what came so far is kept.
            break;
        }
        if is_over {
            break;
        }
        order.release(read_before, |record| timeline.take(record));
        looks.give(read_before, &mut timeline, &mut identities);
        read_before = read;
        progress.tell(kernel.now(), timeline.lanes.len());
    }
    let end = kernel.clock();
    // Whether or not the VM is still there.
    let _ = looks.look(&mut identities);
    kernel.sleep(LAST_PAUSE);
    tap.take(|record| order.add(record));
    order.release(end, |record| timeline.take(record));
    looks.give(u64::MAX, &mut timeline, &mut identities);
    timeline.lost += order.late();
    timeline.close(end, |lane| identities.ran(lane));
    Ok(Recorded { timeline, identities, begin, end })
}

/// A record is written some microseconds after the moment that it tells of, or on a busy host somewhat later.
const LAST_PAUSE: Duration = Duration::from_millis(10);
