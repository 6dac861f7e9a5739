//! The runs of something on a CPU, as spans: runs with a short gap between them become one, so that hours stay small.

use crate::record::recording::Span;
use pinning::CpuId;

/// Spans in the order of time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans {
    list: Vec<Span>,
}

impl Spans {
    /// Adds a span, which is later than all before. True: it stays one of its own.
    ///
    /// Never across CPUs: nothing that was off its set gets lost in what was on it.
    pub(crate) fn add(&mut self, span: Span, resolution: u64) -> bool {
        match self.list.last_mut() {
            Some(last) if is_one(last, &span, resolution) => {
                last.to = span.to;
                last.ran += span.ran;
                last.runs += span.runs;
                false
            }
            _ => {
                self.list.push(span);
                true
            }
        }
    }

    /// Makes spans one that have gaps up to this between them.
    pub(crate) fn merge(&mut self, resolution: u64) {
        for span in std::mem::take(&mut self.list) {
            self.add(span, resolution);
        }
        self.list.shrink_to_fit();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them.
    pub(crate) fn into_list(self) -> Vec<Span> {
        self.list
    }
}

/// A run as a span of its own.
pub(crate) fn run(from: u64, to: u64, cpu: u32) -> Span {
    Span { from, to, ran: to.saturating_sub(from), runs: 1, cpu: CpuId(cpu), off: false }
}

fn is_one(last: &Span, next: &Span, resolution: u64) -> bool {
    resolution > 0 && last.cpu == next.cpu && next.from.saturating_sub(last.to) <= resolution
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs in the order of time: gap before, length, CPU.
    fn spans(runs: &[(u64, u64, u32)], resolution: u64) -> Spans {
        let (mut spans, mut time) = (Spans::default(), 0);
        for (gap, length, cpu) in runs {
            let from = time + gap;
            time = from + length;
            spans.add(run(from, time, *cpu), resolution);
        }
        spans
    }

    #[test]
    fn without_a_resolution_every_run_is_a_span() {
        assert_eq!(spans(&[(0, 5, 1), (0, 5, 1), (1, 5, 1)], 0).len(), 3);
    }

    #[test]
    fn runs_with_a_short_gap_become_one_with_all_that_they_were() {
        let all = spans(&[(0, 5, 1), (10, 5, 1), (11, 5, 1), (1, 5, 2)], 10).into_list();
        assert_eq!((all[0].from, all[0].to, all[0].ran, all[0].runs), (0, 20, 10, 2));
        assert_eq!(all.iter().map(|span| span.cpu.0).collect::<Vec<_>>(), [1, 1, 2]);
    }

    proptest! {
        #[test]
        fn merging_loses_no_time_no_run_and_no_visit_to_a_cpu(
            runs in prop::collection::vec((0u64..30, 1u64..30, 0u32..3), 1..60),
            resolution in 1u64..40,
        ) {
            let exact = spans(&runs, 0).into_list();
            let mut later = spans(&runs, 0);
            later.merge(resolution);
            let later = later.into_list();
            prop_assert_eq!(&later, &spans(&runs, resolution).into_list());
            let sums = |spans: &[Span]| (spans.iter().map(|s| s.ran).sum::<u64>(), spans.iter().map(|s| s.runs).sum::<u64>());
            prop_assert_eq!(sums(&exact), sums(&later));
            let visits = |spans: &[Span]| {
                let mut cpus: Vec<u32> = spans.iter().map(|span| span.cpu.0).collect();
                cpus.dedup();
                cpus
            };
            prop_assert_eq!(visits(&exact), visits(&later));
            prop_assert!(later.windows(2).all(|pair| pair[0].to <= pair[1].from));
        }
    }
}
