//! A lane for each CPU of the VM: who ran there.

use crate::present::picture::body::{Body, LABELS};
use crate::present::picture::colours::Colours;
use crate::present::picture::lane::Lane;
use crate::present::picture::marks::Mark;
use crate::present::picture::names;
use crate::present::picture::scale::Scale;
use crate::present::picture::shapes::Strip;
use crate::present::picture::spell::{length, percent, range};
use crate::record::recording::{Method, Recording, ThreadLane, Who};
use pinning::RoleKind;
use std::cmp::Reverse;

/// The layers of a CPU's lane are all who ran on one of them: vCPUs, then the VM's other threads, then everybody else.
#[derive(Debug)]
pub(super) struct Everybody {
    names: Vec<String>,
    bands: Vec<usize>,
    /// Each thread's layer, by its place.
    of_thread: Vec<usize>,
    /// The first layer that is none of the VM's.
    first_other: usize,
}

/// What a CPU's bar is made of, from the bottom up.
const VCPU: usize = 0;
const OTHER_THREAD: usize = 1;
const OTHER_PROCESS: usize = 2;

impl Everybody {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut everybody = Self {
            names: Vec::new(),
            bands: Vec::new(),
            of_thread: vec![0; recording.threads.len()],
            first_other: recording.threads.len(),
        };
        for band in [VCPU, OTHER_THREAD] {
            let is_of_band = |thread: &ThreadLane| (thread.role == RoleKind::Vcpu) == (band == VCPU);
            for (thread, layer) in recording.threads.iter().zip(&mut everybody.of_thread) {
                if is_of_band(thread) {
                    *layer = everybody.names.len();
                    everybody.names.push(names::thread(thread));
                    everybody.bands.push(band);
                }
            }
        }
        everybody.names.extend(recording.others.iter().map(names::who));
        everybody.bands.resize(everybody.names.len(), OTHER_PROCESS);
        everybody
    }
}

/// The lanes of all CPUs, drawn as finely as a pixel can be.
pub(super) fn lanes(
    recording: &Recording,
    colours: &Colours,
    everybody: &Everybody,
    scale: Scale,
) -> Vec<Lane> {
    let lane = |cpu| {
        let threads = (0..recording.threads.len()).collect();
        let mut lane = Lane::new(recording, threads, Some(cpu), scale);
        lane.bands.clone_from(&everybody.bands);
        lane
    };
    let mut lanes: Vec<Lane> = colours.cpus().iter().copied().map(lane).collect();
    for (thread, layer) in recording.threads.iter().zip(&everybody.of_thread) {
        for span in &thread.spans {
            if let Some(lane) = lanes.get_mut(colours.place(span.cpu)) {
                lane.cells.add(*layer, span.from..span.to, span.ran);
            }
        }
    }
    for cpu in &recording.cpus {
        let Some(lane) = lanes.get_mut(colours.place(cpu.cpu)) else { continue };
        for other in &cpu.others {
            let layer = everybody.first_other + other.who;
            lane.cells.add(layer, other.span.from..other.span.to, other.span.ran);
        }
    }
    lanes
}

/// Draws them.
pub(super) fn draw(body: &mut Body, lanes: &[Lane], recording: &Recording, everybody: &Everybody) {
    let height = if lanes.len() <= 8 { 27.0 } else { 19.0 };
    body.heading("CPUs");
    body.axis(lanes.len() as f64 * height);
    for (place, lane) in lanes.iter().enumerate() {
        label(body, lane, everybody, height);
        let strip = Strip { scale: body.scale, height };
        body.plot.at(0.0, body.height, |canvas| {
            strip.ground(canvas);
            for mark in lane.marks() {
                let title = title(lane, &mark, everybody);
                strip.bars(canvas, &mark, 0..u64::MAX, &title, |band| class(place, band));
            }
            for mark in lane.off_marks() {
                let threads = mark.threads.iter().filter_map(|place| recording.threads.get(*place));
                let who = names::threads(threads.collect::<Vec<_>>().into_iter());
                strip.flag(canvas, &mark, &names::off(&mark, &who));
            }
        });
        body.height += height;
    }
    body.height += 4.0;
    for note in notes(recording) {
        body.note(&note);
    }
}

