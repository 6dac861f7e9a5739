//! A recording as comma-separated values (RFC 4180): a line for each span.

use crate::output::text::one_line;
use crate::record::recording::{Recording, Span};
use std::borrow::Cow;
use std::fmt::Write;

/// The first line.
const HEADER: &str = "kind,pid,tid,name,role,index,cpu,from_ns,to_ns,ran_ns,runs,off";

/// The lines, each with its end. A span is a `thread`'s of the VM or an `other`'s, who ran on one of its CPUs.
pub(crate) fn lines(recording: &Recording) -> String {
    let mut text = format!("{HEADER}\n");
    let pid = recording.subject.pid;
    for lane in &recording.threads {
        let index = lane.index.map(|index| index.to_string()).unwrap_or_default();
        let who = format!("thread,{pid},{},{},{},{index}", lane.tid, field(&lane.name), lane.role);
        lane.spans.iter().for_each(|span| line(&mut text, &who, span));
    }
    for cpu in &recording.cpus {
        for other in &cpu.others {
            let Some(who) = recording.others.get(other.who) else { continue };
            let who = format!("other,{},{},{},,", who.pid, who.tid, field(&who.comm));
            line(&mut text, &who, &other.span);
        }
    }
    text
}

fn line(text: &mut String, who: &str, span: &Span) {
    let Span { from, to, ran, runs, cpu, off } = span;
    // Writing to a string does not fail.
    let _ = writeln!(text, "{who},{cpu},{from},{to},{ran},{runs},{}", u8::from(*off));
}

/// A name of others as a field. A spreadsheet takes what begins like a formula for one: a quote before it prevents that.
fn field(name: &str) -> Cow<'_, str> {
    let name = one_line(name);
    let is_formula = name.starts_with(['=', '+', '-', '@']);
    if is_formula || name.contains([',', '"', '\'']) {
        let mark = if is_formula { "'" } else { "" };
        return format!("\"{mark}{}\"", name.replace('"', "\"\"")).into();
    }
    name
}
