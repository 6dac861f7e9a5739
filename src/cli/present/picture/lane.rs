//! A lane of the picture, and how finely all of them can be drawn so that the file stays small.

use crate::present::picture::cells::Cells;
use crate::present::picture::lives::{Life, lives};
use crate::present::picture::marks::{Mark, marks};
use crate::present::picture::off::{OffMark, off_marks, off_spans};
use crate::present::picture::scale::Scale;
use crate::record::recording::{Recording, Span};
use pinning::CpuId;

/// A picture has so many bars and marks at most, each about 130 bytes with its title: more for more lanes, up to a limit.
const MARKS: usize = 1000;
const MARKS_PER_LANE: usize = 36;
const MOST_MARKS: usize = 10_000;

/// A lane: what ran, when it was off its set, and the lives of its threads.
#[derive(Debug)]
pub(super) struct Lane {
    /// The threads, by their places; for a CPU all of them.
    pub(super) threads: Vec<usize>,
    /// The CPU, if it is a CPU's lane.
    pub(super) cpu: Option<CpuId>,
    /// What ran.
    pub(super) cells: Cells,
    /// Which band each layer of the cells belongs to; a layer that is not listed is a band of its own.
    pub(super) bands: Vec<usize>,
    off: Vec<(usize, Span)>,
}

impl Lane {
    /// A lane with nothing in its cells.
    pub(super) fn new(recording: &Recording, threads: Vec<usize>, cpu: Option<CpuId>, scale: Scale) -> Self {
        let each = threads.iter().filter_map(|place| Some((*place, recording.threads.get(*place)?)));
        let off = off_spans(each, cpu);
        Self { threads, cpu, cells: Cells::new(scale), bands: Vec::new(), off }
    }

    /// What ran, as bars.
    pub(super) fn marks(&self) -> Vec<Mark> {
        marks(&self.cells, |layer| self.bands.get(layer).copied().unwrap_or(layer))
    }

    /// The times off the set.
    pub(super) fn off_marks(&self) -> Vec<OffMark> {
        off_marks(&self.off, self.cells.column_time())
    }

    /// The lives of its threads; a CPU has none.
    pub(super) fn lives(&self, recording: &Recording, time: u64) -> Vec<Life> {
        let threads = self.threads.iter().filter_map(|place| Some((*place, recording.threads.get(*place)?)));
        let threads = threads.filter(|_| self.cpu.is_none());
        lives(threads, time, self.cells.column_time())
    }

    fn count(&self, recording: &Recording, scale: Scale) -> usize {
        let bars: usize = self.marks().iter().map(|mark| mark.bars.len()).sum();
        bars + self.off_marks().len() + self.lives(recording, scale.time()).len()
    }
}

/// Puts columns together in all lanes alike, until there are few enough marks.
pub(super) fn fit(lanes: &mut [&mut Lane], recording: &Recording, scale: Scale) {
    let most = (MARKS + lanes.len() * MARKS_PER_LANE).min(MOST_MARKS);
    let mut pixels = 1;
    while pixels < scale.width()
        && lanes.iter().map(|lane| lane.count(recording, scale)).sum::<usize>() > most
    {
        pixels *= 2;
        lanes.iter_mut().for_each(|lane| lane.cells.widen(pixels));
    }
}
