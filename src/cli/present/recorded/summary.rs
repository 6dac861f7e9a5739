//! A recording in words: the verdict, a table of its threads, the longest waits, and how it was made.

use crate::output::line::{Emphasis, Line};
use crate::output::style::Style;
use crate::output::text::{count, cut, short};
use crate::present::recorded::role::role;
use crate::present::table;
use crate::record::recording::{Method, Recording, ThreadLane, Wait};
use std::time::Duration;

/// So many of the longest waits are named.
const WAITS: usize = 10;

/// So many threads have a row; more, as of workers that come and go, only where they are off their sets.
const ROWS: usize = 60;

/// So many characters of the policy are shown; `--format json` has all of it.
const POLICY: usize = 2000;

const HEADERS: [&str; 10] =
    ["TID", "ROLE", "NAME", "EXPECTED", "RUNS", "MOVES", "RAN", "OFF", "DELAY", "LONGEST"];

/// The lines.
pub(crate) fn lines(recording: &Recording, style: Style) -> Vec<Line> {
    let mut lines = vec![verdict(recording)];
    if let Some(policy) = &recording.subject.policy {
        lines.push(format!("  {}", cut(policy, POLICY)).into());
    }
    let (rows, left_out) = rows(&recording.threads);
    lines.extend(table::lines(&HEADERS, rows, style));
    if left_out > 0 {
        lines.push(format!("  and {left_out} more, which ran where they belong").into());
    }
    lines.extend(waits(recording));
    lines.extend(made(recording).into_iter().map(Line::from));
    lines
}

fn time(nanoseconds: u64) -> String {
    short(Duration::from_nanos(nanoseconds))
}

/// What it proves.
fn verdict(recording: &Recording) -> Line {
    let threads = recording.threads.len();
    let runs: u64 = recording.threads.iter().map(|lane| lane.runs).sum();
    let moves: u64 = recording.threads.iter().map(|lane| lane.moves).sum();
    let off: Vec<&ThreadLane> = recording.threads.iter().filter(|lane| lane.off > 0).collect();
    let (title, seconds) = (&recording.subject.title, time_of(recording));
    let what = format!("{}, {}, {}", count(threads, "thread"), number(runs, "run"), number(moves, "move"));
    if recording.subject.policy.is_none() {
        return format!("{title}: NOT PINNED; {what} in {seconds}").into();
    }
    if off.is_empty() {
        return format!("{title}: {what} in {seconds}, no thread off its set").into();
    }
    let sum = off.iter().map(|lane| lane.off).sum();
    let text = format!("{title}: {what} in {seconds}, {} OFF their sets for {}", off.len(), time(sum));
    Line::new(text, Some(Emphasis::Red))
}

fn time_of(recording: &Recording) -> String {
    format!("{:.1} s", recording.time.as_secs_f64())
}

fn number(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

/// The cells of a thread's row, and how it stands out.
type Row = (Vec<String>, Option<Emphasis>);

/// The rows of the table, and how many threads have none.
fn rows(threads: &[ThreadLane]) -> (Vec<Row>, usize) {
    let many = threads.len() > ROWS;
    let mut left = ROWS;
    let shown = threads.iter().filter(|lane| {
        let has_row = !many || lane.off > 0 || left > 0;
        left -= usize::from(has_row && left > 0);
        has_row
    });
    let rows: Vec<Row> = shown.map(|lane| (cells(lane), (lane.off > 0).then_some(Emphasis::Red))).collect();
    let left_out = threads.len() - rows.len();
    (rows, left_out)
}

fn cells(lane: &ThreadLane) -> Vec<String> {
    let longest = lane.waits.longest.first().map_or("-".to_owned(), |wait| time(wait.length));
    let expected = lane.expected.as_ref().map_or("-".to_owned(), |set| table::list(set.to_string()));
    vec![
        lane.tid.to_string(),
        role(lane),
        lane.name.clone(),
        expected,
        lane.runs.to_string(),
        lane.moves.to_string(),
        time(lane.ran),
        time(lane.off),
        time(lane.waited),
        longest,
    ]
}

/// The longest waits of all threads, with who ran instead.
fn waits(recording: &Recording) -> Vec<Line> {
    if recording.threads.iter().all(|lane| lane.waits.longest.is_empty()) {
        return Vec::new();
    }
    let each =
        recording.threads.iter().flat_map(|lane| lane.waits.longest.iter().map(move |wait| (lane, wait)));
    let mut all: Vec<(&ThreadLane, &Wait)> = each.collect();
    all.sort_by_key(|(_, wait)| std::cmp::Reverse(wait.length));
    let line = |(lane, wait): (&ThreadLane, &Wait)| {
        let why = if wait.preempted { "preempted" } else { "woken" };
        let instead: Vec<String> = wait
            .instead
            .iter()
            .map(|instead| {
                let who = &instead.who;
                let comm = if who.comm.is_empty() { "?" } else { &who.comm };
                format!("{comm} ({}) ran {}", who.tid, time(instead.ran))
            })
            .collect();
        let instead = if instead.is_empty() { String::new() } else { format!("; {}", instead.join(", ")) };
        let at = Duration::from_nanos(wait.from).as_secs_f64();
        let (length, cpu) = (time(wait.length), wait.cpu);
        Line::from(format!(
            "  {length} at {at:.6} s on CPU {cpu}: {} ({}), {why}{instead}",
            role(lane),
            lane.tid
        ))
    };
    let mut lines = vec![Line::from("the longest waits:".to_owned())];
    lines.extend(all.into_iter().take(WAITS).map(line));
    lines
}

/// How it was made, and what it lacks.
fn made(recording: &Recording) -> Vec<String> {
    let mut lines = Vec::new();
    match &recording.method {
        Method::Exact { others, wakings } => {
            lines.push("every switch was recorded".to_owned());
            if let Err(why) = others {
                lines.push(format!("  without other processes: {why}"));
            }
            // Both for one reason otherwise.
            if let (Ok(()), Err(why)) = (others, wakings) {
                lines.push(format!("  without the moments in which threads were woken: {why}"));
            }
        }
        Method::Sampled { every, why } => {
            lines.push(format!(
                "NOT every switch was recorded, only looks at /proc every {}: {why}",
                short(*every)
            ));
        }
    }
    if recording.lost > 0 {
        lines.push(format!(
            "  {} lost: times of threads that ran then may be wrong",
            number(recording.lost, "record")
        ));
    }
    if recording.resolution > 0 && matches!(recording.method, Method::Exact { .. }) {
        let resolution = time(recording.resolution);
        lines.push(format!(
            "  runs with less than {resolution} between them are one span, so that it stays small"
        ));
    }
    lines
}
