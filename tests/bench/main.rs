//! The figures that pinshim promises to hold, measured side by side in one run, the two sides
//! alternating, so that a busy machine is busy for both.
//!
//! Nothing is asserted: a shared machine is too noisy for that. Each row names its bound and whether it was
//! held; a row that cannot be measured here says why.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made ends the program"
)]

mod creation;
mod exits;
mod memory;
mod plans;
mod report;
mod start;

use harness::{Scratch, TimeLimit, two_cpus};
use report::Report;

fn main() {
    let _limit = TimeLimit::seconds(1800);
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let mut report = Report::new();
    creation::measure(&mut report, &scratch, cpus);
    exits::measure(&mut report, &scratch);
    start::measure(&mut report);
    memory::measure(&mut report);
    plans::measure(&mut report);
}
