//! Whether what was seen is what was promised.
//!
//! A new thread shows its creator's affinity for the microseconds until it has placed itself, and on a busy
//! machine for as long as it waits to run for the first time. `/proc` alone does not tell this from a thread
//! that was not placed. [`Rule::Promise`] therefore counts a wrong state only when two looks in a row show it
//! and the thread has run, and only if it did not wait for a CPU all that time: on a busy machine a new thread
//! may lose its first CPU before it has placed itself. Where every creator is on the set itself, a new thread is on it from the beginning:
//! there [`Rule::Strict`] counts every look.
//!
//! The CPU that a thread last ran on counts only where a look has found it running: see [`Run::looks_running`].

use std::fmt;

use crate::cpus;
use crate::observer::{Observation, Run, ThreadSeen};

/// How strict the judgement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A wrong state counts when two looks in a row show it after the thread has first run, and a
    /// wrong CPU only when the thread has run in between with the right CPUs allowed.
    Promise,
    /// Every look counts.
    Strict,
}

/// Where a thread should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// On exactly these CPUs, as the kernel prints them.
    On(String),
    /// Nowhere in particular.
    Anywhere,
}

impl Expected {
    /// On one CPU.
    pub fn cpu(cpu: usize) -> Self {
        Self::On(cpu.to_string())
    }
}

/// A thread that was off its set.
#[derive(Debug, Clone)]
pub struct Offence {
    tid: u32,
    expected: String,
    run: Run,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "thread {} ({}) belongs on {}, was allowed on {} and last ran on {} in {} looks",
            self.tid, self.run.name, self.expected, self.run.allowed, self.run.last_cpu, self.run.looks
        )
    }
}

/// Every state of every thread that is not as `expected` says, by the thread.
pub fn judge(
    observation: &Observation,
    rule: Rule,
    expected: impl Fn(&ThreadSeen) -> Expected,
) -> Vec<Offence> {
    let mut offences = Vec::new();
    for thread in observation.threads.values() {
        if let Expected::On(set) = expected(thread) {
            let off = thread.runs.iter().filter(|run| off(run, &set, rule));
            offences.extend(off.map(|run| Offence {
                tid: thread.tid,
                expected: set.clone(),
                run: run.clone(),
            }));
        }
    }
    offences
}

fn off(run: &Run, set: &str, rule: Rule) -> bool {
    let wrong_mask = run.allowed != set;
    let wrong_cpu = run.looks_running > 0 && !cpus::parse(set).contains(&run.last_cpu);
    match rule {
        Rule::Strict => wrong_mask || wrong_cpu,
        // A thread that was moved while it slept shows its old CPU until it runs again.
        Rule::Promise => {
            let waited_for_a_cpu = run.looks_running == run.looks && !run.has_run;
            run.looks_alive > 1 && ((wrong_mask && !waited_for_a_cpu) || (wrong_cpu && run.has_run))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(allowed: &str, last_cpu: usize, looks_running: u64) -> Run {
        Run {
            name: "worker".to_owned(),
            allowed: allowed.to_owned(),
            last_cpu,
            class: "other:0".to_owned(),
            looks: 9,
            looks_alive: 9,
            looks_running,
            has_run: true,
            activity: 9,
        }
    }

    #[test]
    fn a_cpu_counts_only_of_a_thread_that_was_seen_to_run() {
        for rule in [Rule::Promise, Rule::Strict] {
            assert!(off(&run("1", 0, 1), "1", rule), "{rule:?}: it ran on 0");
            assert!(!off(&run("1", 0, 0), "1", rule), "{rule:?}: blocked, it was counted to 0");
            assert!(off(&run("0", 0, 0), "1", rule), "{rule:?}: its affinity counts all the same");
            assert!(!off(&run("1", 1, 0), "1", rule), "{rule:?}");
        }
        assert!(!off(&Run { has_run: false, ..run("1", 0, 9) }, "1", Rule::Promise));
    }

    #[test]
    fn a_mask_counts_only_of_a_thread_that_did_not_wait_for_a_cpu_all_the_time() {
        let waited = Run { has_run: false, ..run("0", 0, 9) };
        assert!(!off(&waited, "1", Rule::Promise));
        assert!(off(&waited, "1", Rule::Strict));
        assert!(off(&Run { has_run: true, ..waited.clone() }, "1", Rule::Promise), "it ran in between");
        assert!(off(&Run { looks_running: 8, ..waited }, "1", Rule::Promise), "it was blocked in a look");
    }
}
