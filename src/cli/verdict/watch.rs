//! Looking at a VM for a time and keeping what was wrong.

use crate::output::failure::Failure;
use crate::sys::threads::Migrations;
use crate::verdict::judge::{Judge, Verdict};
use crate::vm::expected::Member;
use crate::vm::look::{Look, Vm};
use crate::vm::qmp::Ids;
use pinning::Tid;
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
    pub(crate) member: Member,
    pub(crate) verdict: Verdict,
    /// In how many looks.
    pub(crate) looks: u64,
}

/// Looks at a VM for a time, twice at least.
pub(crate) fn watch(vm: &Vm<'_>, ids: Option<&Ids>, time: Duration) -> Result<Watched, Failure> {
    let kernel = vm.process.kernel;
    let began = kernel.now();
    let mut judge = Judge::default();
    let mut threads: HashSet<(Tid, u64)> = HashSet::new();
    let mut offences: BTreeMap<(Tid, u64), Offence> = BTreeMap::new();
    let mut looks = 0;
    loop {
        let look = look(vm, ids)?;
        let verdicts = judge.judge(&look.members);
        looks += 1;
        let mut unjudged = false;
        for (member, verdict) in look.members.into_iter().zip(verdicts) {
            let key = (member.thread.tid, member.thread.started);
            threads.insert(key);
            unjudged |= matches!(verdict, Verdict::Unsure | Verdict::Newborn);
            if verdict.is_offence() {
                let looks = offences.get(&key).map_or(0, |before| before.looks) + 1;
                offences.insert(key, Offence { member, verdict, looks });
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

fn look(vm: &Vm<'_>, ids: Option<&Ids>) -> Result<Look, Failure> {
    let look = vm.look(Migrations::Ignore, ids, None)?;
    match &look.content {
        Ok(_) => Ok(look),
        Err(missing) => Err(Failure::new(format!("process {}: {missing}", vm.process.pid))),
    }
}
