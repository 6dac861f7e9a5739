//! What is drawn of a lane: columns that look the same and stand side by side are one mark.

use crate::present::picture::cells::{Cell, Cells};
use std::ops::Range;

/// The steps of a bar's height: a full column of time is so many.
pub(super) const STEPS: u8 = 8;

/// One mark of a lane: a bar over some columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// From which pixel to which.
    pub(super) pixels: Range<u32>,
    /// The bands from the bottom up, and how many steps each is high; none is nothing, all together are at most [`STEPS`].
    pub(super) bars: Vec<(usize, u8)>,
    /// What ran.
    pub(super) cell: Cell,
}

/// The marks of a lane. `band` says which layers look the same: neighbours that do are one bar.
pub(super) fn marks(cells: &Cells, band: impl Fn(usize) -> usize) -> Vec<Mark> {
    let (columns, width) = cells.columns();
    let mut marks: Vec<Mark> = Vec::new();
    for (place, cell) in (0u32..).zip(columns) {
        let bars = bars(cell, cells.column_time(), &band);
        if bars.is_empty() {
            continue;
        }
        let pixels = place * width..(place + 1) * width;
        match marks.last_mut() {
            Some(last) if last.pixels.end == pixels.start && last.bars == bars => {
                last.pixels.end = pixels.end;
                last.cell.merge(cell);
            }
            _ => marks.push(Mark { pixels, bars, cell: cell.clone() }),
        }
    }
    marks
}

/// The bars of one column, stacked. Whatever ran at all is one step high at least, if nothing else is there.
fn bars(cell: &Cell, time: u64, band: impl Fn(usize) -> usize) -> Vec<(usize, u8)> {
    let steps = |ran: u64| {
        let steps = (u128::from(ran) * u128::from(STEPS) + u128::from(time) / 2) / u128::from(time);
        u8::try_from(steps).map_or(STEPS, |steps| steps.min(STEPS))
    };
    let (mut sum, mut top) = (0, 0);
    let mut bars: Vec<(usize, u8)> = Vec::new();
    for (layer, ran) in &cell.ran {
        sum += ran;
        let height = steps(sum) - top;
        if height > 0 {
            match bars.last_mut() {
                Some((last, sum)) if *last == band(*layer) => *sum += height,
                _ => bars.push((band(*layer), height)),
            }
            top += height;
        }
    }
    if bars.is_empty() {
        let most = cell.ran.iter().max_by_key(|(_, ran)| *ran);
        bars.extend(most.map(|(layer, _)| (band(*layer), 1)));
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::scale::Scale;
    use proptest::prelude::*;

    #[test]
    fn columns_that_look_the_same_are_one_mark() {
        let mut cells = Cells::new(Scale::new(1000, 10));
        cells.add(1, 0..300, 300);
        cells.add(1, 300..301, 1);
        cells.add(2, 500..600, 50);
        cells.add(1, 500..600, 25);
        let seen: Vec<_> =
            marks(&cells, |layer| layer).into_iter().map(|mark| (mark.pixels, mark.bars)).collect();
        assert_eq!(seen, [(0..3, vec![(1, 8)]), (3..4, vec![(1, 1)]), (5..6, vec![(1, 2), (2, 4)])]);
    }

    proptest! {
        #[test]
        fn what_ran_is_seen_and_no_bar_is_too_high(
            spans in proptest::collection::vec((0..5usize, 0..1000u64, 0..300u64), 1..60)
        ) {
            let mut cells = Cells::new(Scale::new(1000, 40));
            for (layer, from, length) in &spans {
                cells.add(*layer, *from..from + length, *length);
            }
            let marks = marks(&cells, |layer| layer / 2);
            for (_, from, _) in &spans {
                let pixel = Scale::new(1000, 40).pixel(*from);
                prop_assert!(marks.iter().any(|mark| mark.pixels.contains(&pixel)));
            }
            for mark in &marks {
                let height: u8 = mark.bars.iter().map(|(_, height)| height).sum();
                prop_assert!((1..=STEPS).contains(&height));
                prop_assert!(mark.bars.iter().all(|(_, height)| *height > 0));
            }
            prop_assert!(marks.windows(2).all(|two| two[0].pixels.end <= two[1].pixels.start));
        }
    }
}