fn class(place: usize, band: usize) -> String {
    match band {
        VCPU => format!("c{place}"),
        OTHER_THREAD => format!("c{place} half"),
        _ => "other".to_owned(),
    }
}

/// The CPU's number at the left, how busy it was at the right.
fn label(body: &mut Body, lane: &Lane, everybody: &Everybody, height: f64) {
    let Some(cpu) = lane.cpu else { return };
    let (mut vm, mut others) = (0, 0);
    for (layer, ran) in lane.cells.columns().0.iter().flat_map(|cell| &cell.ran) {
        let sum = if *layer < everybody.first_other { &mut vm } else { &mut others };
        *sum += ran;
    }
    let time = body.scale.time();
    let base = body.height + height / 2.0 + 4.0;
    let title = format!(
        "CPU {cpu}: the VM ran {} ({}), other processes {} ({})",
        length(vm),
        percent(vm, time),
        length(others),
        percent(others, time)
    );
    body.labels.titled_text("", (10.0, base), &format!("CPU {cpu}"), &title);
    let busy = percent(vm + others, time);
    body.labels.titled_text("dim small end", (f64::from(LABELS) - 10.0, base), &busy, &title);
}

/// Who ran, those that ran longest first.
fn title(lane: &Lane, mark: &Mark, everybody: &Everybody) -> String {
    let mut ran: Vec<&(usize, u64)> = mark.cell.ran.iter().collect();
    ran.sort_by_key(|(_, ran)| Reverse(*ran));
    let name = |layer: usize| everybody.names.get(layer).map_or("?", String::as_str);
    let mut who: Vec<String> =
        ran.iter().take(4).map(|(layer, ran)| format!("{} {}", name(*layer), length(*ran))).collect();
    if ran.len() > 4 {
        who.push(format!("{} more", ran.len() - 4));
    }
    let cpu = lane.cpu.map_or_else(String::new, |cpu| format!("CPU {cpu}: "));
    format!("{cpu}{}, {}", range(mark.cell.from, mark.cell.to), who.join(", "))
}

/// Who else ran there, or why that is not known.
pub(super) fn notes(recording: &Recording) -> Vec<String> {
    match &recording.method {
        Method::Exact { others: Ok(()), .. } => {}
        Method::Exact { others: Err(why), .. } => {
            return vec![format!("Other processes were not recorded: {why}.")];
        }
        Method::Sampled { .. } => return vec!["Other processes are not seen in samples.".to_owned()],
    }
    let mut ran: Vec<u64> = vec![0; recording.others.len()];
    for other in recording.cpus.iter().flat_map(|cpu| &cpu.others) {
        ran.iter_mut().skip(other.who).take(1).for_each(|sum| *sum += other.span.ran);
    }
    // A process is called as its main thread, or as the one of its threads that ran longest.
    let mut threads: Vec<(&Who, u64)> =
        recording.others.iter().zip(ran).filter(|(_, ran)| *ran > 0).collect();
    threads.sort_by_key(|(who, ran)| (Reverse(*ran), who.tid.0));
    let mut processes: Vec<(&Who, u64)> = Vec::new();
    for (who, ran) in threads {
        match processes.iter_mut().find(|(process, _)| process.pid == who.pid) {
            Some((_, sum)) => *sum += ran,
            None => processes.push((who, ran)),
        }
    }
    processes.sort_by_key(|(_, ran)| Reverse(*ran));
    let main = |process: &Who| {
        let is_main = |who: &&Who| who.pid == process.pid && who.tid.0 == process.pid;
        recording.others.iter().find(is_main).unwrap_or(process).comm.clone()
    };
    let name = |(who, ran): &(&Who, u64)| format!("{} (PID {}) {}", main(who), who.pid, length(*ran));
    let mut named: Vec<String> = processes.iter().take(MOST_NAMED).map(name).collect();
    let rest: Vec<u64> = processes.iter().skip(MOST_NAMED).map(|(_, ran)| *ran).collect();
    if !rest.is_empty() {
        named.push(format!("{} more {}", rest.len(), length(rest.iter().sum())));
    }
    if named.is_empty() {
        vec!["No other process ran there.".to_owned()]
    } else {
        vec![format!("Other processes there: {}.", named.join(", "))]
    }
}

/// So many other processes are named.
const MOST_NAMED: usize = 4;
