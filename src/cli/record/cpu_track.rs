//! What ran on one CPU.

use crate::record::people::PersonId;
use crate::record::recording::Span;
use crate::record::spans::{Spans, run};
use std::collections::{HashMap, VecDeque};

/// So many runs are remembered, to say who ran while somebody waited.
const REMEMBERED: usize = 16_384;

/// One CPU.
#[derive(Debug, Default)]
pub(crate) struct CpuTrack {
    /// Who is on it, and since when.
    running: Option<(PersonId, u64)>,
    /// Whether it is one of the VM's: of another nothing is kept.
    pub(crate) is_vms: bool,
    /// The last runs, in the order of time.
    remembered: VecDeque<(PersonId, u64, u64)>,
    others: HashMap<PersonId, Spans>,
}

impl CpuTrack {
    /// One of the VM's.
    pub(crate) fn of_vm() -> Self {
        Self { is_vms: true, ..Self::default() }
    }

    /// Somebody is put on it.
    pub(crate) fn on(&mut self, time: u64, who: PersonId) {
        self.running = Some((who, time));
    }

    /// Who is on it, and since when.
    pub(crate) fn running(&self) -> Option<(PersonId, u64)> {
        self.running
    }

    /// Whoever is on it leaves it. The answer is his run.
    pub(crate) fn left(&mut self, time: u64) -> Option<(PersonId, u64)> {
        let (who, from) = self.running.take()?;
        self.remember(who, from, time);
        Some((who, from))
    }

    /// Remembers a run.
    pub(crate) fn remember(&mut self, who: PersonId, from: u64, to: u64) {
        if self.is_vms {
            if self.remembered.len() == REMEMBERED {
                self.remembered.pop_front();
            }
            self.remembered.push_back((who, from, to));
        }
    }

    /// Keeps a run of somebody who is not one of the VM's threads. True: it became a span of its own.
    pub(crate) fn keep(&mut self, who: PersonId, from: u64, to: u64, cpu: u32, resolution: u64) -> bool {
        self.is_vms && self.others.entry(who).or_default().add(run(from, to, cpu), resolution)
    }

    /// Who ran in a time, each with how long, the longest first.
    pub(crate) fn ran_in(&self, from: u64, to: u64) -> Vec<(PersonId, u64)> {
        let mut sums: HashMap<PersonId, u64> = HashMap::new();
        for &(who, began, ended) in self.remembered.iter().rev().take_while(|run| run.2 > from) {
            *sums.entry(who).or_default() += ended.min(to).saturating_sub(began.max(from));
        }
        let mut sums: Vec<(PersonId, u64)> = sums.into_iter().filter(|(_, ran)| *ran > 0).collect();
        sums.sort_by_key(|(who, ran)| (std::cmp::Reverse(*ran), *who));
        sums
    }

    /// How many spans of others it has.
    pub(crate) fn spans(&self) -> usize {
        self.others.values().map(Spans::len).sum()
    }

    /// Makes spans one that have gaps up to this between them.
    pub(crate) fn merge(&mut self, resolution: u64) {
        self.others.values_mut().for_each(|spans| spans.merge(resolution));
    }

    /// The spans of others, in the order of time.
    pub(crate) fn into_others(self) -> Vec<(PersonId, Span)> {
        let others = self.others.into_iter();
        let mut all: Vec<(PersonId, Span)> = others
            .flat_map(|(who, spans)| spans.into_list().into_iter().map(move |span| (who, span)))
            .collect();
        all.sort_by_key(|(who, span)| (span.from, *who));
        all
    }
}
