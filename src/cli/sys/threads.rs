//! What /proc says about each thread of a process: where it may run, and where it ran last. Everyone may read
//! it.
//!
//! The process chooses a thread's name; the kernel says all else. The fields are in proc_pid_status(5) and
//! proc_pid_stat(5).

use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::schedstat::Schedstat;
use pinning::{Class, ClassKind, CpuId, CpuSet, Tid};
use std::io;
use std::time::Duration;

/// One thread at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thread {
    /// Its id here.
    pub(crate) tid: Tid,
    /// Its id as its own process sees it, which differs in a container.
    pub(crate) inner: Tid,
    /// When it was started, in clock ticks since boot.
    pub(crate) started: u64,
    /// Its comm: 15 bytes at most.
    pub(crate) comm: Vec<u8>,
    /// Where it may run.
    pub(crate) allowed: CpuSet,
    /// Where it ran last.
    pub(crate) last_cpu: CpuId,
    /// Whether it runs or is ready to run: state R of proc_pid_stat(5). It is blocked in every other state, and then
    /// `last_cpu` may be one that it never ran on: with SCHED_PROXY_EXEC the kernel counts a thread that waits for
    /// a mutex to the CPU of the mutex's owner (kernel/sched/core.c, find_proxy_task).
    pub(crate) runs: bool,
    /// How it is scheduled, without the slice, which is in none of these files; `None` if the class is not known here.
    pub(crate) class: Option<Class>,
    /// For how long it has run.
    pub(crate) cpu_time: Duration,
    /// How often it has stopped running: its context switches.
    pub(crate) switches: u64,
    /// How often it has gone from one CPU to another, where the kernel tells (CONFIG_SCHED_DEBUG).
    pub(crate) migrations: Option<u64>,
    /// How long it ran and how long it waited for a CPU, where the kernel tells (CONFIG_SCHED_INFO).
    pub(crate) schedstat: Option<Schedstat>,
}

/// One thread and no other: an id alone may be used again for a later thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ThreadKey {
    tid: Tid,
    started: u64,
}

impl Thread {
    /// Tells it from every other thread, earlier and later ones included.
    pub(crate) fn key(&self) -> ThreadKey {
        ThreadKey { tid: self.tid, started: self.started }
    }
}

impl ThreadKey {
    /// The thread's id.
    pub(crate) fn tid(self) -> Tid {
        self.tid
    }

    /// When it was started, in clock ticks since boot.
    pub(crate) fn started(self) -> u64 {
        self.started
    }
}

/// Whether migrations are to be read: they are in a file of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Migrations {
    /// Read them.
    Count,
    /// Leave them out.
    #[default]
    Ignore,
}

/// A process with more threads is not looked at. No QEMU has nearly as many.
pub(crate) const THREADS: usize = 8192;

