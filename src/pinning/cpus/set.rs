//! A set of host CPUs.
//!
//! A set has as many words as it needs and no limit at 1024 CPUs, which is where glibc's `cpu_set_t` ends: on
//! real machines the kernel's `NR_CPUS` is larger.

use super::id::CpuId;
use super::list::CpuList;
use std::fmt;

/// A set of host CPUs of any size.
///
/// It is kept as the kernel's mask: CPU n is bit `n % 64` of word `n / 64`. The last word is never 0, so
/// equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuSet {
    words: Vec<u64>,
}

impl CpuSet {
    /// The set of no CPU.
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// The set that a mask holds, such as `sched_getaffinity(2)` fills in.
    pub fn from_words(words: &[u64]) -> Self {
        Self::normalised(words.to_vec())
    }

    /// The mask, without trailing zero words: empty for the empty set.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Adds a CPU. The mask grows to reach it: 1 KiB for the last CPU below [`CPU_LIMIT`](crate::CPU_LIMIT).
    pub fn insert(&mut self, cpu: CpuId) {
        let (word, bit) = place_of(cpu);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= bit;
        }
    }

    /// Removes a CPU, if it is in the set.
    pub fn remove(&mut self, cpu: CpuId) {
        let (word, bit) = place_of(cpu);
        if let Some(bits) = self.words.get_mut(word) {
            *bits &= !bit;
            self.trim();
        }
    }

    /// Whether the CPU is in the set.
    pub fn contains(&self, cpu: CpuId) -> bool {
        let (word, bit) = place_of(cpu);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether no CPU is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The number of CPUs in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// The CPUs of the set, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        (0u32..).zip(&self.words).flat_map(|(word, &bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| CpuId(word * 64 + bit))
        })
    }

    /// Whether every CPU of this set is in the other.
    pub fn is_subset(&self, other: &CpuSet) -> bool {
        self.difference(other).is_empty()
    }

    /// The CPUs that are in either set.
    pub fn union(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |mine, theirs| mine | theirs)
    }

    /// The CPUs that are in both sets.
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |mine, theirs| mine & theirs)
    }

    /// The CPUs of this set that are not in the other.
    pub fn difference(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |mine, theirs| mine & !theirs)
    }

    /// Adds every CPU from `first` to `last`, a word at a time, because a text may repeat long ranges.
    pub(crate) fn insert_range(&mut self, first: CpuId, last: CpuId) {
        if first <= last {
            self.insert(last);
            self.change_range(first, last, |bits, mask| bits | mask);
        }
    }

    /// Removes every CPU from `first` to `last`.
    pub(crate) fn remove_range(&mut self, first: CpuId, last: CpuId) {
        if first <= last {
            self.change_range(first, last, |bits, mask| bits & !mask);
            self.trim();
        }
    }

    /// Changes the words from the first CPU's to the last one's; the mask has a bit for each CPU of the
    /// range.
    fn change_range(&mut self, first: CpuId, last: CpuId, change: impl Fn(u64, u64) -> u64) {
        let (from, _) = place_of(first);
        let (to, _) = place_of(last);
        for (word, bits) in self.words.iter_mut().enumerate().take(to + 1).skip(from) {
            let low = if word == from { u64::MAX << (first.0 % 64) } else { u64::MAX };
            let high = if word == to { u64::MAX >> (63 - last.0 % 64) } else { u64::MAX };
            *bits = change(*bits, low & high);
        }
    }

    fn combine(&self, other: &CpuSet, with: impl Fn(u64, u64) -> u64) -> CpuSet {
        let length = self.words.len().max(other.words.len());
        let word = |words: &[u64], at: usize| words.get(at).copied().unwrap_or(0);
        Self::normalised((0..length).map(|at| with(word(&self.words, at), word(&other.words, at))).collect())
    }

    fn normalised(words: Vec<u64>) -> Self {
        let mut set = Self { words };
        set.trim();
        set
    }

    /// Removes zero words at the end.
    fn trim(&mut self) {
        let used = self.words.iter().rposition(|&bits| bits != 0).map_or(0, |last| last + 1);
        self.words.truncate(used);
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CpuList(&self.words).fmt(f)
    }
}

impl FromIterator<CpuId> for CpuSet {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut set = Self::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

/// The word of a CPU in a mask, and its bit there.
fn place_of(cpu: CpuId) -> (usize, u64) {
    ((cpu.0 / 64) as usize, 1 << (cpu.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cpus: &[u32]) -> CpuSet {
        cpus.iter().copied().map(CpuId).collect()
    }

    #[test]
    fn prints_the_canonical_cpulist() {
        assert_eq!(set(&[]).to_string(), "none");
        assert_eq!(set(&[6, 0, 2, 1, 3]).to_string(), "0-3,6");
        assert_eq!(set(&[63, 64, 127, 128, 1023, 1024, 5000]).to_string(), "63-64,127-128,1023-1024,5000");
        assert_eq!(CpuList(&[u64::MAX, u64::MAX, 0]).to_string(), "0-127");
        assert_eq!(CpuList(&[0, 0]).to_string(), "none");
    }

    #[test]
    fn equal_sets_are_equal_values() {
        let mut grown = set(&[1]);
        grown.insert(CpuId(4000));
        grown.remove(CpuId(4000));
        assert_eq!(grown, set(&[1]));
        assert_eq!(CpuSet::from_words(&[2, 0, 0]), set(&[1]));
        assert_eq!(set(&[1, 700]).intersection(&set(&[1])).words(), [2]);
    }

    #[test]
    fn a_range_changes_its_own_cpus_and_no_others() {
        for (first, last) in [(0, 0), (0, 63), (63, 64), (5, 200), (64, 127), (128, 128)] {
            let mut ranged = CpuSet::new();
            ranged.insert_range(CpuId(first), CpuId(last));
            assert_eq!(ranged, (first..=last).map(CpuId).collect(), "{first}-{last}");
            let mut rest: CpuSet = (0..300).map(CpuId).collect();
            rest.remove_range(CpuId(first), CpuId(last));
            assert_eq!(rest, (0..300).filter(|cpu| !(first..=last).contains(cpu)).map(CpuId).collect());
        }
    }
}
