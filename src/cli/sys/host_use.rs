//! Who used this host's CPUs between two moments: for how long each thread ran, whoever's it is, and how many interrupts each
//! CPU took.

use crate::sys::interrupts::Interrupts;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::schedstat::Schedstat;
use crate::sys::threads;
use pinning::{CpuId, Tid};
use std::collections::HashMap;
use std::time::Duration;

/// So many threads are looked at. A host with more of them goes on without the rest.
const THREADS: usize = 32_768;

/// What was counted up to one moment.
#[derive(Debug)]
pub(crate) struct HostUse {
    /// When that was, by the kernel's clock.
    pub(crate) at: Duration,
    /// For how long each thread has run, by the ids of its process and of itself.
    ran: HashMap<(i32, Tid), Duration>,
    hard: Interrupts,
    soft: Interrupts,
}

/// What has come on top between two moments.
#[derive(Debug)]
pub(crate) struct Grown {
    /// The time between them.
    pub(crate) window: Duration,
    /// The threads that ran meanwhile, those that ran longest first.
    pub(crate) threads: Vec<Ran>,
    before: HostUse,
    hard: Interrupts,
    soft: Interrupts,
}

/// A thread that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) pid: i32,
    pub(crate) tid: Tid,
    /// Its comm, which its process chooses.
    pub(crate) comm: Vec<u8>,
    /// Where it ran last.
    pub(crate) cpu: CpuId,
    /// For how long it ran, on whichever CPU.
    pub(crate) time: Duration,
}

impl HostUse {
    /// What was counted up to now.
    pub(crate) fn read(kernel: &dyn Kernel) -> Self {
        let at = kernel.now();
        let mut ran = HashMap::new();
        for process in Process::all(kernel).unwrap_or_default() {
            let Ok(tids) = kernel.names_in(&process.file("task")) else { continue };
            for tid in tids.filter_map(|name| Some(Tid(name.to_str()?.parse().ok()?))) {
                let text = kernel.read_text(process.file(&format!("task/{tid}/schedstat")));
                let stat = text.ok().and_then(|text| Schedstat::parse(&text, false));
                ran.extend(stat.map(|stat| ((process.pid, tid), stat.ran)));
            }
            if ran.len() > THREADS {
                break;
            }
        }
        Self { at, ran, hard: Interrupts::hard(kernel), soft: Interrupts::soft(kernel) }
    }

    /// What has come on top since an earlier moment. This is read in this moment: the threads' names, and where they ran last.
    pub(crate) fn since(&self, before: HostUse, kernel: &dyn Kernel) -> Grown {
        let grown = self.ran.iter().filter_map(|(&(pid, tid), now)| {
            // One with less than before is a later thread of the same id.
            let earlier = before.ran.get(&(pid, tid)).filter(|earlier| *earlier <= now);
            let time = now.saturating_sub(earlier.copied().unwrap_or_default());
            if time.is_zero() {
                return None;
            }
            let (comm, cpu) = threads::last_run(Process { kernel, pid }, tid)?;
            Some(Ran { pid, tid, comm, cpu, time })
        });
        let mut threads: Vec<Ran> = grown.collect();
        threads.sort_by_key(|ran| (std::cmp::Reverse(ran.time), ran.tid));
        Grown {
            window: self.at.saturating_sub(before.at),
            threads,
            before,
            hard: self.hard.clone(),
            soft: self.soft.clone(),
        }
    }
}

impl Grown {
    /// The interrupts that a CPU took, the most frequent first.
    pub(crate) fn hard(&self, cpu: CpuId) -> Vec<(String, u64)> {
        self.hard.since(&self.before.hard, cpu)
    }

    /// The same for the kernel's deferred work.
    pub(crate) fn soft(&self, cpu: CpuId) -> Vec<(String, u64)> {
        self.soft.since(&self.before.soft, cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, ms};

    #[test]
    fn those_that_ran_meanwhile_are_named_with_their_cpu() {
        let kernel = FakeKernel::new();
        kernel.process(50, &["/bin/hog"]).thread(50, "hog", "1").thread(51, "hog 2", "2");
        kernel.process(60, &["/bin/idle"]).thread(60, "idle", "1");
        let runs = |tid, ns| kernel.change(tid, |thread| thread.schedstat = Some((ns, 0, 1)));
        [50, 51, 60].into_iter().for_each(|tid| runs(tid, 1_000_000));
        let before = HostUse::read(&kernel);
        kernel.sleep(ms(20));
        runs(50, 18_000_000);
        runs(51, 3_000_000);
        kernel.process(70, &["/bin/new"]).thread(70, "new", "1");
        runs(70, 5_000_000);
        let grown = HostUse::read(&kernel).since(before, &kernel);
        let ran = grown.threads.iter().map(|ran| {
            let comm = String::from_utf8_lossy(&ran.comm).into_owned();
            (ran.pid, ran.tid.0, comm, ran.cpu.0, ran.time.as_millis())
        });
        let expected = [(50, 50, "hog", 1, 17), (70, 70, "new", 1, 5), (50, 51, "hog 2", 2, 2)];
        let expected = expected.map(|(pid, tid, comm, cpu, ms)| (pid, tid, comm.to_owned(), cpu, ms));
        assert_eq!((ran.collect::<Vec<_>>(), grown.window), (expected.to_vec(), ms(20)));
    }
}
