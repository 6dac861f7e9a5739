//! What a picture says first: the verdict, and what it rests on.

use crate::output::text;
use crate::present::picture::names;
use crate::present::picture::spell::{count, date, length, length_of, moment};
use crate::record::recording::{Method, Recording, Span, ThreadLane};
use pinning::CpuSet;

/// The head of a picture, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whose threads they are.
    pub(super) title: String,
    /// The verdict.
    pub(super) verdict: String,
    /// What that is.
    pub(super) standing: Standing,
    /// The worst of what was off its set.
    pub(super) worst: Vec<String>,
    /// Where, when and how it was recorded.
    pub(super) facts: Vec<String>,
    /// The variables of its policy.
    pub(super) policy: Option<String>,
}

/// What a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All were where they belong.
    Good,
    /// Not all were.
    Bad,
    /// Nothing says where they belong, or not all is known.
    Open,
}

/// So many of the worst are named.
const WORST: usize = 3;

/// The head of a recording's picture.
pub(super) fn head(recording: &Recording) -> Head {
    let (verdict, standing) = verdict(recording);
    let title = recording.subject.title.clone();
    let policy = recording.subject.policy.clone();
    Head { title, verdict, standing, worst: worst(recording), facts: facts(recording), policy }
}

fn verdict(recording: &Recording) -> (String, Standing) {
    let threads = count(recording.threads.len() as u64, "thread");
    let runs: u64 = recording.threads.iter().map(|thread| thread.runs).sum();
    let is_exact = matches!(recording.method, Method::Exact { .. });
    let switches = if is_exact { format!(", {}", count(runs, "switch")) } else { String::new() };
    let lost = match recording.lost {
        0 => String::new(),
        lost => format!("; {} lost", count(lost, "record")),
    };
    let pinned: Vec<&ThreadLane> =
        recording.threads.iter().filter(|thread| thread.expected.is_some()).collect();
    if pinned.is_empty() {
        let moves: u64 = recording.threads.iter().map(|thread| thread.moves).sum();
        let moves = count(moves, "move");
        return (format!("{threads}{switches}, {moves} between CPUs: not pinned{lost}"), Standing::Open);
    }
    let off: u64 = pinned.iter().map(|thread| thread.off).sum();
    let strays = pinned.iter().filter(|thread| thread.off > 0).count();
    let their = their_cpus(&pinned);
    if strays > 0 {
        let of = format!("{strays} of {threads}");
        return (format!("{of} ran off {their}, for {} in all{lost}", length(off)), Standing::Bad);
    }
    let standing = if is_exact && recording.lost == 0 { Standing::Good } else { Standing::Open };
    let verdict = match is_exact {
        true => format!("{threads}{switches}, 0 µs off {their}{lost}"),
        false => format!("{threads}, never seen off {their}{lost}"),
    };
    (verdict, standing)
}

/// `CPU 1` where all belong to the same set.
fn their_cpus(threads: &[&ThreadLane]) -> String {
    let mut sets: Vec<&CpuSet> = threads.iter().filter_map(|thread| thread.expected.as_ref()).collect();
    sets.dedup();
    match sets.as_slice() {
        [one] => text::cpus(one),
        _ => "their CPUs".to_owned(),
    }
}

/// The longest times off the set, one for a thread.
fn worst(recording: &Recording) -> Vec<String> {
    let longest = |thread: &'_ ThreadLane| -> Option<Span> {
        thread.spans.iter().filter(|span| span.off).max_by_key(|span| span.ran).copied()
    };
    let mut off: Vec<(&ThreadLane, Span)> =
        recording.threads.iter().filter_map(|thread| Some((thread, longest(thread)?))).collect();
    off.sort_by_key(|(thread, _)| std::cmp::Reverse(thread.off));
    let more = off.len().saturating_sub(WORST);
    let words = |(thread, span): &(&ThreadLane, Span)| {
        let in_all =
            if thread.off > span.ran { format!(", {} in all", length(thread.off)) } else { String::new() };
        let (who, when) = (names::thread(thread), moment(span.from, 4));
        format!("{who} ran on CPU {} at {when} for {}{in_all}", span.cpu, length(span.ran))
    };
    let mut words: Vec<String> = off.iter().take(WORST).map(words).collect();
    if more > 0 {
        words.push(format!("and {} more", count(more as u64, "thread")));
    }
    words
}

fn facts(recording: &Recording) -> Vec<String> {
    let subject = &recording.subject;
    vec![
        format!("host {}, Linux {}", subject.host, subject.kernel),
        format!("{} from {}", length_of(recording.time), date(recording.began)),
        method(recording),
    ]
}

/// How exact it is.
pub(super) fn method(recording: &Recording) -> String {
    match &recording.method {
        Method::Exact { .. } => {
            let lost = match recording.lost {
                0 => "none lost".to_owned(),
                lost => format!("{} lost", count(lost, "record")),
            };
            let merged = match recording.resolution {
                0 => String::new(),
                gap => format!("; runs with less than {} between them are one", length(gap)),
            };
            format!("exact: every switch by the kernel's own records, {lost}{merged}")
        }
        Method::Sampled { every, why } => {
            format!("sampled: a look at /proc every {}, since {why}", length_of(*every))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::{MICROSECOND, SECOND, add_run, blank, thread};
    use pinning::{CpuId, RoleKind};
    use std::time::Duration;

    fn recording(cpus: &[u32]) -> Recording {
        let mut recording = blank(60 * SECOND);
        for (place, cpu) in cpus.iter().enumerate() {
            let expected = Some([CpuId(1)].into_iter().collect());
            let mut thread =
                ThreadLane { expected, ..thread(RoleKind::Vcpu, "CPU 0/KVM", 10 + place as i32) };
            add_run(&mut thread, SECOND, 2 * SECOND, 1);
            add_run(&mut thread, 5 * SECOND, 5 * SECOND + 100 * MICROSECOND, *cpu);
            recording.threads.push(thread);
        }
        recording
    }

    #[test]
    fn the_verdict_is_the_first_thing_said() {
        let all_well = head(&recording(&[1, 1]));
        assert_eq!(
            (all_well.verdict.as_str(), all_well.standing),
            ("2 threads, 4 switches, 0 µs off CPU 1", Standing::Good)
        );
        let off = head(&recording(&[1, 3]));
        assert_eq!(
            (off.verdict.as_str(), off.standing),
            ("1 of 2 threads ran off CPU 1, for 100 µs in all", Standing::Bad)
        );
        assert_eq!(off.worst, ["CPU 0/KVM, vCPU (thread 11) ran on CPU 3 at 5.0000 s for 100 µs"]);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let lost = head(&Recording { lost: 12, ..recording(&[1]) });
        assert_eq!(
            (lost.verdict.as_str(), lost.standing),
            ("1 thread, 2 switches, 0 µs off CPU 1; 12 records lost", Standing::Open)
        );
        let method =
            Method::Sampled { every: Duration::from_millis(10), why: "perf is not permitted".to_owned() };
        let sampled = head(&Recording { method, ..recording(&[1]) });
        assert_eq!(
            (sampled.verdict.as_str(), sampled.standing),
            ("1 thread, never seen off CPU 1", Standing::Open)
        );
        assert!(
            sampled.facts[2].ends_with("every 10 ms, since perf is not permitted"),
            "{:?}",
            sampled.facts
        );
        let mut unpinned = recording(&[2]);
        unpinned.threads[0].expected = None;
        assert_eq!(head(&unpinned).verdict, "1 thread, 2 switches, 1 move between CPUs: not pinned");
    }
}
