//! The tables of a page: threads, times off the set, and the worst waits.

use crate::present::picture::canvas::harmless;
use crate::present::picture::names;
use crate::present::picture::spell::{length, moment, number, percent};
use crate::record::recording::{Instead, Recording, Span, ThreadLane, Wait, nanoseconds};
use std::cmp::Reverse;

/// So many rows at most has a table.
const MOST_ROWS: usize = 1000;

/// A table with more rows is folded up.
const MOST_OPEN: usize = 60;

/// So many of the worst are listed.
const WORST: usize = 30;

/// All tables that have something to say, as HTML.
pub(super) fn tables(recording: &Recording) -> String {
    let tables = [threads(recording), off(recording), waits(recording)];
    tables.into_iter().flatten().collect::<Vec<String>>().join("\n")
}

fn threads(recording: &Recording) -> Option<String> {
    let time = nanoseconds(recording.time);
    let row = |thread: &ThreadLane| {
        let longest = thread.waits.longest.first().map_or_else(|| "–".to_owned(), |wait| length(wait.length));
        let lived = |moment_of: Option<u64>| moment_of.map_or_else(|| "–".to_owned(), |at| moment(at, 3));
        let cells = vec![
            Cell::Words(names::role(thread)),
            Cell::Words(thread.name.clone()),
            Cell::Figure(thread.tid.to_string()),
            Cell::Words(names::expected(thread)),
            Cell::Figure(lived(thread.born)),
            Cell::Figure(lived(thread.ended)),
            Cell::Figure(number(thread.runs)),
            Cell::Figure(number(thread.moves)),
            Cell::Figure(format!("{} ({})", length(thread.ran), percent(thread.ran, time))),
            match (thread.off, &thread.expected) {
                (_, None) => Cell::Figure("–".to_owned()),
                (0, _) => Cell::Figure("0 µs".to_owned()),
                (off, _) => Cell::Bad(length(off)),
            },
            Cell::Figure(length(thread.waited)),
            Cell::Figure(longest),
        ];
        (thread.off, cells)
    };
    let mut rows: Vec<(u64, Vec<Cell>)> = recording.threads.iter().map(row).collect();
    // Where not all can be listed, those that were off their sets are.
    if rows.len() > MOST_ROWS {
        rows.sort_by_key(|(off, _)| Reverse(*off));
    }
    let headers = [
        "Role",
        "Name",
        "TID",
        "Set",
        "Born",
        "Ended",
        "Runs",
        "Moves",
        "Ran",
        "Off its set",
        "Waited",
        "Longest wait",
    ];
    let all = rows.len();
    table("Threads", &headers, rows.into_iter().take(MOST_ROWS).map(|(_, cells)| cells).collect(), all)
}

fn off(recording: &Recording) -> Option<String> {
    let each = |thread| off_spans(thread).map(move |span| (thread, span));
    let mut spans: Vec<(&ThreadLane, &Span)> = recording.threads.iter().flat_map(each).collect();
    spans.sort_by_key(|(_, span)| Reverse(span.ran));
    let row = |(thread, span): &(&ThreadLane, &Span)| {
        vec![
            Cell::Figure(moment(span.from, 6)),
            Cell::Words(names::thread(thread)),
            Cell::Words(format!("CPU {}", span.cpu)),
            Cell::Bad(length(span.ran)),
            Cell::Figure(number(span.runs)),
        ]
    };
    let rows = spans.iter().take(WORST).map(row).collect();
    table("Off their sets, the longest first", &["At", "Thread", "On", "For", "Runs"], rows, spans.len())
}

fn off_spans(thread: &ThreadLane) -> impl Iterator<Item = &Span> {
    thread.spans.iter().filter(|span| span.off)
}

fn waits(recording: &Recording) -> Option<String> {
    let each = |thread: &'_ ThreadLane| -> Vec<(String, Wait)> {
        thread.waits.longest.iter().map(|wait| (names::thread(thread), wait.clone())).collect()
    };
    let mut waits: Vec<(String, Wait)> = recording.threads.iter().flat_map(each).collect();
    waits.sort_by_key(|(_, wait)| Reverse(wait.length));
    waits.truncate(WORST);
    let culprit = |instead: &Instead| format!("{} {}", names::who(&instead.who), length(instead.ran));
    let row = |(who, wait): (String, Wait)| {
        let instead: Vec<String> = wait.instead.iter().take(3).map(culprit).collect();
        vec![
            Cell::Figure(length(wait.length)),
            Cell::Figure(moment(wait.from, 6)),
            Cell::Words(who),
            Cell::Words(format!("CPU {}", wait.cpu)),
            Cell::Words(if wait.preempted { "preempted" } else { "woken" }.to_owned()),
            Cell::Words(if instead.is_empty() { "not known".to_owned() } else { instead.join(", ") }),
        ]
    };
    let headers = ["Waited", "From", "Thread", "On", "Had been", "Who ran there instead"];
    let rows: Vec<Vec<Cell>> = waits.into_iter().map(row).collect();
    let all = rows.len();
    table("The longest waits", &headers, rows, all)
}

/// A cell of a table.
enum Cell {
    Words(String),
    Figure(String),
    /// A figure that should not be.
    Bad(String),
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Cell::Words(words) => format!("<td>{}", harmless(words)),
            Cell::Figure(figure) => format!("<td class=\"n\">{}", harmless(figure)),
            Cell::Bad(figure) => format!("<td class=\"n bad\">{}", harmless(figure)),
        }
    }
}

/// A table with a heading; none if there are no rows. These are `all` rows, or the first of so many.
fn table(heading: &str, headers: &[&str], rows: Vec<Vec<Cell>>, all: usize) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let head: String = headers.iter().map(|header| format!("<th>{}", harmless(header))).collect();
    let row = |cells: &Vec<Cell>| format!("<tr>{}\n", cells.iter().map(Cell::html).collect::<String>());
    let body: String = rows.iter().map(row).collect();
    let more = match all.saturating_sub(rows.len()) {
        0 => String::new(),
        more => format!("<p class=\"dim\">and {} more</p>", number(more as u64)),
    };
    let heading = harmless(heading);
    let open = if rows.len() <= MOST_OPEN { " open" } else { "" };
    Some(format!(
        "<details{open}><summary><h2>{heading}</h2></summary>\n\
         <div class=\"wide\"><table><thead><tr>{head}</thead><tbody>\n{body}</tbody></table></div>{more}</details>"
    ))
}
