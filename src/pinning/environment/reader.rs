//! Reading the variables of one environment, each by its kind of value, and collecting what they say: which
//! values count, what is wrong, and the distinct sets.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::fault::Fault;
use super::items::{self, Separators};
use super::keys::Key;
use super::mistake::{self, Mistake};
use super::placement::{self, Cpus};
use super::range::number;
use super::variables::{MAX_VALUE_BYTES, MISSPELLINGS, asks_for_placement, known, too_long};
use super::{classes, cpu_list, log_filter, memory_policy, rules, target};
use crate::cpus::CpuSet;
use crate::memory::{MemoryPolicy, NodeSet};
use crate::policy::{BASE, Classes, Host, Placement, SETS_LIMIT, SetId, Sets, VcpuRange, VhostPlacement};

/// No look comes later than a day after the last: whoever wants fewer has no use for them.
const MAX_SECONDS: u32 = 24 * 60 * 60;

/// An environment that is being read.
///
/// Each method answers `None` where the variable is not set, or where its value does not count because
/// something is wrong with it.
pub(crate) struct EnvironmentReader<'a> {
    host: &'a Host,
    /// The variables of [`VARIABLES`](crate::VARIABLES) that are set, and misspelt ones, in the environment's
    /// order: of each name the first.
    found: Vec<(&'static str, OsString)>,
    /// Whether a CPU that is not available now is a fault; else it is a warning.
    pub(crate) absent_cpus_are_faults: bool,
    /// The distinct sets so far.
    pub(crate) sets: Sets,
    /// The variables whose values count, in the order in which they were read.
    pub(crate) accepted: Vec<(&'static str, String)>,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// What may still become right.
    pub(crate) warnings: Vec<Fault>,
}

impl<'a> EnvironmentReader<'a> {
    /// Picks the `PIN_*` variables that pinshim knows out of an environment.
    pub(crate) fn new<I, N, V>(environment: I, host: &'a Host) -> Self
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut found: Vec<(&'static str, OsString)> = Vec::new();
        for (name, value) in environment {
            let name = known(name.as_ref().as_bytes());
            let first = name.filter(|name| found.iter().all(|(before, _)| before != name));
            found.extend(first.map(|name| (name, value.as_ref().to_owned())));
        }
        Self {
            host,
            found,
            absent_cpus_are_faults: true,
            sets: Sets::default(),
            accepted: Vec::new(),
            faults: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether there is a variable that places threads, or a misspelt name of one.
    pub(crate) fn names_placement(&self) -> bool {
        self.found.iter().any(|(name, _)| asks_for_placement(name.as_bytes()))
    }

    /// A variable whose value is one of some words.
    pub(crate) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.text(name)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
            self.accepted.push((name, value));
            return Some(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let what =
            if items::is_blank_text(&value) { "the value is empty" } else { "the value is no word it knows" };
        let mistake = Mistake::of_whole(what);
        let hint = format!("write {} or unset the variable", known.join(" or "));
        self.faults.push(Fault::new(name, &value, mistake.hint(hint)));
        None
    }

    /// A variable whose value is a whole number of seconds, from 1 to [`MAX_SECONDS`].
    pub(crate) fn seconds(&mut self, name: &'static str) -> Option<u32> {
        let value = self.text(name)?;
        let seconds = number(&value).and_then(|number| u32::try_from(number).ok());
        if let Some(seconds) = seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds)) {
            self.accepted.push((name, value));
            return Some(seconds);
        }
        let mistake =
            Mistake::of_whole(format!("the value is no whole number of seconds from 1 to {MAX_SECONDS}"));
        self.faults.push(Fault::new(name, &value, mistake.hint("write 10 or unset the variable")));
        None
    }

    /// `PIN_LOG`, checked here because env_logger reports a bad filter in its own words and ignores it.
    pub(crate) fn log_filter(&mut self) -> Option<String> {
        let name = "PIN_LOG";
        let value = self.text(name)?;
        let mistakes = log_filter::mistakes(&value);
        if !self.is_right(name, &value, mistakes, Vec::new()) {
            return None;
        }
        self.accepted.push((name, value.clone()));
        Some(value)
    }

    /// `PIN_TARGET`. It is only checked: [`acts_in`](crate::acts_in) reads it before there is a policy.
    pub(crate) fn target(&mut self) {
        let name = "PIN_TARGET";
        let Some(value) = self.text(name) else {
            return;
        };
        if self.is_right(name, &value, target::mistakes(&value), Vec::new()) {
            self.accepted.push((name, value));
        }
    }

    /// Reports the variables whose names are misspelt.
    pub(crate) fn misspellings(&mut self) {
        for &(misspelt, meant) in MISSPELLINGS {
            let Some((_, value)) = self.found.iter().find(|(name, _)| *name == misspelt) else {
                continue;
            };
            let mistake = Mistake::of_whole("no such variable").hint(format!("did you mean {meant}?"));
            self.faults.push(Fault::new(misspelt, &value.to_string_lossy(), mistake));
        }
    }

    /// `PIN_CPUS`, or the affinity that QEMU was started with where the variable does not count.
    pub(crate) fn base(&mut self) -> SetId {
        let base = self.unnumbered_set("PIN_CPUS").unwrap_or_else(|| {
            let start = &self.host.start;
            if start.is_empty() { self.host.available.clone() } else { start.clone() }
        });
        self.sets.always_id_of(base).unwrap_or(BASE)
    }

    /// A variable whose value is a set.
    pub(crate) fn set(&mut self, name: &'static str) -> Option<SetId> {
        let set = self.unnumbered_set(name)?;
        self.sets.always_id_of(set)
    }

    /// A variable whose value is a placement.
    pub(crate) fn placement<K: Key>(&mut self, name: &'static str) -> Option<Placement<K, SetId>> {
        let value = self.text(name)?;
        let parsed = placement::parse::<K>(&value, &self.host.available);
        if !self.is_right(name, &value, parsed.mistakes, parsed.absent) {
            return None;
        }
        let before = self.sets.len();
        let numbered = parsed.placement.try_map(|cpus| {
            self.sets.id_of(match cpus {
                Cpus::One(cpu) => CpuSet::from_iter([cpu]),
                Cpus::Set(set) => set,
            })
        });
        self.accept_if_numbered(name, value, before, numbered)
    }

    /// `PIN_VHOST`: a set, or a map, which has an `@` and no set has.
    pub(crate) fn vhost(&mut self) -> Option<VhostPlacement> {
        let name = "PIN_VHOST";
        let is_map = self.text(name)?.contains('@');
        if is_map {
            self.placement(name).map(VhostPlacement::Map)
        } else {
            self.set(name).map(VhostPlacement::All)
        }
    }

    /// `PIN_THREADS`.
    pub(crate) fn rules(&mut self) -> Option<Vec<(String, SetId)>> {
        let name = "PIN_THREADS";
        let value = self.text(name)?;
        let parsed = rules::parse(&value, &self.host.available);
        if !self.is_right(name, &value, parsed.mistakes, parsed.absent) {
            return None;
        }
        let before = self.sets.len();
        let rules = parsed.rules.into_iter();
        let numbered = rules.map(|(glob, set)| Some((glob, self.sets.id_of(set)?))).collect();
        self.accept_if_numbered(name, value, before, numbered)
    }

    /// `PIN_SCHED`.
    pub(crate) fn classes(&mut self) -> Option<Classes> {
        let name = classes::NAME;
        let value = self.text(name)?;
        let (classes, mistakes) = classes::parse(&value);
        if !self.is_right(name, &value, mistakes, Vec::new()) {
            return None;
        }
        self.accepted.push((name, value));
        Some(classes)
    }

    /// `PIN_MEMORY`. `available` are the NUMA nodes that there are, if that is known.
    pub(crate) fn memory_policy(&mut self, available: Option<&NodeSet>) -> Option<MemoryPolicy> {
        let name = "PIN_MEMORY";
        let value = self.text(name)?;
        let parsed = memory_policy::parse(&value, available);
        if !self.is_right(name, &value, parsed.mistakes, parsed.absent) {
            return None;
        }
        self.accepted.push((name, value));
        parsed.policy
    }

    /// All CPUs that any vCPU is placed on; the base where none is placed.
    pub(crate) fn union_of(&mut self, vcpus: Option<&Placement<VcpuRange, SetId>>) -> SetId {
        let mut ids: Vec<SetId> = vcpus.into_iter().flat_map(Placement::sets).copied().collect();
        ids.sort();
        ids.dedup();
        let union =
            ids.into_iter().filter_map(|id| self.sets.get(id)).fold(CpuSet::new(), |all, set| all.union(set));
        if union.is_empty() { BASE } else { self.sets.always_id_of(union).unwrap_or(BASE) }
    }

    /// The value of a variable that is set and is text, of no more than [`MAX_VALUE_BYTES`].
    fn text(&mut self, name: &'static str) -> Option<String> {
        let (_, value) = self.found.iter().find(|(found, _)| *found == name)?;
        if value.len() > MAX_VALUE_BYTES {
            self.faults.push(Fault::new(name, &value.to_string_lossy(), too_long()));
            return None;
        }
        let mistake = match value.to_str() {
            // No environment can hold it, but an option of the command or a file can. On the status page a NUL
            // ends the value.
            Some(text) if text.contains('\0') => Mistake::of_whole("the value holds a NUL"),
            Some(text) => return Some(text.to_owned()),
            None => Mistake::of_whole("the value is not UTF-8 text"),
        };
        self.faults.push(Fault::new(name, &value.to_string_lossy(), mistake));
        None
    }

    /// A variable whose value is a set, which has no number yet.
    fn unnumbered_set(&mut self, name: &'static str) -> Option<CpuSet> {
        let value = self.text(name)?;
        let parsed = cpu_list::parse(&value, 1, &self.host.available);
        if !self.is_right(name, &value, parsed.mistakes, parsed.absent) {
            return None;
        }
        self.accepted.push((name, value));
        Some(parsed.set)
    }

    /// Reports what is wrong with a value, and answers whether it may count: whether there is no fault.
    fn is_right(
        &mut self,
        name: &'static str,
        value: &str,
        mut mistakes: Vec<Mistake>,
        absent: Vec<Mistake>,
    ) -> bool {
        let mut warnings = Vec::new();
        if self.absent_cpus_are_faults {
            mistakes.extend(absent)
        } else {
            warnings = absent
        }
        let right = mistakes.is_empty();
        // A column says nothing where the whole value is one item.
        let one_item = items::split(value, 1, Separators::Commas).0.len() <= 1
            && !value.trim_matches(items::is_blank).contains(items::is_blank);
        let fault = |mut mistake: Mistake| {
            mistake.column = mistake.column.filter(|column| !(one_item && *column == 1));
            Fault::new(name, value, mistake)
        };
        self.faults.extend(mistake::listed(mistakes).into_iter().map(fault));
        self.warnings.extend(mistake::listed(warnings).into_iter().map(fault));
        right
    }

    /// Accepts a value if all of its sets have a number (`all`). If there are too many sets, forgets those
    /// that this value added: `before` is how many there were before it.
    fn accept_if_numbered<T>(
        &mut self,
        name: &'static str,
        value: String,
        before: usize,
        all: Option<T>,
    ) -> Option<T> {
        if all.is_some() {
            self.accepted.push((name, value));
        } else {
            self.sets.truncate(before);
            let mistake = Mistake::of_whole(format!("there are more than {SETS_LIMIT} different sets"));
            self.faults.push(Fault::new(name, &value, mistake));
        }
        all
    }
}
