//! Who used the CPU that a thread waited for: processes by where they ran last, and interrupts.
//!
//! The whole host is looked at from time to time, and what has come on top since the look before is what happened meanwhile.
//! That looks at every thread of the host, so only a small part of the time goes into it.

use crate::output::text::{harmless, short};
use crate::sys::host_use::{Grown, HostUse};
use crate::sys::kernel::Kernel;
use crate::sys::threads::Thread;
use pinning::CpuId;
use std::time::Duration;

/// So much longer than a look at the host takes, it is not looked at again.
const REST: u32 = 20;

/// So many of each kind are named.
const NAMED: usize = 3;

/// Who used a CPU for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Culprits {
    pub(crate) cpu: CpuId,
    /// The time in which they did.
    pub(crate) window: Duration,
    /// The threads that ran there last, those that ran longest first.
    pub(crate) threads: Vec<Culprit>,
    /// The interrupts that it took, the most frequent first.
    pub(crate) interrupts: Vec<(String, u64)>,
    /// The same for the kernel's deferred work.
    pub(crate) softirqs: Vec<(String, u64)>,
}

/// A thread that ran there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Culprit {
    pub(crate) pid: i32,
    pub(crate) tid: i32,
    pub(crate) name: String,
    /// For how long it ran, on this CPU or, before it came there, on another.
    pub(crate) time: Duration,
}

/// The host around some VMs.
#[derive(Debug)]
pub(crate) struct Surroundings<'k> {
    kernel: &'k dyn Kernel,
    /// The last look at it; it is taken out only while there is a new one.
    last: Option<HostUse>,
    /// How long that took.
    took: Duration,
    grown: Option<Grown>,
}

impl<'k> Surroundings<'k> {
    /// Looks at the host for the first time.
    pub(crate) fn new(kernel: &'k dyn Kernel) -> Self {
        let mut surroundings = Self { kernel, last: None, took: Duration::ZERO, grown: None };
        surroundings.look(false);
        surroundings
    }

    /// Whether it may be looked at again.
    pub(crate) fn is_due(&self) -> bool {
        let elapsed = self.last.as_ref().map(|last| self.kernel.now().saturating_sub(last.at));
        elapsed.is_none_or(|elapsed| elapsed >= self.took * REST)
    }

    /// Looks at it again, and finds out who ran since the last time if that is wanted.
    pub(crate) fn look(&mut self, is_wanted: bool) {
        let now = HostUse::read(self.kernel);
        let before = self.last.take().filter(|_| is_wanted);
        self.grown = before.map(|before| now.since(before, self.kernel));
        self.took = self.kernel.now().saturating_sub(now.at);
        self.last = Some(now);
    }

    /// Who else used the CPU that a thread was on, in the time before the last look. `None`: there was no time before it.
    pub(crate) fn culprits(&self, thread: &Thread) -> Option<Culprits> {
        let (grown, cpu) = (self.grown.as_ref()?, thread.last_cpu);
        let others = grown.threads.iter().filter(|ran| ran.cpu == cpu && ran.tid != thread.tid);
        let culprit = |ran: &crate::sys::host_use::Ran| Culprit {
            pid: ran.pid,
            tid: ran.tid.0,
            name: harmless(&ran.comm),
            time: ran.time,
        };
        let first = |mut counts: Vec<(String, u64)>| {
            counts.truncate(NAMED);
            counts
        };
        Some(Culprits {
            cpu,
            window: grown.window,
            threads: others.take(NAMED).map(culprit).collect(),
            interrupts: first(grown.hard(cpu)),
            softirqs: first(grown.soft(cpu)),
        })
    }
}

impl Culprits {
    /// All of it in a line.
    pub(crate) fn words(&self) -> String {
        let thread = |culprit: &Culprit| {
            let Culprit { pid, tid, name, time } = culprit;
            let thread = if pid == tid { String::new() } else { format!(", thread {tid}") };
            format!("{name} (PID {pid}{thread}) {}", short(*time))
        };
        let counts = |counts: &[(String, u64)]| {
            let each = counts.iter().map(|(name, count)| format!("{name} ×{count}"));
            each.collect::<Vec<_>>().join(", ")
        };
        let threads = self.threads.iter().map(thread).collect::<Vec<_>>().join(", ");
        let threads =
            if threads.is_empty() { "no other thread that can be seen".to_owned() } else { threads };
        let mut parts = vec![threads];
        if !self.interrupts.is_empty() {
            parts.push(format!("interrupts {}", counts(&self.interrupts)));
        }
        if !self.softirqs.is_empty() {
            parts.push(format!("softirqs {}", counts(&self.softirqs)));
        }
        format!("on CPU {} in these {}: {}", self.cpu, short(self.window), parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::sample;

    /// A hog on CPU 1 beside the thread that waits, and one on CPU 2.
    fn host() -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.process(100, &["/bin/qemu"]).thread(100, "q", "0").thread(101, "CPU 0/KVM", "1");
        kernel.process(50, &["/bin/hog"]).thread(50, "hog\x1b[2J", "1");
        kernel.process(60, &["/bin/other"]).thread(60, "other", "2").thread(61, "busy", "1");
        kernel.write("/proc/interrupts", "  CPU0 CPU1\n LOC: 5 5  Local timer interrupts\n");
        kernel.write("/proc/softirqs", "  CPU0 CPU1\n NET_RX: 0 0\n");
        kernel.at(ms(20), |kernel| {
            let runs = |tid, ns| kernel.change(tid, |thread| thread.schedstat = Some((ns, 0, 1)));
            for (tid, ns) in [(50, 17_000_000), (60, 19_000_000), (61, 2_000_000), (101, 1_000_000)] {
                runs(tid, ns);
            }
            kernel.write("/proc/interrupts", "  CPU0 CPU1\n LOC: 9 7  Local timer interrupts\n");
            kernel.write("/proc/softirqs", "  CPU0 CPU1\n NET_RX: 0 90\n");
        });
        kernel
    }

    fn waiting() -> Thread {
        Thread { last_cpu: CpuId(1), ..sample::thread(101, "CPU 0/KVM") }
    }

    #[test]
    fn who_ran_on_the_cpu_meanwhile_is_named() {
        let kernel = host();
        let mut surroundings = Surroundings::new(&kernel);
        assert_eq!(surroundings.culprits(&waiting()), None, "there was no time before it");
        kernel.sleep(ms(20));
        surroundings.look(true);
        let text = "on CPU 1 in these 20ms: hog?[2J (PID 50) 17ms, busy (PID 60, thread 61) 2.0ms; interrupts LOC ×2; \
                    softirqs NET_RX ×90";
        assert_eq!(surroundings.culprits(&waiting()).unwrap().words(), text);
        // And since then nobody.
        surroundings.look(true);
        let text = "on CPU 1 in these 0: no other thread that can be seen";
        assert_eq!(surroundings.culprits(&waiting()).unwrap().words(), text);
    }

    #[test]
    fn a_small_part_of_the_time_goes_into_looking_at_the_host() {
        let kernel = host();
        kernel.slow("/proc/60/task/60/schedstat", ms(10));
        let surroundings = Surroundings::new(&kernel);
        kernel.sleep(ms(180));
        assert!(!surroundings.is_due());
        kernel.sleep(ms(10));
        assert!(surroundings.is_due());
    }
}
