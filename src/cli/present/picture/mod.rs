//! A recording as a picture: lanes of threads and CPUs, and the waits.
//!
//! `svg` and `html` are the files; `drawing` puts together what both show. However long the recording, a lane has a
//! bounded number of marks (`cells`, `marks`, `lane`), but a time off the set is always seen (`off`).

mod body;
mod canvas;
mod cells;
mod colours;
mod cpu_lanes;
mod drawing;
mod head;
pub(crate) mod html;
mod lane;
mod legend;
mod lives;
mod marks;
mod names;
mod off;
mod rows;
#[cfg(test)]
pub(crate) mod sample;
mod scale;
mod shapes;
mod spell;
mod style;
pub(crate) mod svg;
mod tables;
#[cfg(test)]
mod tests;
mod thread_lanes;
mod waits;
mod wrap;
