//! The events of a recording: which there are, and what has come of them.

use crate::record::records::{Record, Records};
use crate::record::refused;
use crate::record::wakings::Wakings;
use crate::sys::kernel::Kernel;
use crate::sys::perf_event::{Event, Ring, What, Whom};
use crate::sys::process::Process;
use crate::sys::threads;
use pinning::{CpuId, CpuSet, Tid};
use std::collections::HashSet;
use std::fs::File;
use std::io;

/// The largest ring of a CPU, in pages. An ordinary user has room for half of it (proc_sys_kernel(5), `perf_event_mlock_kb`:
/// 516 KiB), and gets that.
const PAGES: usize = 256;

/// The smallest one.
const FEWEST_PAGES: usize = 8;

/// A ring is nearly full where more than one part in so many is.
const PARTS: usize = 4;

/// What is recorded, by the kernel.
pub(crate) struct Tap<'k> {
    kernel: &'k dyn Kernel,
    /// For each CPU its ring, and the event that has it.
    rings: Vec<(Box<dyn Ring>, File)>,
    /// The size of the last ring.
    pages: usize,
    /// The events that write into another one's ring. They end when they are closed.
    events: Vec<File>,
    /// Whether it is everybody who is recorded; if not, why.
    pub(crate) others: Result<(), String>,
    /// Whether wakings are recorded; if not, why.
    pub(crate) wakings: Result<(), String>,
    /// Where the woken thread's id stands in a record of a waking.
    woken_at: usize,
    bytes: Vec<u8>,
}

impl<'k> Tap<'k> {
    /// Records a process, and everybody else where that is permitted.
    ///
    /// # Errors
    /// Why that cannot be, in a sentence.
    pub(crate) fn open(process: Process<'k>, cpus: &CpuSet) -> Result<Self, String> {
        let kernel = process.kernel;
        let open_files = kernel.raise_open_files().ok();
        let cpus: Vec<CpuId> = cpus.iter().collect();
        Self::of_everybody(kernel, &cpus).or_else(|error| {
            let others = refused::everybody(kernel, &error);
            let tap = Self::of_threads(process, &cpus, others);
            tap.map_err(|error| refused::threads(process, &error, open_files))
        })
    }

    fn of_everybody(kernel: &'k dyn Kernel, cpus: &[CpuId]) -> io::Result<Self> {
        let mut tap = Self::new(kernel, Ok(()));
        for &cpu in cpus {
            tap.add_ring(Event { what: What::Switches, whom: Whom::Everybody, cpu })?;
        }
        tap.wakings = tap.add_wakings(cpus);
        Ok(tap)
    }

    fn of_threads(process: Process<'k>, cpus: &[CpuId], others: String) -> io::Result<Self> {
        let mut tap = Self::new(process.kernel, Err(others));
        for &cpu in cpus {
            tap.add_ring(Event { what: What::Switches, whom: Whom::Thread(process.main_thread()), cpu })?;
        }
        let mut known = HashSet::from([process.main_thread()]);
        // What a thread creates once its events are open is recorded too: with nothing new, all are.
        loop {
            let all = threads::ids(process)?;
            let new: Vec<Tid> = all.into_iter().filter(|tid| known.insert(*tid)).collect();
            if new.is_empty() {
                return Ok(tap);
            }
            for tid in new {
                match tap.add_thread(tid, cpus) {
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    added => added?,
                }
            }
        }
    }

    fn new(kernel: &'k dyn Kernel, others: Result<(), String>) -> Self {
        Self {
            kernel,
            rings: Vec::new(),
            pages: PAGES,
            events: Vec::new(),
            wakings: others.clone(),
            others,
            woken_at: 0,
            bytes: Vec::new(),
        }
    }

    /// Opens an event that has a ring, as large a one as this user may have.
    fn add_ring(&mut self, event: Event) -> io::Result<()> {
        let file = self.kernel.open_event(event)?;
        loop {
            match self.kernel.map_ring(&file, self.pages) {
                Ok(ring) => {
                    self.rings.push((ring, file));
                    return Ok(());
                }
                Err(_) if self.pages > FEWEST_PAGES => self.pages /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the events of a further thread.
    fn add_thread(&mut self, tid: Tid, cpus: &[CpuId]) -> io::Result<()> {
        for (&cpu, (_, ring)) in cpus.iter().zip(&self.rings) {
            let event =
                self.kernel.open_event(Event { what: What::Switches, whom: Whom::Thread(tid), cpu })?;
            self.kernel.share_ring(&event, ring)?;
            self.events.push(event);
        }
        Ok(())
    }

    /// Opens the events of wakings.
    fn add_wakings(&mut self, cpus: &[CpuId]) -> Result<(), String> {
        let wakings = Wakings::find(self.kernel)?;
        for (&cpu, (_, ring)) in cpus.iter().zip(&self.rings) {
            let event = Event { what: What::Tracepoint(wakings.id), whom: Whom::Everybody, cpu };
            let opened = self.kernel.open_event(event);
            let event =
                opened.map_err(|error| format!("the tracepoint sched_waking cannot be used: {error}"))?;
            let shared = self.kernel.share_ring(&event, ring);
            shared.map_err(|error| format!("the tracepoint sched_waking cannot be used: {error}"))?;
            self.events.push(event);
        }
        self.woken_at = wakings.woken_at;
        Ok(())
    }

    /// Gives each record that has come since. The answer is whether a ring was so full that the next time should come soon.
    pub(crate) fn take(&mut self, mut give: impl FnMut(Record)) -> bool {
        let mut is_full = false;
        for (ring, _) in &mut self.rings {
            self.bytes.clear();
            ring.take(&mut self.bytes);
            is_full |= self.bytes.len() > ring.size() / PARTS;
            Records::new(&self.bytes, self.woken_at).for_each(&mut give);
        }
        is_full
    }
}
