//! From the environment to a policy, with everything that is wrong on the way.
//!
//! All variables are judged before anything is decided, so that a user sees every fault at once. Nothing is
//! reported twice, and no value, whatever its bytes, may panic.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::fault::Fault;
use super::items::{self, Separators};
use super::keys::Key;
use super::mistake::Slip;
use super::parsed::{OnError, Reading};
use super::placement::{self, Cpus};
use super::variables::{SLIPS, VARIABLES, asks_for_placement};
use super::{cpu_list, log_filter, rules, target};
use crate::cpus::CpuSet;
use crate::policy::{BASE, Host, IoThreadId, Manager, Placement, Policy, SETS_LIMIT, SetId, Sets, VcpuRange};

impl Policy {
    /// Reads the policy from an environment, as `std::env::vars_os` gives it.
    ///
    /// Every item of every variable is judged, and all faults are reported at once. Of a name that is set
    /// twice the first counts, as for `getenv(3)`.
    pub fn read<I, N, V>(environment: I, host: &Host) -> Reading
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self::read(environment, host)
    }

    /// Whether there is anything to read: a variable that places threads, or a slip for one. Cheap.
    pub fn names_placement<I, N, V>(environment: I) -> bool
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
    {
        environment.into_iter().any(|(name, _)| asks_for_placement(name.as_ref().as_bytes()))
    }
}

/// [`Policy::read`].
fn read<I, N, V>(environment: I, host: &Host) -> Reading
where
    I: IntoIterator<Item = (N, V)>,
    N: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let mut found: Vec<(&'static str, OsString)> = Vec::new();
    for (name, value) in environment {
        let ours = known(name.as_ref().as_bytes());
        found.extend(ours.map(|ours| (ours, value.as_ref().to_owned())));
    }
    if !found.iter().any(|(name, _)| asks_for_placement(name.as_bytes())) {
        return Reading { policy: None, faults: Vec::new(), warnings: Vec::new(), on_error: OnError::Exit };
    }
    Reader {
        host,
        found,
        libvirt: false,
        sets: Sets::default(),
        entries: Vec::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
    }
    .read()
}

/// The name, if it is one of ours or a slip for one.
fn known(name: &[u8]) -> Option<&'static str> {
    let ours = VARIABLES.iter().map(|variable| variable.name);
    ours.chain(SLIPS.iter().map(|(slip, _)| *slip)).find(|ours| ours.as_bytes() == name)
}

/// Where a variable stands in the table; slips come after all of them.
fn rank(name: &str) -> usize {
    VARIABLES.iter().position(|variable| variable.name == name).unwrap_or(VARIABLES.len())
}

