//! A recording as a trace that ui.perfetto.dev and chrome://tracing load: a track for each thread and for each CPU.
//!
//! The format is the Trace Event Format's "JSON Object Format" (Chromium's document of that name). What Perfetto adds to
//! it: slices of one track lie side by side or inside each other, never across, and a thread's id is unique among all
//! processes (perfetto.dev/docs/getting-started/other-formats and its FAQ).

use crate::output::text::one_line;
use crate::record::recording::{Method, Recording, Span, ThreadLane, Wait, Who};
use pinning::CpuId;
use serde::Serialize;

/// The tracks of CPUs belong to a process that there cannot be: no id reaches 2^22 (PID_MAX_LIMIT, linux/threads.h).
const CPUS: u32 = 1 << 23;

/// One event. Which fields an event has depends on its phase.
#[derive(Debug, Default, Serialize)]
struct TraceEvent<'a> {
    /// `X`: something took a time. `i`: something happened. `M`: what a track is called.
    ph: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    pid: u32,
    tid: u32,
    /// When it began, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    /// How long it took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// `t`: an instant of one thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    /// A colour of chrome://tracing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<&'static str>,
    #[serde(skip_serializing_if = "Args::is_empty")]
    args: Args<'a>,
}

/// What is known beside.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Args<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ran_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    off_its_set: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    belongs_on: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    who_ran_instead: Vec<String>,
}

impl Args<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the trace is about.
#[derive(Debug, Serialize)]
struct About<'a> {
    vm: &'a str,
    policy: Option<&'a str>,
    host: &'a str,
    kernel: &'a str,
    method: String,
    records_lost: u64,
}

/// The trace, as JSON.
pub(crate) fn trace(recording: &Recording) -> serde_json::Result<String> {
    let mut trace = Trace { json: String::new() };
    trace.json +=
        &format!("{{\"displayTimeUnit\":\"ns\",\"otherData\":{},\"traceEvents\":[\n", about(recording)?);
    let pid = u32::try_from(recording.subject.pid).unwrap_or(0);
    trace.name("process_name", pid, pid, &recording.subject.title)?;
    trace.sort("process_sort_index", pid, pid, 0)?;
    for (place, thread) in (0..).zip(&recording.threads) {
        thread_track(&mut trace, pid, place, thread)?;
    }
    cpu_tracks(&mut trace, recording)?;
    trace.json.truncate(trace.json.trim_end_matches(",\n").len());
    Ok(trace.json + "\n]}\n")
}

/// One track for a thread: its runs, its longest waits, its birth and its end.
fn thread_track(trace: &mut Trace, pid: u32, place: u32, thread: &ThreadLane) -> serde_json::Result<()> {
    let tid = u32::try_from(thread.tid.0).unwrap_or(0);
    trace.name("thread_name", pid, tid, &thread.name)?;
    trace.sort("thread_sort_index", pid, tid, place)?;
    let set = thread.expected.as_ref().map(ToString::to_string);
    for (moment, name) in [(thread.born, "born"), (thread.ended, "ended")] {
        if let Some(moment) = moment {
            let ts = Some(microseconds(moment));
            trace.event(TraceEvent { ph: "i", name, pid, tid, ts, s: Some("t"), ..TraceEvent::default() })?;
        }
    }
    for span in &thread.spans {
        let args = Args { belongs_on: set.as_deref().filter(|_| span.off), ..of_span(span) };
        let name = format!("CPU {}", span.cpu);
        let (cat, cname) = if span.off { ("off its set", Some("terrible")) } else { ("run", None) };
        trace.event(TraceEvent {
            name: &name,
            cat: Some(cat),
            pid,
            tid,
            cname,
            args,
            ..slice(span.from, span.to)
        })?;
    }
    for wait in thread.waits.longest.iter().filter(|wait| is_beside(wait, &thread.spans)) {
        let who_ran_instead = wait.instead.iter().map(|instead| name_of(&instead.who)).collect();
        let args = Args { cpu: Some(wait.cpu.0), who_ran_instead, ..Args::default() };
        let name = if wait.preempted { "waits, preempted" } else { "waits, woken" };
        let times = slice(wait.from, wait.from.saturating_add(wait.length));
        trace.event(TraceEvent { name, cat: Some("wait"), pid, tid, args, ..times })?;
    }
    Ok(())
}

