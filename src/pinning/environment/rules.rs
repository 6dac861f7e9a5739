//! The text of `PIN_THREADS`: `GLOB@SET,…`.
//!
//! The names of threads hold spaces, so only commas separate rules, and a set of several items stands in
//! brackets.

use super::cpu_list;
use super::items::{self, Item, Separators};
use super::mistake::{self, Mistake, shown};
use crate::cpus::CpuSet;
use crate::glob::{MAX_GLOB_BYTES, too_long};
use std::collections::HashSet;

/// No text has more rules. Each is tried on the name of a thread as that is created, so they cost time then.
const RULES_LIMIT: usize = 1_024;

/// What the text of rules says.
pub(crate) struct ParsedRules {
    /// Globs and their sets, in the order of the text.
    pub(crate) rules: Vec<(String, CpuSet)>,
    /// What is wrong for good.
    pub(crate) mistakes: Vec<Mistake>,
    /// The CPUs that are not available now, one message for each item that names some.
    pub(crate) absent: Vec<Mistake>,
}

/// Parses rules. `available` is what `all` stands for; a CPU outside it is absent.
pub(crate) fn parse(text: &str, available: &CpuSet) -> ParsedRules {
    let (mut items, mut mistakes) = items::split(text, 1, Separators::Commas);
    items::limit(&mut items, RULES_LIMIT, "rules", &mut mistakes);
    let mut globs = HashSet::new();
    let mut parsed = ParsedRules { rules: Vec::new(), mistakes, absent: Vec::new() };
    if items::is_blank_text(text) {
        parsed
            .mistakes
            .push(Mistake::at(1, "the value is empty").hint("write GLOB@SET or unset the variable"));
    }
    for item in items {
        if mistake::are_enough(&parsed.mistakes) {
            break;
        }
        parsed.rule(item, &mut globs, available);
    }
    parsed
}

impl ParsedRules {
    /// Reads one rule. `globs` are those of the rules before it.
    fn rule<'a>(&mut self, item: Item<'a>, globs: &mut HashSet<&'a str>, available: &CpuSet) {
        let Some((before, after)) = item.text.rsplit_once('@') else {
            let what = format!("{} is not a rule", shown(item.text));
            let hint = "write GLOB@SET; a set of several items stands in brackets, as in worker@[0,1]";
            self.mistakes.push(Mistake::at(item.column, what).hint(hint));
            return;
        };
        let glob = before.trim_matches(items::is_blank);
        if glob.is_empty() {
            let mistake = Mistake::at(item.column, "no thread is named before the @").hint("write GLOB@SET");
            self.mistakes.push(mistake);
        } else if glob.len() > MAX_GLOB_BYTES {
            self.mistakes.push(Mistake::at(item.column, too_long()));
        } else if globs.contains(glob) {
            let what = format!("{} is placed twice, and the first rule wins", shown(glob));
            self.mistakes.push(Mistake::at(item.column, what).hint("leave one out"));
        }
        let text = after.trim_matches(items::is_blank);
        let blanks = after.len() - after.trim_start_matches(items::is_blank).len();
        let column = items::column_after(item, before) + 1 + blanks;
        if let Some(set) = self.set(glob, Item { column, text }, available) {
            globs.insert(glob);
            self.rules.push((glob.to_owned(), set));
        }
    }

    /// Reads the set of a rule. `None` if something is wrong with it.
    fn set(&mut self, glob: &str, item: Item<'_>, available: &CpuSet) -> Option<CpuSet> {
        if item.text.is_empty() {
            let mistake = Mistake::at(item.column - 1, "no CPU is named after the @").hint("write GLOB@SET");
            self.mistakes.push(mistake);
            return None;
        }
        let parsed = cpu_list::parse_bracketed(item, available).unwrap_or_else(|| {
            let mut parsed = cpu_list::parse_unbracketed(item, available);
            if parsed.mistakes.is_empty() && item.text.contains(items::is_blank) {
                let what = format!("{} stands without brackets", shown(item.text));
                let hint = format!("did you mean {}@[{}]?", shown(glob), shown(item.text));
                parsed.mistakes.push(Mistake::at(item.column, what).hint(hint));
                parsed.absent.clear();
            }
            parsed
        });
        mistake::add(parsed.absent, &mut self.absent);
        let good = parsed.mistakes.is_empty();
        self.mistakes.extend(parsed.mistakes);
        if good { Some(parsed.set) } else { None }
    }
}
