//! Times off the set: each is drawn, however short, in red.

use crate::record::recording::{Span, ThreadLane};
use pinning::{CpuId, CpuSet};

/// The narrowest that such a mark may be, in pixels.
pub(super) const NARROWEST: f64 = 2.5;

/// Times off the set that are one mark, since no more than a column lies between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OffMark {
    /// From when.
    pub(super) from: u64,
    /// To when.
    pub(super) to: u64,
    /// For how long in all.
    pub(super) off: u64,
    /// In how many runs.
    pub(super) runs: u64,
    /// Where.
    pub(super) cpus: CpuSet,
    /// Whose: places of threads, each once.
    pub(super) threads: Vec<usize>,
}

/// The times off their sets of some threads with their places, and on one CPU if that is given, in the order of time.
pub(super) fn off_spans<'a>(
    threads: impl IntoIterator<Item = (usize, &'a ThreadLane)>,
    cpu: Option<CpuId>,
) -> Vec<(usize, Span)> {
    let is_off = |span: &Span| span.off && cpu.is_none_or(|cpu| cpu == span.cpu);
    let mut spans: Vec<(usize, Span)> = Vec::new();
    for (place, thread) in threads {
        spans.extend(thread.spans.iter().copied().filter(is_off).map(|span| (place, span)));
    }
    spans.sort_by_key(|(_, span)| span.from);
    spans
}

/// The marks of these times: the gaps between them are longer than `column`.
pub(super) fn off_marks(spans: &[(usize, Span)], column: u64) -> Vec<OffMark> {
    let mut marks: Vec<OffMark> = Vec::new();
    for (place, span) in spans {
        match marks.last_mut() {
            Some(last) if span.from.saturating_sub(last.to) <= column => {
                last.to = last.to.max(span.to);
                last.off += span.ran;
                last.runs += span.runs;
                last.cpus.insert(span.cpu);
                if !last.threads.contains(place) {
                    last.threads.push(*place);
                }
            }
            _ => marks.push(OffMark {
                from: span.from,
                to: span.to,
                off: span.ran,
                runs: span.runs,
                cpus: [span.cpu].into_iter().collect(),
                threads: vec![*place],
            }),
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::{run, thread};
    use pinning::RoleKind;
    use proptest::prelude::*;

    fn threads(spans: &[(u64, u64, bool)]) -> [ThreadLane; 2] {
        let of = |odd: bool| {
            let mut thread = thread(RoleKind::Worker, "worker", 1);
            let own = spans.iter().filter(|(from, _, _)| (from % 2 == 1) == odd);
            thread.spans = own.map(|(from, length, off)| run(*from, from + length, 3, *off)).collect();
            thread
        };
        [of(false), of(true)]
    }

    #[test]
    fn near_times_are_one_mark() {
        let [even, odd] = threads(&[(10, 2, true), (13, 1, true), (16, 4, false), (30, 1, true)]);
        let marks = off_marks(&off_spans([(5, &even), (6, &odd)], None), 4);
        let seen: Vec<_> = marks.iter().map(|mark| (mark.from, mark.to, mark.off, mark.runs)).collect();
        assert_eq!(seen, [(10, 14, 3, 2), (30, 31, 1, 1)]);
        assert_eq!(marks[0].threads, [5, 6]);
        assert_eq!(off_spans([(5, &even)], Some(CpuId(2))), []);
    }

    proptest! {
        #[test]
        fn no_time_off_the_set_is_lost(
            spans in proptest::collection::vec((0..10_000u64, 0..50u64, any::<bool>()), 0..80), column in 0..900u64
        ) {
            let [even, odd] = threads(&spans);
            let marks = off_marks(&off_spans([(0, &even), (1, &odd)], None), column);
            for (from, length, _) in spans.iter().filter(|(_, _, off)| *off) {
                prop_assert!(marks.iter().any(|mark| mark.from <= *from && from + length <= mark.to));
            }
            let off: u64 = spans.iter().filter(|span| span.2).map(|span| span.1).sum();
            prop_assert_eq!(marks.iter().map(|mark| mark.off).sum::<u64>(), off);
            prop_assert!(marks.windows(2).all(|two| two[0].to + column < two[1].from));
        }
    }
}
