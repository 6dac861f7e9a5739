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

/// A recording that goes on.
pub(crate) struct Session<'v, 'k> {
    tap: Tap<'k>,
    timeline: Timeline<'k>,
    identities: Identities,
    looks: Looks<'v, 'k>,
    order: Order,
    begin: u64,
    /// When the rings were read last.
    read_before: u64,
    /// A ring was so full then that the next time should come soon.
    is_full: bool,
}

impl<'v, 'k> Session<'v, 'k> {
    /// Begins to record a VM with the events of a tap. On `cpus` others are kept, too.
    ///
    /// # Errors
    /// The VM has ended.
    pub(crate) fn begin(vm: &'v Vm<'k>, tap: Tap<'k>, cpus: &CpuSet) -> Result<Self, Failure> {
        let (kernel, pid) = (vm.process.kernel, vm.process.pid);
        let begin = kernel.clock();
        let mut timeline =
            Timeline::new(pid, begin, cpus, move |pid, tid| threads::comm(kernel, pid, Tid(tid)));
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
        let order = Order::default();
        Ok(Self { tap, timeline, identities, looks, order, begin, read_before: begin, is_full: false })
    }

    /// Reads what has come since the last time, which should not be longer ago than [`PAUSE`].
    ///
    /// # Errors
    /// The VM has ended. What came so far is kept.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        let Self { tap, timeline, identities, looks, order, .. } = self;
        let process = looks.vm.process;
        let read = process.kernel.clock();
        let mut has_new = false;
        self.is_full = tap.take(|record| {
            has_new |= matches!(record.what, What::Born { pid, .. } if pid == process.pid);
            order.add(record);
        });
        if has_new || read >= looks.next {
            looks.look(identities)?;
        }
        order.release(self.read_before, |record| timeline.take(record));
        looks.give(self.read_before, timeline, identities);
        self.read_before = read;
        Ok(())
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Recorded<'k> {
        let Self { mut tap, mut timeline, mut identities, mut looks, mut order, begin, .. } = self;
        let kernel = looks.vm.process.kernel;
        let end = kernel.clock();
        // Whether or not the VM is still there.
        let _ = looks.look(&mut identities);
        kernel.sleep(LAST_PAUSE);
        tap.take(|record| order.add(record));
        order.release(end, |record| timeline.take(record));
        looks.give(u64::MAX, &mut timeline, &mut identities);
        timeline.lost += order.late();
        timeline.close(end, |lane| identities.ran(lane));
        Recorded { timeline, identities, begin, end }
    }
}

/// Records a VM with the events of a tap. On `cpus` others are kept, too.
///
/// # Errors
/// The VM has ended before the recording has begun.
pub(crate) fn record<'k>(
    vm: &Vm<'k>,
    tap: Tap<'k>,
    cpus: &CpuSet,
    progress: &mut Progress<'_>,
) -> Result<Recorded<'k>, Failure> {
    let kernel = vm.process.kernel;
    let mut session = Session::begin(vm, tap, cpus)?;
    let mut pause = PAUSE;
    while !progress.is_over(kernel.now()) {
        kernel.sleep(pause.min(progress.left(kernel.now())));
        if session.step().is_err() {
            break;
        }
        pause = if session.is_full { (pause / 2).max(SHORT_PAUSE) } else { (pause * 2).min(PAUSE) };
        progress.tell(kernel.now(), session.timeline.lanes.len());
    }
    Ok(session.finish())
}

/// A record is written some microseconds after the moment that it tells of, or on a busy host somewhat later.
const LAST_PAUSE: Duration = Duration::from_millis(10);