/// The living threads of a process, in the order of their ids.
///
/// # Errors
/// There is no such process, or it has more than [`THREADS`] threads ([`io::ErrorKind::OutOfMemory`]).
pub(crate) fn list(process: Process<'_>, migrations: Migrations) -> io::Result<Vec<Thread>> {
    let mut threads: Vec<Thread> = Vec::new();
    for (number, name) in process.kernel.names_in(&process.file("task"))?.enumerate() {
        if number == THREADS {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        let Some(tid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A thread that ends meanwhile is left out.
        threads.extend(read(process, Tid(tid), migrations));
    }
    threads.sort_by_key(|thread| thread.tid);
    Ok(threads)
}

/// The ids of a process's threads, in no order; [`THREADS`] at most.
pub(crate) fn ids(process: Process<'_>) -> io::Result<Vec<Tid>> {
    let names = process.kernel.names_in(&process.file("task"))?.take(THREADS);
    Ok(names.filter_map(|name| name.to_str()?.parse().ok().map(Tid)).collect())
}

/// The comm of a thread of any process.
pub(crate) fn comm(kernel: &dyn Kernel, pid: i32, tid: Tid) -> Option<String> {
    let comm = kernel.read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    Some(String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned())
}

fn read(process: Process<'_>, tid: Tid, migrations: Migrations) -> Option<Thread> {
    let (kernel, folder) = (process.kernel, process.file(&format!("task/{tid}")));
    // In this order: the last CPU, from `stat`, is then not older than the affinity, from `status`.
    let status = kernel.read(folder.join("status")).ok()?;
    let stat = kernel.read(folder.join("stat")).ok()?;
    let mut thread = parse(tid, &String::from_utf8_lossy(&status), &stat, kernel.ticks_per_second())?;
    let has_run = thread.switches > 0 || !thread.cpu_time.is_zero();
    let schedstat = kernel.read_text(folder.join("schedstat")).ok();
    thread.schedstat = schedstat.and_then(|text| Schedstat::parse(&text, has_run));
    if migrations == Migrations::Count {
        thread.migrations = kernel.read_text(folder.join("sched")).ok().as_deref().and_then(parse_sched);
    }
    Some(thread)
}

/// When a thread of a process was started, in clock ticks since boot; `None` if the process has no such thread.
pub(crate) fn started(process: Process<'_>, tid: Tid) -> Option<u64> {
    Stat::parse(&stat(process, tid)?)?.number(22)
}

/// For how long all threads of a process have run, those that have ended included: its own `stat` file, unlike those of its
/// threads, counts them (proc_pid_stat(5)).
pub(crate) fn of_whole_process(process: Process<'_>) -> Option<Duration> {
    let stat = process.kernel.read(process.file("stat")).ok()?;
    let stat = Stat::parse(&stat)?;
    stat.cpu_time(process.kernel.ticks_per_second())
}

/// The process that started a process, or that has taken it over; `None` if it has ended.
pub(crate) fn parent(process: Process<'_>) -> Option<i32> {
    i32::try_from(Stat::parse(&stat(process, process.main_thread())?)?.number(4)?).ok()
}

/// How many threads a process has, and whether all of them are stopped by a signal (proc_pid_stat(5), state T).
pub(crate) fn stopped(process: Process<'_>) -> (usize, bool) {
    let (mut count, mut are_stopped) = (0, true);
    for name in process.kernel.names_in(&process.file("task")).into_iter().flatten() {
        let Some(tid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = stat(process, Tid(tid)).unwrap_or_default();
        count += 1;
        are_stopped &= Stat::parse(&stat).is_some_and(|stat| stat.fields.first() == Some(&"T"));
    }
    (count, are_stopped)
}

/// Whether the kernel made a thread of a process for itself, and lets it be moved like any other: the kernel's flags
/// PF_USER_WORKER (0x4000, Linux 6.4) without PF_IO_WORKER (0x10) in include/linux/sched.h. An io_uring worker is moved
/// by the thread whose requests it serves.
pub(crate) fn is_user_worker(process: Process<'_>, tid: Tid) -> bool {
    let flags = stat(process, tid).and_then(|stat| Stat::parse(&stat)?.number(9));
    flags.is_some_and(|flags| flags & 0x4010 == 0x4000)
}

/// A thread's comm and the CPU that it ran on last; `None` if the process has no such thread.
pub(crate) fn last_run(process: Process<'_>, tid: Tid) -> Option<(Vec<u8>, CpuId)> {
    let stat = stat(process, tid)?;
    let stat = Stat::parse(&stat)?;
    Some((stat.comm.to_vec(), CpuId(u32::try_from(stat.number(39)?).ok()?)))
}

/// The kernel's flags of a process's main thread (PF_… in include/linux/sched.h); `None` if it has ended.
pub(crate) fn flags(process: Process<'_>) -> Option<u64> {
    Stat::parse(&stat(process, process.main_thread())?)?.number(9)
}

/// The text of a thread's `stat` file; `None` if the process has no such thread.
fn stat(process: Process<'_>, tid: Tid) -> Option<Vec<u8>> {
    process.kernel.read(process.file(&format!("task/{tid}/stat"))).ok()
}

/// Whether a process is a thread that the kernel runs for itself, with this comm: the kernel's flag PF_KTHREAD (0x200000 in
/// include/linux/sched.h), which no program can have.
pub(crate) fn is_kernel_thread(process: Process<'_>, comm: &[u8]) -> bool {
    let file = process.file(&format!("task/{}/stat", process.pid));
    let Ok(stat) = process.kernel.read(file) else { return false };
    let stat = Stat::parse(&stat);
    stat.is_some_and(|stat| stat.comm == comm && stat.number(9).is_some_and(|flags| flags & 0x0020_0000 != 0))
}

/// A thread's `stat` file: its comm, and the fields after it.
struct Stat<'a> {
    comm: &'a [u8],
    fields: Vec<&'a str>,
}

impl<'a> Stat<'a> {
    fn parse(stat: &'a [u8]) -> Option<Self> {
        // A comm may contain brackets and blanks: it ends at the last bracket.
        let begin = stat.iter().position(|byte| *byte == b'(')? + 1;
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_whitespace().collect();
        Some(Self { comm: stat.get(begin..end)?, fields })
    }

    /// A field by its number in proc_pid_stat(5), which counts from 1; the comm is field 2.
    fn number(&self, number: usize) -> Option<u64> {
        self.fields.get(number.checked_sub(3)?)?.parse().ok()
    }
}

impl Stat<'_> {
    /// The CPU time: fields 14 and 15.
    fn cpu_time(&self, ticks_per_second: u64) -> Option<Duration> {
        let ticks = self.number(14)?.saturating_add(self.number(15)?);
        Some(Duration::from_millis(ticks.saturating_mul(1000) / ticks_per_second.max(1)))
    }

    /// The scheduling class: fields 19 (the nice value), 40 (the priority) and 41.
    fn class(&self) -> Option<Class> {
        let kind = ClassKind::from_number(u32::try_from(self.number(41)?).ok()?)?;
        let field = if kind.has_priority() { 40 } else { 19 };
        let value = self.fields.get(field - 3)?.parse().ok()?;
        Some(Class { kind, value: Some(value), slice_us: 0 })
    }
}

/// The thread that its files describe; `None` for one that has ended.
fn parse(tid: Tid, status: &str, stat: &[u8], ticks_per_second: u64) -> Option<Thread> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("State:")?.starts_with(['Z', 'X']) {
        return None;
    }
    let number = |name: &str| field(name)?.parse::<u64>().ok();
    let switches = number("voluntary_ctxt_switches:")? + number("nonvoluntary_ctxt_switches:")?;
    let inner = field("NSpid:").and_then(|ids| ids.split_whitespace().last()?.parse().ok()).map_or(tid, Tid);
    let allowed = CpuSet::parse(field("Cpus_allowed_list:")?, &CpuSet::new()).unwrap_or_default();
    let stat = Stat::parse(stat)?;
    Some(Thread {
        tid,
        inner,
        started: stat.number(22)?,
        comm: stat.comm.to_vec(),
        allowed,
        last_cpu: CpuId(u32::try_from(stat.number(39)?).ok()?),
        class: stat.class(),
        runs: stat.fields.first() == Some(&"R"),
        cpu_time: stat.cpu_time(ticks_per_second)?,
        switches,
        migrations: None,
        schedstat: None,
    })
}

