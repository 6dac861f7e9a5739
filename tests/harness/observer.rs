//! Observes a process: reads again and again what `/proc` shows of each of its threads.

use crate::scheduling;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Pause between two looks. A look at a dozen threads takes about a millisecond itself.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks at a process until it is stopped.
#[derive(Debug)]
pub struct Observer {
    /// Two looks more, and no other.
    stop: Arc<AtomicBool>,
    looking: Option<JoinHandle<Observation>>,
}

impl Observer {
    /// Begins to look at the threads of `pid`, which may come to exist a little later.
    pub fn start(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let looking = thread::spawn(move || {
            let mut observation = Observation::new();
            let mut last = 2;
            while last > 0 {
                last -= u32::from(seen.load(Ordering::Relaxed));
                observation.look(pid);
                thread::sleep(PAUSE);
            }
            observation
        });
        Self { stop, looking: Some(looking) }
    }

    /// Ends the looking and gives what was seen: on a busy machine, too, each thread that is there by now, twice.
    pub fn finish(mut self) -> Observation {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.take().expect("not finished before").join().expect("the observer's thread")
    }

    /// Looks at `pid` for a time.
    pub fn watch(pid: u32, time: Duration) -> Observation {
        let mut observation = Observation::new();
        let end = Instant::now() + time;
        while Instant::now() < end {
            observation.look(pid);
            thread::sleep(PAUSE);
        }
        observation
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(looking) = self.looking.take() {
            let _ = looking.join();
        }
    }
}

/// All that was seen of a process.
#[derive(Debug)]
pub struct Observation {
    began: Instant,
    /// How many times it was looked at.
    pub looks: u64,
    /// Its threads, each by its id and the time it was started: ids are used again soon.
    pub threads: BTreeMap<(u32, u64), ThreadSeen>,
}

/// What was seen of one thread.
#[derive(Debug)]
pub struct ThreadSeen {
    /// Its id.
    pub tid: u32,
    /// When it was first seen, from the beginning of the looking.
    pub first_seen: Duration,
    /// When it was last seen, from the beginning of the looking.
    pub last_seen: Duration,
    /// What it looked like, in the order of time; looks that showed the same are one entry.
    pub runs: Vec<Run>,
}

/// A number of looks in a row that showed a thread in the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name (comm, 15 bytes).
    pub name: String,
    /// The CPUs that it may run on, as the kernel prints them.
    pub allowed: String,
    /// The CPU that it last ran on.
    pub last_cpu: usize,
    /// Its scheduling class with its nice value or priority, as `PIN_SCHED` has it: `other:0`, `fifo:1`.
    pub class: String,
    /// How many looks showed this.
    pub looks: u64,
    /// How many of these looks found that it had run at all since its creation.
    pub looks_alive: u64,
    /// How many of these looks found it running or ready to run. A thread that is blocked may show a CPU that it never
    /// ran on: with SCHED_PROXY_EXEC the kernel counts it to the CPU of whoever holds the mutex that it waits for.
    pub looks_running: u64,
    /// Whether the thread has run in between the first and the last of these looks.
    pub has_run: bool,
    /// A count that grows as it runs: context switches and clock ticks of CPU time.
    pub(crate) activity: u64,
}

impl Observation {
    fn new() -> Self {
        Self { began: Instant::now(), looks: 0, threads: BTreeMap::new() }
    }

