//! A lane's time in columns: who ran in each of them, for how long.
//!
//! However long a recording is, a lane has as many columns as it has pixels, or fewer.

use crate::present::picture::scale::Scale;
use std::ops::Range;

/// What ran on a lane within one column, or within several that were put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// The first moment in which something ran.
    pub(super) from: u64,
    /// The last one.
    pub(super) to: u64,
    /// For how long each layer of the lane ran, by the layer's number; each once, in their order.
    pub(super) ran: Vec<(usize, u64)>,
}

impl Cell {
    fn is_empty(&self) -> bool {
        self.ran.is_empty()
    }

    /// Takes in another one.
    pub(super) fn merge(&mut self, other: &Cell) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        for (layer, ran) in &other.ran {
            match self.ran.binary_search_by_key(layer, |(layer, _)| *layer) {
                Ok(place) => self.ran.iter_mut().skip(place).take(1).for_each(|(_, sum)| *sum += ran),
                Err(place) => self.ran.insert(place, (*layer, *ran)),
            }
        }
    }
}

/// The columns of a lane.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    scale: Scale,
    /// How many pixels a column is wide.
    pixels: u32,
    cells: Vec<Cell>,
}

impl Cells {
    /// A lane in which nothing has run, with a column for each pixel.
    pub(super) fn new(scale: Scale) -> Self {
        let cells = (0..scale.width()).map(|_| Cell::default()).collect();
        Self { scale, pixels: 1, cells }
    }

    /// Something ran from one moment to another, for so long of that time, evenly.
    pub(super) fn add(&mut self, layer: usize, span: Range<u64>, ran: u64) {
        let end = span.end.min(self.scale.time());
        let start = span.start.min(end);
        let whole = span.end.saturating_sub(span.start).max(1);
        // For how long it had run by then: the parts of all columns are as long as the whole.
        let by = |moment: u64| {
            let by = u128::from(ran) * u128::from(moment.saturating_sub(start)) / u128::from(whole);
            u64::try_from(by).unwrap_or(u64::MAX)
        };
        // A span of no time has run for no time, and is seen all the same.
        let last = self.scale.pixel(end.saturating_sub(1).max(start));
        for pixel in self.scale.pixel(start)..=last {
            let (from, to) = (self.scale.start(pixel).max(start), self.scale.start(pixel + 1).min(end));
            let part = by(to).saturating_sub(by(from));
            if let Some(cell) = self.cells.get_mut((pixel / self.pixels) as usize) {
                cell.merge(&Cell { from, to: to.max(from), ran: vec![(layer, part)] });
            }
        }
    }

    /// The columns, and how many pixels each is wide.
    pub(super) fn columns(&self) -> (&[Cell], u32) {
        (&self.cells, self.pixels)
    }

    /// How long a column is, in nanoseconds.
    pub(super) fn column_time(&self) -> u64 {
        let pixels = u128::from(self.pixels);
        let time = u128::from(self.scale.time()) * pixels / u128::from(self.scale.width());
        u64::try_from(time).unwrap_or(u64::MAX).max(1)
    }

    /// Puts two columns together, again and again until a column has at least so many pixels.
    pub(super) fn widen(&mut self, pixels: u32) {
        while self.pixels < pixels {
            let pairs = self.cells.chunks(2).map(|pair| {
                let mut sum = Cell::default();
                pair.iter().for_each(|cell| sum.merge(cell));
                sum
            });
            self.cells = pairs.collect();
            self.pixels *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(cell: &Cell) -> u64 {
        cell.ran.iter().map(|(_, ran)| ran).sum()
    }

    #[test]
    fn a_span_is_shared_out_among_its_columns() {
        let mut cells = Cells::new(Scale::new(100, 10));
        cells.add(7, 15..35, 10);
        let ran: Vec<u64> = cells.columns().0.iter().map(total).collect();
        assert_eq!(ran, [0, 2, 5, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cells.columns().0[1], Cell { from: 15, to: 20, ran: vec![(7, 2)] });
        cells.add(3, 18..19, 1);
        cells.widen(4);
        let (columns, pixels) = cells.columns();
        assert_eq!((columns.len(), pixels, cells.column_time()), (3, 4, 40));
        assert_eq!(columns[0], Cell { from: 15, to: 35, ran: vec![(3, 1), (7, 10)] });
    }

    #[test]
    fn the_shortest_run_is_there() {
        let mut cells = Cells::new(Scale::new(3_600_000_000_000, 768));
        cells.add(0, 5_000_000_000..5_000_000_000, 0);
        assert_eq!(cells.columns().0.iter().filter(|cell| !cell.ran.is_empty()).count(), 1);
    }

    proptest! {
        #[test]
        fn time_is_not_lost(
            spans in proptest::collection::vec((0..10_000u64, 1..3_000u64), 1..40), width in 1..200u32
        ) {
            let mut cells = Cells::new(Scale::new(13_000, width));
            let mut ran = 0;
            for (from, length) in &spans {
                cells.add(0, *from..from + length, *length);
                ran += length;
            }
            for pixels in [1, 2, 8] {
                cells.widen(pixels);
                let total: u64 = cells.columns().0.iter().map(total).sum();
                prop_assert_eq!(total, ran);
            }
        }
    }
}