/// The count in a thread's `sched` file (kernel/sched/debug.c).
fn parse_sched(sched: &str) -> Option<u64> {
    let line = sched.lines().find_map(|line| line.strip_prefix("se.nr_migrations"))?;
    line.trim_start().strip_prefix(':')?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::kernel::Kernel;
    use crate::sys::linux::Linux;

    const STATUS: &str = "State:\tS (sleeping)\nNSpid:\t7\t3\nCpus_allowed_list:\t0-1,8\n\
                          voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";

    fn stat(comm: &str) -> Vec<u8> {
        stat_in("S", comm)
    }

    fn stat_in(state: &str, comm: &str) -> Vec<u8> {
        let fields: Vec<String> =
            (3..=52).map(|n| if n == 3 { state.to_owned() } else { n.to_string() }).collect();
        format!("7 ({comm}) {}", fields.join(" ")).into_bytes()
    }

    #[test]
    fn a_comm_with_brackets_does_not_shift_the_fields() {
        let thread = parse(Tid(7), STATUS, &stat("CPU 0) (x"), 100).unwrap();
        assert_eq!(thread.comm, b"CPU 0) (x");
        assert_eq!((thread.started, thread.last_cpu), (22, CpuId(39)));
        assert_eq!((thread.switches, thread.cpu_time), (7, Duration::from_millis(290)));
        assert_eq!((thread.inner, thread.allowed.to_string()), (Tid(3), "0-1,8".to_owned()));
    }

    #[test]
    fn one_that_waits_for_anything_is_blocked() {
        for (state, runs) in
            [("R", true), ("S", false), ("D", false), ("T", false), ("t", false), ("I", false)]
        {
            assert_eq!(parse(Tid(7), STATUS, &stat_in(state, "R) R"), 100).unwrap().runs, runs, "{state}");
        }
    }

    #[test]
    fn a_class_has_a_nice_value_or_a_priority() {
        let class = |nice: &str, priority: &str, policy: &str| {
            let fields = (3..=52).map(|n| match n {
                19 => nice.to_owned(),
                40 => priority.to_owned(),
                41 => policy.to_owned(),
                _ => "1".to_owned(),
            });
            let stat = format!("7 (x) {}", fields.collect::<Vec<_>>().join(" "));
            parse(Tid(7), STATUS, stat.as_bytes(), 100).unwrap().class.map(|class| class.to_string())
        };
        assert_eq!(class("-5", "0", "0").as_deref(), Some("other:-5"));
        assert_eq!(class("0", "9", "1").as_deref(), Some("fifo:9"));
        assert_eq!(class("0", "0", "99"), None);
    }

    #[test]
    fn one_that_has_ended_is_none() {
        assert_eq!(parse(Tid(7), &STATUS.replace('S', "Z"), &stat("x"), 100), None);
        assert_eq!(parse(Tid(7), STATUS, b"", 100), None);
        assert_eq!(parse(Tid(7), "", &stat("x"), 100), None);
    }

    #[test]
    fn migrations_are_found_by_name() {
        let sched = "x (7, #threads: 1)\n---\nse.exec_start      :  1.5\nse.nr_migrations                             :                   12\n";
        assert_eq!(parse_sched(sched), Some(12));
        assert_eq!(parse_sched("se.nr_migrations_cold : 1"), None);
        assert_eq!(parse_sched(""), None);
    }

    #[test]
    fn this_thread_is_listed_among_those_of_this_process() {
        let kernel = Linux::new();
        // `PID/task/TID` (proc_pid_task(5)).
        let own = (&kernel as &dyn Kernel).read_link("/proc/thread-self").unwrap();
        let tid = Tid(own.file_name().unwrap().to_str().unwrap().parse().unwrap());
        let pid = i32::try_from(std::process::id()).unwrap();
        let threads = list(Process::new(&kernel, pid).unwrap(), Migrations::Count).unwrap();
        let own = threads.iter().find(|thread| thread.tid == tid).unwrap();
        assert_eq!(own.allowed, kernel.affinity(tid).unwrap());
        assert!(own.allowed.contains(own.last_cpu));
        let runs = own.schedstat.map(|stat| stat.runs);
        assert!(runs.is_none_or(|runs| runs > 0), "{own:?}");
    }
}
