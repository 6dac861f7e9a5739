//! The text of `PIN_THREADS`: `GLOB@SET,…`.
//!
//! The names of threads hold spaces, so only commas separate rules, and a set of several items stands in
//! brackets.

use super::cpu_list;
use super::items::{self, Item, Separators};
use super::mistake::{Slip, shown};
use crate::cpus::CpuSet;

/// What a text says.
pub(crate) struct RulesRead {
    /// Globs and their sets, in order.
    pub(crate) rules: Vec<(String, CpuSet)>,
    /// What does not read.
    pub(crate) slips: Vec<Slip>,
    /// The CPUs that are not available now, rule by rule.
    pub(crate) absent: Vec<Slip>,
}

/// Reads rules. `available` limits their sets and is what `all` stands for.
pub(crate) fn read(text: &str, available: &CpuSet) -> RulesRead {
    let (items, slips) = items::split(text, 1, Separators::Commas);
    let mut read = RulesRead { rules: Vec::new(), slips, absent: Vec::new() };
    if items::is_blank_text(text) {
        read.slips.push(Slip::new(1, "the value is empty").hint("write GLOB@SET or unset the variable"));
    }
    for item in items {
        read.rule(item, available);
    }
    read.slips.sort_by_key(|slip| slip.column);
    read
}

impl RulesRead {
    fn rule(&mut self, item: Item<'_>, available: &CpuSet) {
        let Some((before, after)) = item.text.rsplit_once('@') else {
            let what = format!("{} is not a rule", shown(item.text));
            let hint = "write GLOB@SET; a set of several items stands in brackets, as in worker@[0,1]";
            self.slips.push(Slip::new(item.column, what).hint(hint));
            return;
        };
        let glob = before.trim_matches(items::is_blank);
        if glob.is_empty() {
            let slip = Slip::new(item.column, "no thread is named before the @").hint("write GLOB@SET");
            self.slips.push(slip);
        } else if self.rules.iter().any(|(named, _)| named == glob) {
            let what = format!("{} is placed twice, and the first rule wins", shown(glob));
            self.slips.push(Slip::new(item.column, what).hint("leave one out"));
        }
        let text = after.trim_matches(items::is_blank);
        let blanks = after.len() - after.trim_start_matches(items::is_blank).len();
        let column = items::column_after(item, before) + 1 + blanks;
        if let Some(set) = self.set(glob, Item { column, text }, available) {
            self.rules.push((glob.to_owned(), set));
        }
    }

    fn set(&mut self, glob: &str, item: Item<'_>, available: &CpuSet) -> Option<CpuSet> {
        if item.text.is_empty() {
            let slip = Slip::new(item.column - 1, "no CPU is named after the @").hint("write GLOB@SET");
            self.slips.push(slip);
            return None;
        }
        let read = cpu_list::read_bracketed(item, available).unwrap_or_else(|| {
            let mut read = cpu_list::read_unbracketed(item, available);
            if read.slips.is_empty() && item.text.contains(items::is_blank) {
                let what = format!("{} stands without brackets", shown(item.text));
                let hint = format!("did you mean {}@[{}]?", shown(glob), shown(item.text));
                read.slips.push(Slip::new(item.column, what).hint(hint));
                read.absent.clear();
            }
            read
        });
        self.absent.extend(read.absent);
        let good = read.slips.is_empty();
        self.slips.extend(read.slips);
        if good { Some(read.set) } else { None }
    }
}
