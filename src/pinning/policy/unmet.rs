//! Wishes that nobody meets: entries of a placement that name a vCPU, an IOThread or a vhost worker which a VM does not have.
//!
//! An ordered list names nobody, and may be longer than a VM has vCPUs: only the keys of a map count.

use super::placement::Placement;
use super::policy::Policy;

/// An entry of a placement that names a vCPU, an IOThread or a vhost worker which is not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmet {
    /// vCPUs from the first to the last of these indices, both included.
    Vcpus(u32, u32),
    /// The IOThread with this id.
    IoThread(String),
    /// vhost workers from the first to the last of these numbers, both included.
    VhostWorkers(u32, u32),
    /// Threads whose name this glob matches.
    Rule(String),
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unmet::Vcpus(first, last) if first == last => {
                write!(f, "PIN_VCPUS places vCPU {first}, and there is no such vCPU")
            }
            Unmet::Vcpus(first, last) => {
                write!(f, "PIN_VCPUS places vCPUs {first}-{last}, and there are no such vCPUs")
            }
            Unmet::IoThread(id) => write!(f, "PIN_IOTHREADS places {id}, and there is no such IOThread"),
            Unmet::VhostWorkers(first, last) if first == last => {
                write!(f, "PIN_VHOST places vhost worker {first}, and there is no such worker")
            }
            Unmet::VhostWorkers(first, last) => {
                write!(f, "PIN_VHOST places vhost workers {first}-{last}, and there are no such workers")
            }
            Unmet::Rule(glob) => write!(f, "PIN_THREADS places {glob}, and no thread has such a name"),
        }
    }
}

impl Policy {
    /// What the placements name and a VM with these vCPUs (by index, in any order) and IOThreads (by id) does not
    /// have.
    pub fn unmet(&self, vcpus: &[u32], iothreads: &[&[u8]]) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        let mut present = vcpus.to_vec();
        present.sort_unstable();
        for (first, last) in self.named_vcpus() {
            missing(first, last, &present, Unmet::Vcpus, &mut unmet);
        }
        let absent = self.named_iothreads().filter(|id| !iothreads.contains(&id.as_bytes()));
        unmet.extend(absent.map(|id| Unmet::IoThread(id.to_owned())));
        unmet
    }

    /// What `PIN_VHOST` names where these vhost workers have appeared (by number, in any order).
    pub fn unmet_vhost_workers(&self, workers: &[u32]) -> Vec<Unmet> {
        let mut present = workers.to_vec();
        present.sort_unstable();
        let mut unmet = Vec::new();
        for (first, last) in self.named_vhost_workers() {
            missing(first, last, &present, Unmet::VhostWorkers, &mut unmet);
        }
        unmet
    }

    /// The vhost workers that the placement names: the first and the last of each entry.
    pub fn named_vhost_workers(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.vhost.named().iter().map(|(range, _)| (range.first, range.last))
    }

    /// The globs of `PIN_THREADS` that match no name. `matches` says whether a glob matches the name of any thread.
    pub fn unmet_rules(&self, matches: impl Fn(&str) -> bool) -> Vec<Unmet> {
        let globs = self.rules.iter().map(|(glob, _)| glob);
        globs.filter(|glob| !matches(glob)).map(|glob| Unmet::Rule(glob.clone())).collect()
    }

    /// The vCPUs that the placement names: the first and the last of each entry.
    pub fn named_vcpus(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let named = self.vcpus.as_ref().map(Placement::named).unwrap_or_default();
        named.iter().map(|(range, _)| (range.first.0, range.last.0))
    }

    /// The ids of the IOThreads that the placement names.
    pub fn named_iothreads(&self) -> impl Iterator<Item = &str> {
        let named = self.iothreads.as_ref().map(Placement::named).unwrap_or_default();
        named.iter().map(|(id, _)| id.0.as_str())
    }
}

/// Adds the gaps that sorted numbers leave between a first and a last one.
fn missing(first: u32, last: u32, present: &[u32], what: fn(u32, u32) -> Unmet, unmet: &mut Vec<Unmet>) {
    let mut next = first;
    for &number in present.iter().filter(|number| (first..=last).contains(number)) {
        if number > next {
            unmet.push(what(next, number - 1));
        }
        next = number.saturating_add(1);
    }
    if next <= last {
        unmet.push(what(next, last));
    }
}
