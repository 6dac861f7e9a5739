//! The lanes of threads and CPUs and the waits, one below the other.

use crate::present::picture::body::Body;
use crate::present::picture::colours::Colours;
use crate::present::picture::cpu_lanes::{self, Everybody};
use crate::present::picture::lane::{self, Lane};
use crate::present::picture::scale::Scale;
use crate::present::picture::{thread_lanes, waits};
use crate::record::recording::{Recording, nanoseconds};

/// Draws a recording with its time laid over so many pixels.
pub(super) fn draw(recording: &Recording, colours: &Colours, width: u32) -> Body {
    let scale = Scale::new(nanoseconds(recording.time), width);
    let everybody = Everybody::of(recording);
    let mut rows = thread_lanes::rows(recording, colours, scale);
    let mut cpus = cpu_lanes::lanes(recording, colours, &everybody, scale);
    let threads = rows.iter_mut().flat_map(|rows| &mut rows.lanes);
    let mut lanes: Vec<&mut Lane> = threads.chain(&mut cpus).collect();
    lane::fit(&mut lanes, recording, scale);
    let mut body = Body::new(scale);
    thread_lanes::draw(&mut body, &rows, recording, colours);
    cpu_lanes::draw(&mut body, &cpus, recording, &everybody);
    waits::draw(&mut body, recording);
    body.height += 12.0;
    body
}
