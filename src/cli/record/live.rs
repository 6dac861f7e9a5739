//! Recording a VM's waits for a CPU beside other work, where the kernel records.

use crate::record::exact::Session;
use crate::record::recorder::cpus_of;
use crate::record::recording::Waits;
use crate::record::tap::Tap;
use crate::vm::expected::VmThread;
use crate::vm::look::Vm;

/// A recording that goes on for as long as it is stepped.
pub(crate) struct Live<'v, 'k> {
    session: Session<'v, 'k>,
    /// Whether the kernel tells when a sleeping thread is woken, so that every wait is known.
    knows_wakings: bool,
}

/// What was recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// Whether every wait is known, and none of the kernel's records was lost; else only those of threads that were preempted.
    pub(crate) is_complete: bool,
    /// Each thread that a look has seen, and its waits.
    pub(crate) threads: Vec<(VmThread, Waits)>,
}

impl<'v, 'k> Live<'v, 'k> {
    /// Begins to record a VM. `None` where the kernel does not.
    pub(crate) fn begin(vm: &'v Vm<'k>) -> Option<Self> {
        let (online, cpus) = cpus_of(vm);
        let tap = Tap::open(vm.process, &online).ok()?;
        let knows_wakings = tap.wakings.is_ok();
        Some(Self { session: Session::begin(vm, tap, &cpus).ok()?, knows_wakings })
    }

    /// Reads what came since the last time.
    pub(crate) fn step(&mut self) {
        // Whoever looks at the VM beside it notices its end.
        let _ = self.session.step();
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Recorded {
        let recorded = self.session.finish();
        let is_complete = self.knows_wakings && recorded.timeline.lost == 0;
        let lanes = recorded.timeline.into_cpus().0.into_iter().enumerate();
        let waits = |(id, lane): (usize, crate::record::lane::Lane)| {
            let thread = recorded.identities.of(id)?.thread.clone();
            Some((thread, lane.waits.finished(recorded.begin)))
        };
        Recorded { is_complete, threads: lanes.filter_map(waits).collect() }
    }
}
