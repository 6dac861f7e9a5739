//! A recording as one JSON document, documented in `docs/command.md`.
//!
//! Spans are arrays of numbers: an hour has a hundred thousand of them.

use crate::output::text::{cut, escaped};
use crate::present::json::VERSION;
use crate::record::recording::{
    CpuLane, Instead, Method, OtherSpan, Recording, Span, ThreadLane, Wait, Waits, Who, nanoseconds,
};
use pinning::{CpuSet, RoleKind};
use serde::Serialize;
use std::time::UNIX_EPOCH;

/// So many characters of a cpulist are written.
const LIST: usize = 4096;

#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    pid: i32,
    name: Option<&'a str>,
    /// The variables of its policy; null if it is not pinned.
    policy: Option<&'a str>,
    host: &'a str,
    kernel: &'a str,
    online: String,
    /// By the clock on the wall, in seconds since 1970.
    began: f64,
    time_ns: u64,
    #[serde(flatten)]
    method: HowMade<'a>,
    lost: u64,
    resolution_ns: u64,
    /// Whether no thread ran off its set; null if it is not pinned.
    ok: Option<bool>,
    threads: Vec<Thread<'a>>,
    cpus: Vec<Cpu>,
    others: Vec<Person<'a>>,
}

#[derive(Debug, Serialize)]
struct HowMade<'a> {
    /// `exact` or `sampled`.
    method: &'static str,
    /// Why it is sampled.
    sampled_why: Option<&'a str>,
    /// From one look to the next.
    sampled_every_ns: Option<u64>,
    /// Why other processes were not recorded; null: they were.
    no_others_why: Option<&'a str>,
    /// Why it is not known when a thread was woken; null: it is.
    no_wakings_why: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Thread<'a> {
    tid: i32,
    role: String,
    role_assumed: bool,
    vcpu: Option<u32>,
    vhost_worker: Option<u32>,
    name: &'a str,
    expected: Option<String>,
    born_ns: Option<u64>,
    ended_ns: Option<u64>,
    ran_ns: u64,
    off_ns: u64,
    runs: u64,
    moves: u64,
    waited_ns: u64,
    waits: ShownWaits<'a>,
    /// from, to, CPU, ran, runs, off (0 or 1).
    spans: Vec<[u64; 6]>,
}

#[derive(Debug, Serialize)]
struct ShownWaits<'a> {
    count: u64,
    p50_ns: u64,
    p99_ns: u64,
    p99_9_ns: u64,
    max_ns: u64,
    longest: Vec<ShownWait<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownWait<'a> {
    from_ns: u64,
    length_ns: u64,
    cpu: u32,
    preempted: bool,
    instead: Vec<ShownInstead<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownInstead<'a> {
    #[serde(flatten)]
    who: Person<'a>,
    ran_ns: u64,
}

#[derive(Debug, Serialize)]
struct Person<'a> {
    pid: i32,
    tid: i32,
    comm: &'a str,
}

#[derive(Debug, Serialize)]
struct Cpu {
    cpu: u32,
    /// from, to, a place in the list of others, ran, runs.
    others: Vec<[u64; 5]>,
}

/// The document, with its line's end.
///
/// # Errors
/// Never: all of it can be written as JSON.
pub(crate) fn document(recording: &Recording) -> serde_json::Result<String> {
    let subject = &recording.subject;
    let began = recording.began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let document = Document {
        version: VERSION,
        pid: subject.pid,
        name: subject.name.as_deref(),
        policy: subject.policy.as_deref(),
        host: &subject.host,
        kernel: &subject.kernel,
        online: list(&subject.online),
        began: began.as_secs_f64(),
        time_ns: nanoseconds(recording.time),
        method: how_made(&recording.method),
        lost: recording.lost,
        resolution_ns: recording.resolution,
        ok: subject.policy.is_some().then(|| recording.threads.iter().all(|lane| lane.off == 0)),
        threads: recording.threads.iter().map(thread).collect(),
        cpus: recording.cpus.iter().map(cpu).collect(),
        others: recording.others.iter().map(person).collect(),
    };
    Ok(escaped(&serde_json::to_string(&document)?) + "\n")
}

fn list(set: &CpuSet) -> String {
    cut(&set.to_string(), LIST).into_owned()
}

fn how_made(method: &Method) -> HowMade<'_> {
    match method {
        Method::Exact { others, wakings } => HowMade {
            method: "exact",
            sampled_why: None,
            sampled_every_ns: None,
            no_others_why: others.as_ref().err().map(String::as_str),
            no_wakings_why: wakings.as_ref().err().map(String::as_str),
        },
        Method::Sampled { every, why } => HowMade {
            method: "sampled",
            sampled_why: Some(why),
            sampled_every_ns: u64::try_from(every.as_nanos()).ok(),
            no_others_why: Some(why),
            no_wakings_why: Some(why),
        },
    }
}

fn thread(lane: &ThreadLane) -> Thread<'_> {
    Thread {
        tid: lane.tid.0,
        role: lane.role.to_string(),
        role_assumed: lane.role_assumed,
        vcpu: lane.index.filter(|_| lane.role == RoleKind::Vcpu),
        vhost_worker: lane.index.filter(|_| lane.role == RoleKind::Vhost),
        name: &lane.name,
        expected: lane.expected.as_ref().map(list),
        born_ns: lane.born,
        ended_ns: lane.ended,
        ran_ns: lane.ran,
        off_ns: lane.off,
        runs: lane.runs,
        moves: lane.moves,
        waited_ns: lane.waited,
        waits: waits(&lane.waits),
        spans: lane.spans.iter().map(span).collect(),
    }
}

fn span(span: &Span) -> [u64; 6] {
    [span.from, span.to, span.cpu.0.into(), span.ran, span.runs, span.off.into()]
}

fn waits(waits: &Waits) -> ShownWaits<'_> {
    let max = waits.longest.first().map_or(0, |wait| wait.length);
    // The histogram keeps two digits, and rounds up.
    let quantile = |quantile| waits.lengths.value_at_quantile(quantile).min(max);
    ShownWaits {
        count: waits.lengths.len(),
        p50_ns: quantile(0.5),
        p99_ns: quantile(0.99),
        p99_9_ns: quantile(0.999),
        max_ns: max,
        longest: waits.longest.iter().map(wait).collect(),
    }
}

fn wait(wait: &Wait) -> ShownWait<'_> {
    ShownWait {
        from_ns: wait.from,
        length_ns: wait.length,
        cpu: wait.cpu.0,
        preempted: wait.preempted,
        instead: wait.instead.iter().map(instead).collect(),
    }
}

fn instead(instead: &Instead) -> ShownInstead<'_> {
    ShownInstead { who: person(&instead.who), ran_ns: instead.ran }
}

fn person(who: &Who) -> Person<'_> {
    Person { pid: who.pid, tid: who.tid.0, comm: &who.comm }
}

fn cpu(lane: &CpuLane) -> Cpu {
    let other = |OtherSpan { span, who }: &OtherSpan| [span.from, span.to, *who as u64, span.ran, span.runs];
    Cpu { cpu: lane.cpu.0, others: lane.others.iter().map(other).collect() }
}