/// Whether a wait lies beside each run of its thread, or within: then it can be on the same track.
fn is_beside(wait: &Wait, spans: &[Span]) -> bool {
    let end = wait.from.saturating_add(wait.length);
    spans.iter().all(|span| {
        let is_apart = span.to <= wait.from || end <= span.from;
        let is_within = span.from <= wait.from && end <= span.to;
        is_apart || is_within
    })
}

/// Tracks for each CPU: who ran there. Runs that were put together may lie across each other; then a CPU has several.
fn cpu_tracks(trace: &mut Trace, recording: &Recording) -> serde_json::Result<()> {
    trace.name("process_name", CPUS, CPUS, "CPUs of the VM")?;
    trace.sort("process_sort_index", CPUS, CPUS, 1)?;
    let mut tid = CPUS;
    for lane in &recording.cpus {
        for (number, track) in (1..).zip(tracks(recording, lane.cpu)) {
            tid += 1;
            let which = if number == 1 { String::new() } else { format!(" ({number})") };
            trace.name("thread_name", CPUS, tid, &format!("CPU {}{which}", lane.cpu))?;
            trace.sort("thread_sort_index", CPUS, tid, tid - CPUS)?;
            for (span, name, cat) in track {
                let cname = span.off.then_some("terrible");
                let args = of_span(&span);
                let name = name.as_str();
                let times = slice(span.from, span.to);
                trace.event(TraceEvent { name, cat: Some(cat), pid: CPUS, tid, cname, args, ..times })?;
            }
        }
    }
    Ok(())
}