    fn look(&mut self, pid: u32) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        self.looks += 1;
        for task in tasks.flatten() {
            let Some(tid) = task.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let path = task.path();
            // A thread that ends meanwhile leaves files that cannot be read, or hold nothing.
            let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
            let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
            if let Some((started, run)) = parse(&status, &stat) {
                self.record(tid, started, run);
            }
        }
    }

    fn record(&mut self, tid: u32, started: u64, run: Run) {
        let now = self.began.elapsed();
        let thread = self.threads.entry((tid, started)).or_insert_with(|| ThreadSeen {
            tid,
            first_seen: now,
            last_seen: now,
            runs: Vec::new(),
        });
        thread.last_seen = now;
        match thread.runs.last_mut() {
            Some(last)
                if last.name == run.name
                    && last.allowed == run.allowed
                    && last.last_cpu == run.last_cpu
                    && last.class == run.class =>
            {
                last.looks += 1;
                last.looks_alive += run.looks_alive;
                last.looks_running += run.looks_running;
                last.has_run |= run.activity != last.activity;
            }
            _ => thread.runs.push(run),
        }
    }

    /// How many different threads were seen.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// The threads that were seen under a name.
    pub fn named(&self, name: &str) -> Vec<&ThreadSeen> {
        self.threads.values().filter(|t| t.runs.iter().any(|r| r.name == name)).collect()
    }

    /// What was seen of a thread id, the youngest thread that had it.
    pub fn tid(&self, tid: u32) -> Option<&ThreadSeen> {
        self.threads.values().rev().find(|t| t.tid == tid)
    }
}

impl ThreadSeen {
    /// The last name that it was seen with.
    pub fn name(&self) -> &str {
        self.runs.last().map_or("", |r| &r.name)
    }

    /// How many looks found it.
    pub fn looks(&self) -> u64 {
        self.runs.iter().map(|r| r.looks).sum()
    }
}

/// Reads a thread's `status` and `stat`, see proc(5). `None` for one that has ended.
fn parse(status: &str, stat: &str) -> Option<(u64, Run)> {
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    // Z and X: it has ended, and its CPUs mean nothing any more.
    let state = field("State:")?;
    if state.starts_with(['Z', 'X']) {
        return None;
    }
    let switches = field("voluntary_ctxt_switches:")?.parse::<u64>().ok()?
        + field("nonvoluntary_ctxt_switches:")?.parse::<u64>().ok()?;
    let name_start = stat.find('(')?;
    let name_end = stat.rfind(')')?;
    // After the name, field 3 of proc_pid_stat(5) is the first.
    let mut fields = stat.get(name_end + 1..)?.split_whitespace();
    let user_ticks = fields.nth(14 - 3)?.parse::<u64>().ok()?;
    let system_ticks = fields.next()?.parse::<u64>().ok()?;
    let activity = switches + user_ticks + system_ticks;
    let nice: i32 = fields.nth(19 - 15 - 1)?.parse().ok()?;
    let started = fields.nth(22 - 19 - 1)?.parse().ok()?;
    let last_cpu = fields.nth(39 - 22 - 1)?.parse().ok()?;
    let priority = fields.next()?.parse().ok()?;
    let policy = fields.next()?.parse().ok()?;
    let run = Run {
        name: stat.get(name_start + 1..name_end)?.to_owned(),
        allowed: field("Cpus_allowed_list:")?.to_owned(),
        last_cpu,
        class: scheduling::words(policy, nice, priority),
        looks: 1,
        looks_alive: u64::from(activity > 0),
        looks_running: u64::from(state.starts_with('R')),
        has_run: false,
        activity,
    };
    Some((started, run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_seen_as_it_is() {
        let observation = Observer::watch(std::process::id(), Duration::from_millis(20));
        // SAFETY: takes no pointer and cannot fail.
        let tid = unsafe { libc::gettid() };
        let own = observation.tid(tid as u32).expect("this thread was seen");
        assert_eq!(own.runs[0].allowed, crate::outer_mask());
        assert!(observation.looks > 1 && own.looks() == observation.looks);
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let status = "State:\tS (sleeping)\nCpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t3\n\
                      nonvoluntary_ctxt_switches:\t4\n";
        let mut fields: Vec<String> = (3..=52).map(|n| n.to_string()).collect();
        fields[0] = "S".into();
        let stat = format!("7 (CPU 0) (x) {}", fields.join(" "));
        let (started, run) = parse(status, &stat).expect("a living thread");
        assert_eq!((started, run.last_cpu, run.activity), (22, 39, 3 + 4 + 14 + 15));
        assert_eq!(run.class, "41:19:40", "fields that make no sense");
        assert_eq!(run.name, "CPU 0) (x");
    }
}
