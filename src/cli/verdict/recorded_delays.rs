//! The limits for waits, judged by the kernel's records of every switch: what the counts only bound, these know.

use crate::output::text::harmless;
use crate::record::live::Recorded;
use crate::record::recording::{Instead, Waits, Who, nanoseconds};
use crate::verdict::culprits::{Culprit, Culprits};
use crate::verdict::max_delay::{Late, Limits, Source};
use crate::verdict::waits;
use crate::vm::expected::VmThread;
use pinning::CpuId;
use std::collections::BTreeMap;
use std::time::Duration;

/// What counts of the threads that waited too long by the counts, or may have, once they were recorded as well. `time`: for how
/// long.
pub(crate) fn judge(counted: Vec<Late>, recorded: Recorded, limits: &Limits, time: Duration) -> Vec<Late> {
    let mut all: BTreeMap<_, Late> =
        counted.into_iter().map(|late| (late.vm_thread.thread.key(), late)).collect();
    if recorded.is_complete {
        // A wait that goes on, or has begun before the records, only the counts know.
        all.retain(|_, late| late.is_proven() || late.goes_on);
    }
    for (vm_thread, waits) in recorded.threads {
        let key = vm_thread.thread.key();
        let Some(mut late) = late(vm_thread, &waits, limits, time) else { continue };
        if let Some(counted) = all.get(&key) {
            if counted.is_proven() && counted.at_least() > late.at_least() {
                continue;
            }
            // Only the counts tell of interrupts.
            if let (Some(of), Some(by)) = (&counted.culprits, &mut late.culprits) {
                if of.cpu == by.cpu {
                    (by.interrupts, by.softirqs) = (of.interrupts.clone(), of.softirqs.clone());
                }
            }
        }
        all.insert(key, late);
    }
    all.into_values().collect()
}

/// A thread that was recorded to wait longer than it may.
fn late(vm_thread: VmThread, waits: &Waits, limits: &Limits, time: Duration) -> Option<Late> {
    let limit = limits.of(vm_thread.role)?;
    let longest = waits.longest.first()?;
    let waited = Duration::from_nanos(longest.length);
    if waited <= limit {
        return None;
    }
    let above = nanoseconds(limit);
    // The histogram keeps two digits: near the limit it is the list that knows.
    let listed = waits.longest.iter().filter(|wait| wait.length > above).count() as u64;
    let counted = waits.lengths.count_between(above.saturating_add(above / 50 + 1), u64::MAX);
    Some(Late {
        vm_thread,
        limit,
        interval: time,
        wait: waits::Wait { waited, runs: 1 },
        stretches: 1,
        goes_on: false,
        intervals: counted.max(listed),
        culprits: Some(culprits(waits, longest.cpu, above)),
        source: Source::Records,
    })
}

/// Who ran in the longest waits on a CPU, of those that are longer than this.
fn culprits(waits: &Waits, cpu: CpuId, longer_than: u64) -> Culprits {
    let listed = || waits.longest.iter().filter(|wait| wait.cpu == cpu && wait.length > longer_than);
    let mut ran: BTreeMap<&Who, u64> = BTreeMap::new();
    for Instead { who, ran: time } in listed().flat_map(|wait| &wait.instead) {
        *ran.entry(who).or_default() += time;
    }
    let mut ran: Vec<(&Who, u64)> = ran.into_iter().collect();
    ran.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let culprit = |(who, time): (&Who, u64)| Culprit {
        pid: who.pid,
        tid: who.tid.0,
        name: harmless(who.comm.as_bytes()),
        time: Duration::from_nanos(time),
    };
    Culprits {
        cpu,
        window: Duration::from_nanos(listed().map(|wait| wait.length).sum()),
        threads: ran.into_iter().take(CULPRITS).map(culprit).collect(),
        interrupts: Vec::new(),
        softirqs: Vec::new(),
    }
}

/// So many are named.
const CULPRITS: usize = 3;
