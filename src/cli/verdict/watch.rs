//! Looking at a VM for a time and keeping what was wrong.

use crate::output::failure::Failure;
use crate::sys::threads::ThreadKey;
use crate::verdict::judge::{Judge, Verdict};
use crate::vm::expected::VmThread;
use crate::vm::look::{Ask, Look, Vm};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Between two looks. A thread places itself within microseconds; a busy machine may make that some milliseconds.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// How much longer than asked for a thread is waited for that cannot be judged yet.
const GRACE: Duration = Duration::from_secs(1);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Every thread that was off its set at any time, as it was when it was seen last.
    pub(crate) offences: Vec<Offence>,
    /// How many times the VM was looked at.
    pub(crate) looks: u64,
    /// For how long.
    pub(crate) time: Duration,
    /// How many threads there were, one after the other.
    pub(crate) threads: usize,
}

/// A thread off its set.
#[derive(Debug, Clone)]
pub(crate) struct Offence {
    pub(crate) vm_thread: VmThread,
    pub(crate) verdict: Verdict,
    /// In how many looks.
    pub(crate) looks: u64,
}

/// Looks at a VM for a time, twice at least.
pub(crate) fn watch(vm: &Vm<'_>, time: Duration) -> Result<Watched, Failure> {
    let kernel = vm.process.kernel;
    let began = kernel.now();
    let mut judge = Judge::default();
    let mut threads: HashSet<ThreadKey> = HashSet::new();
    let mut offences: BTreeMap<ThreadKey, Offence> = BTreeMap::new();
    let mut looks = 0;
    loop {
        let look = look(vm)?;
        let verdicts = judge.judge(&look.threads);
        looks += 1;
        let mut unjudged = false;
        for (vm_thread, verdict) in look.threads.into_iter().zip(verdicts) {
            let key = vm_thread.thread.key();
            threads.insert(key);
            unjudged |= matches!(verdict, Verdict::Unsure | Verdict::NotPlacedYet);
            if verdict.is_offence() {
                let looks = offences.get(&key).map_or(0, |before| before.looks) + 1;
                offences.insert(key, Offence { vm_thread, verdict, looks });
            }
        }
        let elapsed = kernel.now().saturating_sub(began);
        if looks >= 2 && elapsed >= time && (!unjudged || elapsed >= time + GRACE) {
            let offences = offences.into_values().collect();
            return Ok(Watched { offences, looks, time: elapsed, threads: threads.len() });
        }
        kernel.sleep(PAUSE);
    }
}

fn look(vm: &Vm<'_>) -> Result<Look, Failure> {
    let look = vm.look(&Ask::default())?;
    match &look.content {
        Ok(_) => Ok(look),
        Err(missing) => Err(Failure::new(format!("process {}: {missing}", vm.process.pid))),
    }
}