struct Reader<'a> {
    host: &'a Host,
    found: Vec<(&'static str, OsString)>,
    libvirt: bool,
    sets: Sets,
    entries: Vec<(&'static str, String)>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Reader<'_> {
    fn read(mut self) -> Reading {
        let on_error = self.word("PIN_ERRORS", &[("exit", OnError::Exit), ("warn", OnError::Warn)]);
        let on_error = on_error.unwrap_or_default();
        let manager = self.word("PIN_MANAGER", &[("libvirt", Manager::Libvirt)]);
        self.libvirt = manager == Some(Manager::Libvirt);
        let names_threads = self.word("PIN_NAMES", &[("on", true), ("off", false)]).unwrap_or(true);
        let log_filter = self.log_filter().unwrap_or_else(|| "warn".to_owned());
        self.target();
        self.slips();

        // First of all, so that it is number 0.
        let base = self.set_text("PIN_CPUS").unwrap_or_else(|| {
            let start = &self.host.start;
            if start.is_empty() { self.host.available.clone() } else { start.clone() }
        });
        let base = self.sets.always_id_of(base).unwrap_or(BASE);
        let vcpus = self.placement::<VcpuRange>("PIN_VCPUS");
        let all_vcpus = self.union(vcpus.as_ref());
        let iothreads = self.placement::<IoThreadId>("PIN_IOTHREADS");
        let emulator = self.set("PIN_EMULATOR").unwrap_or(base);
        let workers = self.set("PIN_WORKERS");
        let migration = self.set("PIN_MIGRATION").unwrap_or(emulator);
        let vhost = self.set("PIN_VHOST").unwrap_or(emulator);
        let rules = self.rules().unwrap_or_default();

        self.faults.sort_by_key(|fault| rank(fault.variable));
        self.entries.sort_by_key(|(name, _)| rank(name));
        let placed = self.entries.iter().any(|(name, _)| asks_for_placement(name.as_bytes()));
        let holds = placed && (self.faults.is_empty() || on_error == OnError::Warn);
        let entries = self.entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let policy = Policy {
            sets: self.sets.into_vec(),
            vcpus,
            all_vcpus,
            iothreads,
            emulator,
            workers,
            migration,
            vhost,
            rules,
            manager,
            names_threads,
            log_filter,
            entries,
        };
        Reading {
            policy: Some(policy).filter(|_| holds),
            faults: self.faults,
            warnings: self.warnings,
            on_error,
        }
    }

    /// The value of a variable that is set and is text; the first of that name, as `getenv(3)` finds it.
    fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.found.iter().find(|(found, _)| *found == name).map(|(_, value)| value)?;
        if let Some(text) = value.to_str() {
            return Some(text.to_owned());
        }
        let what = "the value is not UTF-8 text";
        self.faults.push(Fault::of_value(name, &value.to_string_lossy(), what, ""));
        None
    }

    fn accept(&mut self, name: &'static str, value: String) {
        self.entries.push((name, value));
    }

    /// One of the words that a variable knows.
    fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.text(name)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
            self.accept(name, value);
            return Some(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let what =
            if items::is_blank_text(&value) { "the value is empty" } else { "the value is no word it knows" };
        let hint = format!("write {} or unset the variable", known.join(" or "));
        self.faults.push(Fault::of_value(name, &value, what, &hint));
        None
    }

    /// env_logger would say what it cannot read in its own words, and go on without it.
    fn log_filter(&mut self) -> Option<String> {
        let name = "PIN_LOG";
        let value = self.text(name)?;
        let slips = log_filter::slips(&value);
        if !self.judge(name, &value, slips, Vec::new()) {
            return None;
        }
        self.accept(name, value.clone());
        Some(value)
    }

    /// Only judged here: [`acts_in`](crate::acts_in) has decided by it long before.
    fn target(&mut self) {
        let name = "PIN_TARGET";
        let Some(value) = self.text(name) else {
            return;
        };
        let slips = target::slips(&value);
        if self.judge(name, &value, slips, Vec::new()) {
            self.accept(name, value);
        }
    }

    /// Variables that are not ours but were meant to be.
    fn slips(&mut self) {
        for &(slip, meant) in SLIPS {
            let value =
                self.found.iter().find(|(name, _)| *name == slip).map(|(_, value)| value.to_string_lossy());
            let fault = value.map(|value| {
                Fault::of_value(slip, &value, "no such variable", &format!("did you mean {meant}?"))
            });
            self.faults.extend(fault);
        }
    }

    /// Reports what is wrong with a value. Whether the value holds.
    fn judge(&mut self, name: &'static str, value: &str, slips: Vec<Slip>, absent: Vec<Slip>) -> bool {
        let only_item = items::split(value, 1, Separators::Commas).0.len() <= 1
            && !value.trim_matches(items::is_blank).contains(items::is_blank);
        let fault = |slip| Fault::of_slip(name, value, slip, only_item);
        let (mut faults, warnings) =
            if self.libvirt { (slips, absent) } else { ([slips, absent].concat(), Vec::new()) };
        faults.sort_by_key(|slip| slip.column);
        let good = faults.is_empty();
        self.faults.extend(faults.into_iter().map(fault));
        self.warnings.extend(warnings.into_iter().map(fault));
        good
    }

    fn set_text(&mut self, name: &'static str) -> Option<CpuSet> {
        let value = self.text(name)?;
        let read = cpu_list::read(&value, 1, &self.host.available);
        if !self.judge(name, &value, read.slips, read.absent) {
            return None;
        }
        self.accept(name, value);
        Some(read.set)
    }

    fn set(&mut self, name: &'static str) -> Option<SetId> {
        let set = self.set_text(name)?;
        self.sets.always_id_of(set)
    }

    fn placement<K: Key>(&mut self, name: &'static str) -> Option<Placement<K, SetId>> {
        let value = self.text(name)?;
        let read = placement::read::<K>(&value, &self.host.available);
        if !self.judge(name, &value, read.slips, read.absent) {
            return None;
        }
        let before = self.sets.len();
        let numbered = read.placement.try_map(|cpus| {
            self.sets.id_of(match cpus {
                Cpus::One(cpu) => CpuSet::from_iter([cpu]),
                Cpus::Set(set) => set,
            })
        });
        self.within_limit(name, value, before, numbered)
    }

    fn rules(&mut self) -> Option<Vec<(String, SetId)>> {
        let name = "PIN_THREADS";
        let value = self.text(name)?;
        let read = rules::read(&value, &self.host.available);
        if !self.judge(name, &value, read.slips, read.absent) {
            return None;
        }
        let before = self.sets.len();
        let rules = read.rules.into_iter();
        let numbered = rules.map(|(glob, set)| Some((glob, self.sets.id_of(set)?))).collect();
        self.within_limit(name, value, before, numbered)
    }

    /// Accepts a value whose sets could all be numbered.
    fn within_limit<T>(
        &mut self,
        name: &'static str,
        value: String,
        before: usize,
        all: Option<T>,
    ) -> Option<T> {
        if all.is_some() {
            self.accept(name, value);
        } else {
            self.sets.truncate(before);
            let what = format!("there are more than {SETS_LIMIT} different sets");
            self.faults.push(Fault::of_value(name, &value, what, ""));
        }
        all
    }

    /// All CPUs that any vCPU is placed on; the base where none is.
    fn union(&mut self, vcpus: Option<&Placement<VcpuRange, SetId>>) -> SetId {
        let mut ids: Vec<SetId> = vcpus.into_iter().flat_map(Placement::sets).copied().collect();
        ids.sort();
        ids.dedup();
        let union =
            ids.into_iter().filter_map(|id| self.sets.get(id)).fold(CpuSet::new(), |all, set| all.union(set));
        if union.is_empty() { BASE } else { self.sets.always_id_of(union).unwrap_or(BASE) }
    }
}
