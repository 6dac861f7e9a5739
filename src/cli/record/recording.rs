//! What was recorded of a VM: who ran where, from when to when, and who waited for a CPU.
//!
//! All moments and lengths are in nanoseconds; a moment is counted from the beginning of the recording.

use hdrhistogram::Histogram;
use pinning::{CpuId, CpuSet, RoleKind, Tid};
use std::time::{Duration, SystemTime};

/// A recording of a VM.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    /// Whose.
    pub(crate) subject: Subject,
    /// When it began, by the clock on the wall.
    pub(crate) began: SystemTime,
    /// How long it took.
    pub(crate) time: Duration,
    /// How it was made, and so what it can say.
    pub(crate) method: Method,
    /// So many of the kernel's records were lost, since they came faster than they could be read.
    pub(crate) lost: u64,
    /// Runs of a thread on one CPU with gaps no longer than this between them are one span, so that hours stay small.
    /// Zero: every run is a span of its own.
    pub(crate) resolution: u64,
    /// The VM's threads: by role as in `show`, then by when they were born.
    pub(crate) threads: Vec<ThreadLane>,
    /// The CPUs of the VM: those of its policy, and those that one of its threads ran on.
    pub(crate) cpus: Vec<CpuLane>,
    /// Everybody else who ran there.
    pub(crate) others: Vec<Who>,
}

/// Whose recording it is, and where.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// QEMU's process.
    pub(crate) pid: i32,
    /// The VM's name, which it has given itself.
    pub(crate) name: Option<String>,
    /// What to call it, harmless to print: `web (PID 1234)`.
    pub(crate) title: String,
    /// The variables of its policy, as `show` prints them; `None` if it is not pinned.
    pub(crate) policy: Option<String>,
    /// The host's name (uname(2)).
    pub(crate) host: String,
    /// Its kernel's release.
    pub(crate) kernel: String,
    /// Its online CPUs.
    pub(crate) online: CpuSet,
}

/// How a recording was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    /// By the kernel's record of every context switch (perf_event_open(2)): nothing is missing but [`Recording::lost`].
    Exact {
        /// Whether other processes on the VM's CPUs were recorded too; if not, why.
        others: Result<(), String>,
        /// Whether it is known when a sleeping thread was woken; if not, why. Without it only the waits of a thread that
        /// was preempted are known one by one, and of all waits their sum.
        wakings: Result<(), String>,
    },
    /// By looking at /proc again and again: what happened between two looks is not known.
    Sampled {
        /// From one look to the next.
        every: Duration,
        /// Why nothing better could be had.
        why: String,
    },
}

/// A thread of the VM.
#[derive(Debug, Clone)]
pub(crate) struct ThreadLane {
    /// Its id.
    pub(crate) tid: Tid,
    /// QEMU's name for it, or its comm. A stranger's word: to be made harmless where it is written.
    pub(crate) name: String,
    /// What it does.
    pub(crate) role: RoleKind,
    /// Whether its role is only assumed (`emulator?` in `show`).
    pub(crate) role_assumed: bool,
    /// A vCPU's number, or an IOThread's place in the order of creation.
    pub(crate) index: Option<u32>,
    /// Where it belongs; `None` where nothing says so.
    pub(crate) expected: Option<CpuSet>,
    /// When it was born; `None`: before the recording began.
    pub(crate) born: Option<u64>,
    /// When it ended; `None`: it has outlived the recording.
    pub(crate) ended: Option<u64>,
    /// Where it ran, in the order of time; they do not overlap.
    pub(crate) spans: Vec<Span>,
    /// For how long it ran in all.
    pub(crate) ran: u64,
    /// For how long of that it was off its set.
    pub(crate) off: u64,
    /// How often it was put on a CPU.
    pub(crate) runs: u64,
    /// How often it was put on another CPU than before.
    pub(crate) moves: u64,
    /// How long it was runnable and did not run, in all, by the kernel's count (/proc/PID/task/TID/schedstat).
    pub(crate) waited: u64,
    /// Its waits for a CPU, one by one.
    pub(crate) waits: Waits,
}

/// A time in which something was on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// When it was put there.
    pub(crate) from: u64,
    /// When it left.
    pub(crate) to: u64,
    /// For how long of that it ran: less than all of it, where a span is several runs.
    pub(crate) ran: u64,
    /// How many runs it is.
    pub(crate) runs: u64,
    /// Where.
    pub(crate) cpu: CpuId,
    /// Whether that is off the thread's set.
    pub(crate) off: bool,
}

/// Waits for a CPU: how often and how long, and the longest of them.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// How long they were, in nanoseconds.
    pub(crate) lengths: Histogram<u64>,
    /// The longest ones, the longest first.
    pub(crate) longest: Vec<Wait>,
}

/// A time in which a thread could have run and did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When it began.
    pub(crate) from: u64,
    /// How long it took.
    pub(crate) length: u64,
    /// The CPU on which it ran again.
    pub(crate) cpu: CpuId,
    /// Whether it had been preempted; otherwise it had slept and was woken.
    pub(crate) preempted: bool,
    /// Who ran on that CPU meanwhile, the longest first, where that is known.
    pub(crate) instead: Vec<Instead>,
}

/// Who ran in a thread's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instead {
    /// Whose thread.
    pub(crate) who: Who,
    /// For how long.
    pub(crate) ran: u64,
}

/// A thread that is not one of the VM's, or one that is. Kernel threads have a process id of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Who {
    /// Its process.
    pub(crate) pid: i32,
    /// Its id.
    pub(crate) tid: Tid,
    /// Its comm. A stranger's word, too.
    pub(crate) comm: String,
}

/// A CPU of the VM.
#[derive(Debug, Clone)]
pub(crate) struct CpuLane {
    /// Which.
    pub(crate) cpu: CpuId,
    /// Who else ran there, in the order of time; empty where that was not recorded. What the VM's threads ran there is
    /// in their own lanes.
    pub(crate) others: Vec<OtherSpan>,
}

/// A time in which somebody else was on a CPU of the VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherSpan {
    /// When; its `off` means nothing here.
    pub(crate) span: Span,
    /// Who: a place in [`Recording::others`].
    pub(crate) who: usize,
}

/// A length of time in the unit of a recording.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