/// Everybody's runs on a CPU, shared out so that those of one track do not overlap.
fn tracks(recording: &Recording, cpu: CpuId) -> Vec<Vec<(Span, String, &'static str)>> {
    let mut runs: Vec<(Span, String, &'static str)> = Vec::new();
    for thread in &recording.threads {
        let there = thread.spans.iter().filter(|span| span.cpu == cpu);
        runs.extend(there.map(|span| {
            let cat = if span.off { "off its set" } else { "VM" };
            (*span, format!("{} ({})", thread.name, thread.tid), cat)
        }));
    }
    for lane in recording.cpus.iter().filter(|lane| lane.cpu == cpu) {
        let name = |who: usize| recording.others.get(who).map_or_else(|| "?".to_owned(), name_of);
        runs.extend(lane.others.iter().map(|other| (other.span, name(other.who), "other")));
    }
    runs.sort_by_key(|(span, _, _)| (span.from, span.to));
    let mut tracks: Vec<Vec<(Span, String, &'static str)>> = Vec::new();
    for run in runs {
        let is_free = |track: &&mut Vec<(Span, String, &str)>| {
            track.last().is_none_or(|(last, _, _)| last.to <= run.0.from)
        };
        match tracks.iter_mut().find(is_free) {
            Some(track) => track.push(run),
            None => tracks.push(vec![run]),
        }
    }
    tracks
}

fn about(recording: &Recording) -> serde_json::Result<String> {
    let subject = &recording.subject;
    let method = match &recording.method {
        Method::Exact { .. } if recording.resolution == 0 => "exact".to_owned(),
        Method::Exact { .. } => format!("exact, runs less than {} ns apart are one", recording.resolution),
        Method::Sampled { every, why } => format!("sampled every {} µs: {why}", every.as_micros()),
    };
    let policy = subject.policy.as_deref().map(one_line);
    let about = About {
        vm: &one_line(&subject.title),
        policy: policy.as_deref(),
        host: &one_line(&subject.host),
        kernel: &one_line(&subject.kernel),
        method: one_line(&method).into_owned(),
        records_lost: recording.lost,
    };
    serde_json::to_string(&about)
}

fn of_span(span: &Span) -> Args<'static> {
    Args {
        cpu: Some(span.cpu.0),
        ran_us: (span.runs != 1).then(|| microseconds(span.ran)),
        runs: (span.runs != 1).then_some(span.runs),
        off_its_set: span.off.then_some(true),
        ..Args::default()
    }
}

fn name_of(who: &Who) -> String {
    one_line(&format!("{} ({})", who.comm, who.tid)).into_owned()
}

/// The times of a slice.
fn slice<'a>(from: u64, to: u64) -> TraceEvent<'a> {
    let dur = Some(microseconds(to.saturating_sub(from)));
    TraceEvent { ph: "X", ts: Some(microseconds(from)), dur, ..TraceEvent::default() }
}

/// Nanoseconds as microseconds: as a double is written, its three decimals are exact for ten days.
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

/// The events so far.
struct Trace {
    json: String,
}

impl Trace {
    /// Writes an event. Its name may be a stranger's word: it is made harmless here.
    fn event(&mut self, event: TraceEvent<'_>) -> serde_json::Result<()> {
        let name = one_line(event.name);
        self.json += &serde_json::to_string(&TraceEvent { name: &name, ..event })?;
        self.json += ",\n";
        Ok(())
    }

    fn name(&mut self, what: &'static str, pid: u32, tid: u32, name: &str) -> serde_json::Result<()> {
        let name = one_line(name);
        let args = Args { name: Some(&name), ..Args::default() };
        self.event(TraceEvent { ph: "M", name: what, pid, tid, args, ..TraceEvent::default() })
    }

    fn sort(&mut self, what: &'static str, pid: u32, tid: u32, place: u32) -> serde_json::Result<()> {
        let args = Args { sort_index: Some(place), ..Args::default() };
        self.event(TraceEvent { ph: "M", name: what, pid, tid, args, ..TraceEvent::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::{self, add_run, add_wait, blank, thread};
    use pinning::{RoleKind, is_harmful};
    use proptest::prelude::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// What the Trace Event Format demands of an event of each phase, and Perfetto of a track.
    fn check(text: &str) -> Vec<Value> {
        let trace: Value = serde_json::from_str(text).unwrap();
        assert!(["ms", "ns"].contains(&trace["displayTimeUnit"].as_str().unwrap()));
        assert!(trace["otherData"].is_object());
        let events = trace["traceEvents"].as_array().unwrap();
        let mut tracks: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
        let mut processes: BTreeMap<u64, u64> = BTreeMap::new();
        for event in events {
            let name = event["name"].as_str().unwrap();
            let (pid, tid) = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
            assert_eq!(*processes.entry(tid).or_insert(pid), pid, "a thread's id is unique: {event}");
            let time = |field: &str| {
                let microseconds = event[field].as_f64().unwrap();
                assert!(microseconds >= 0.0, "{event}");
                (microseconds * 1000.0).round() as u64
            };
            match event["ph"].as_str().unwrap() {
                "X" => {
                    assert!(!event["cat"].as_str().unwrap().is_empty());
                    tracks.entry((pid, tid)).or_default().push((time("ts"), time("ts") + time("dur")));
                }
                "i" => {
                    time("ts");
                    assert!(["g", "p", "t"].contains(&event["s"].as_str().unwrap()));
                }
                "M" => match name {
                    "process_name" | "thread_name" => assert!(event["args"]["name"].is_string()),
                    "process_sort_index" | "thread_sort_index" => {
                        assert!(event["args"]["sort_index"].is_u64());
                    }
                    other => panic!("{other} is no metadata"),
                },
                other => panic!("phase {other}"),
            }
        }
        for (track, mut slices) in tracks {
            slices.sort_by_key(|(from, to)| (*from, std::cmp::Reverse(*to)));
            let mut open: Vec<u64> = Vec::new();
            for (from, to) in slices {
                open.retain(|end| *end > from);
                assert!(open.iter().all(|end| to <= *end), "slices of {track:?} lie across at {from}");
                open.push(to);
            }
        }
        events.clone()
    }

    fn count(events: &[Value], is: impl Fn(&Value) -> bool) -> usize {
        events.iter().filter(|event| is(event)).count()
    }

    #[test]
    fn every_run_birth_and_end_is_in_the_trace() {
        let recording = sample::minute();
        let events = check(&trace(&recording).unwrap());
        let spans: usize = recording.threads.iter().map(|thread| thread.spans.len()).sum();
        let of_vm = |event: &Value| event["pid"] == 4711 && event["ph"] == "X" && event["cat"] != "wait";
        assert_eq!(count(&events, of_vm), spans);
        assert_eq!(count(&events, |event| event["name"] == "born"), 16);
        assert_eq!(count(&events, |event| event["name"] == "ended"), 12);
        let off: Vec<&Value> = events.iter().filter(|event| event["args"]["belongs_on"] == "1").collect();
        assert_eq!(off.len(), 1);
        assert_eq!(
            (&off[0]["name"], &off[0]["dur"], &off[0]["cat"]),
            (&"CPU 3".into(), &100.0.into(), &"off its set".into())
        );
        assert!(count(&events, |event| event["args"]["who_ran_instead"][0] == "stress-ng (812)") > 5);
        let others: usize = recording.cpus.iter().map(|cpu| cpu.others.len()).sum();
        assert_eq!(count(&events, |event| event["cat"] == "other"), others);
    }

    #[test]
    fn runs_that_were_put_together_do_not_lie_across_each_other_on_a_cpu() {
        let mut recording = blank(1_000_000);
        recording.resolution = 1000;
        for tid in 1..4 {
            let mut thread = thread(RoleKind::Worker, "worker", tid);
            add_run(&mut thread, 1000 * tid as u64, 500_000 + 1000 * tid as u64, 3);
            add_wait(&mut thread, 2000, 1500, 3, &[]);
            recording.threads.push(thread);
        }
        recording.cpus.push(crate::record::recording::CpuLane { cpu: CpuId(3), others: Vec::new() });
        let events = check(&trace(&recording).unwrap());
        let is_track = |event: &Value| event["name"] == "thread_name" && event["pid"] == CPUS;
        assert_eq!(count(&events, is_track), 3);
        assert_eq!(count(&events, |event| event["cat"] == "wait"), 2, "the third lies across a run");
    }

    #[test]
    fn names_of_strangers_are_harmless() {
        let text = trace(&sample::hostile()).unwrap();
        check(&text);
        assert_eq!(text.chars().find(|c| is_harmful(*c) && *c != '\n'), None);
    }

    proptest! {
        #[test]
        fn any_recording_makes_a_trace_of_the_format(
            spans in proptest::collection::vec((0..4usize, 0..900u64, 0..200u64, 0..3u32), 0..60), name: String
        ) {
            let mut recording = blank(1000);
            recording.threads =
                (1..5).map(|tid| thread(RoleKind::Emulator, &name, tid)).collect();
            let mut spans = spans;
            spans.sort_by_key(|(_, from, _, _)| *from);
            for (place, from, length, cpu) in spans {
                let thread = &mut recording.threads[place];
                let from = from.max(thread.spans.last().map_or(0, |last| last.to));
                add_run(thread, from, from + length, cpu);
            }
            recording.cpus = (0..3)
                .map(|cpu| crate::record::recording::CpuLane { cpu: CpuId(cpu), others: Vec::new() })
                .collect();
            check(&trace(&recording).unwrap());
        }
    }
}
