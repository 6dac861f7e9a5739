//! The text of a placement: `2,3,6-7`, `[2-3],[4-5]`, or `0@2,2-3@[6-7],*@4`.
//!
//! A text that can mean two things is a mistake, whose hint shows both.

use super::cpu_list::{self, ParsedSet};
use super::items::{self, Item, Separators};
use super::keys::Key;
use super::mistake::{self, Mistake, shown};
use super::range::range;
use crate::cpus::{CpuId, CpuSet};
use crate::policy::{Placement, VCPU_LIMIT};

/// What the text of a placement says.
pub(crate) struct ParsedPlacement<K> {
    /// Who is placed where.
    pub(crate) placement: Placement<K, Cpus>,
    /// What is wrong for good.
    pub(crate) mistakes: Vec<Mistake>,
    /// The CPUs that are not available now, one message for each item that names some.
    pub(crate) absent: Vec<Mistake>,
}

/// The CPUs of one entry. A single CPU is kept as its number and not as a mask of up to 1 KiB, because a list
/// may have 65536 entries.
#[derive(Debug)]
pub(crate) enum Cpus {
    One(CpuId),
    Set(CpuSet),
}

/// Parses a placement. `available` is what `all` stands for; a CPU outside it is absent.
pub(crate) fn parse<K: Key>(text: &str, available: &CpuSet) -> ParsedPlacement<K> {
    let (items, mistakes) = items::split(text, 1, Separators::CommasAndBlanks);
    let mut reader = PlacementReader {
        available,
        list: Vec::new(),
        named: Vec::new(),
        rest: None,
        mistakes,
        absent: Vec::new(),
    };
    if items::is_blank_text(text) {
        let mistake =
            Mistake::at(1, "the value is empty").hint("name at least one CPU or unset the variable");
        reader.mistakes.push(mistake);
    }
    let is_map = |item: &Item<'_>| item.text.contains('@');
    let map = items.first().is_some_and(is_map);
    let odd = items.iter().position(|item| is_map(item) != map);
    for (at, &item) in items.iter().enumerate() {
        let before = reader.mistakes.len();
        if mistake::are_enough(&reader.mistakes) {
            break;
        }
        match item.text.split_once('@') {
            Some((who, cpus)) => {
                let column = items::column_after(item, who) + 1;
                reader.map_entry(item, Item { text: who, ..item }, Item { text: cpus, column });
            }
            None => reader.list_entry(item),
        }
        if odd == Some(at) {
            // Its other mistakes depend on which of the two kinds it should be, so they are left out.
            reader.mistakes.truncate(before);
            reader.mistakes.push(mixed(item, map));
        }
    }
    reader.finish(map)
}

/// A placement of which some entries were read.
struct PlacementReader<'a, K> {
    available: &'a CpuSet,
    /// The entries of a list.
    list: Vec<Cpus>,
    /// The entries of a map, each with the column of its key.
    named: Vec<(K, Cpus, usize)>,
    /// The entry `*` of a map.
    rest: Option<Cpus>,
    mistakes: Vec<Mistake>,
    absent: Vec<Mistake>,
}

impl<K: Key> PlacementReader<'_, K> {
    /// Reads an entry of a list: a CPU, a range of CPUs that is an entry for each, or a set in brackets.
    fn list_entry(&mut self, item: Item<'_>) {
        if let Some(parsed) = cpu_list::parse_bracketed(item, self.available) {
            let set = self.checked(parsed);
            self.list.extend(set.map(Cpus::Set));
            return;
        }
        if item.text == "*" {
            let mistake =
                Mistake::at(item.column, "* names everyone but no CPU").hint("did you mean *@[all]?");
            self.mistakes.push(mistake);
            return;
        }
        let parsed = cpu_list::parse_unbracketed(item, self.available);
        let Some((first, last)) = range(item.text) else {
            if parsed.mistakes.is_empty() {
                let what = format!("{} is more than a CPU or a range", shown(item.text));
                self.mistakes.push(
                    Mistake::at(item.column, what).hint(format!("did you mean [{}]?", shown(item.text))),
                );
            } else {
                self.mistakes.extend(parsed.mistakes);
            }
            return;
        };
        if self.checked(parsed).is_none() {
            return;
        }
        if last - first >= u64::from(VCPU_LIMIT).saturating_sub(self.list.len() as u64) {
            let what = format!("the list has more than {VCPU_LIMIT} entries");
            self.mistakes.push(Mistake::at(item.column, what));
            return;
        }
        self.list.extend(
            (first..=last).filter_map(|cpu| u32::try_from(cpu).ok()).map(|cpu| Cpus::One(CpuId(cpu))),
        );
    }

    /// Reads an entry of a map: `WHO@CPU` or `WHO@[CPUS]`.
    fn map_entry(&mut self, item: Item<'_>, who: Item<'_>, cpus: Item<'_>) {
        if who.text.is_empty() && cpus.text.is_empty() {
            self.mistakes
                .push(Mistake::at(item.column, "@ stands alone").hint("write WHO@CPU or WHO@[CPUS]"));
            return;
        }
        let key = if who.text == "*" { Ok(None) } else { K::parse(who).map(Some) };
        let set = self.cpus_of(who, key.as_ref().ok().and_then(Option::as_ref), cpus);
        match (key, set) {
            (Ok(None), _) if self.rest.is_some() => {
                self.mistakes.push(Mistake::at(who.column, "* is placed twice").hint("leave one out"));
            }
            // If the set is wrong, the key is kept with an empty set, so that a second entry with it is
            // noticed.
            (Ok(None), set) => self.rest = Some(Cpus::Set(set.unwrap_or_default())),
            (Ok(Some(key)), set) => self.named.push((key, Cpus::Set(set.unwrap_or_default()), who.column)),
            (Err(mistake), _) => self.mistakes.push(mistake),
        }
    }

    /// Reads the set of an entry of a map. `None` if something is wrong with it.
    fn cpus_of(&mut self, who: Item<'_>, key: Option<&K>, cpus: Item<'_>) -> Option<CpuSet> {
        if cpus.text.is_empty() {
            let what = format!("{}@ names no CPU", shown(who.text));
            self.mistakes.push(Mistake::at(who.column, what).hint("write WHO@CPU or WHO@[CPUS]"));
            return None;
        }
        if let Some(parsed) = cpu_list::parse_bracketed(cpus, self.available) {
            return self.checked(parsed);
        }
        let parsed = cpu_list::parse_unbracketed(cpus, self.available);
        let one = range(cpus.text).is_some() && !cpus.text.contains('-');
        if one || !parsed.mistakes.is_empty() {
            return self.checked(parsed);
        }
        let what = format!("{} stands without brackets", shown(cpus.text));
        self.mistakes.push(Mistake::at(cpus.column, what).hint(bracket_hint(who, key, cpus)));
        None
    }

    /// Reports what is wrong with a set. `None` if that is wrong for good.
    fn checked(&mut self, parsed: ParsedSet) -> Option<CpuSet> {
        mistake::add(parsed.absent, &mut self.absent);
        let good = parsed.mistakes.is_empty();
        self.mistakes.extend(parsed.mistakes);
        if good { Some(parsed.set) } else { None }
    }

    /// Finds keys that stand twice, and makes the placement: of a map, or else of a list.
    fn finish(mut self, map: bool) -> ParsedPlacement<K> {
        self.named.sort_by(|(one, _, _), (other, _, _)| one.cmp(other));
        // Of the keys before the next one, that which ends last, and its column. If any of them overlaps the
        // next, this one does.
        let mut last: Option<(&K, usize)> = None;
        for (key, _, column) in &self.named {
            if mistake::are_enough(&self.mistakes) {
                break;
            }
            if let Some((before, other)) = last {
                if let Some(both) = before.shared(key) {
                    let what = format!("{both} placed twice");
                    self.mistakes.push(Mistake::at(*column.max(&other), what).hint("leave one out"));
                }
                if !key.ends_after(before) {
                    continue;
                }
            }
            last = Some((key, *column));
        }
        let placement = if map {
            let named = self.named.into_iter().map(|(key, cpus, _)| (key, cpus)).collect();
            Placement::Map { named, rest: self.rest }
        } else {
            Placement::List(self.list)
        };
        ParsedPlacement { placement, mistakes: self.mistakes, absent: self.absent }
    }
}

/// The mistake of the first entry that is not of the same kind as those before it, which make a map or a
/// list.
fn mixed(odd: Item<'_>, map: bool) -> Mistake {
    let text = shown(odd.text);
    if map {
        Mistake::at(odd.column, format!("{text} names nobody while other entries do"))
            .hint("write WHO@CPU for each; several CPUs for one stand in brackets, as in 0@[2,3]")
    } else {
        Mistake::at(odd.column, format!("{text} names somebody while other entries do not"))
            .hint("write either WHO@CPU for each or an ordered list without keys")
    }
}

/// The hint for several CPUs without brackets: what they can mean. `2-3@6-7` can mean both CPUs for each
/// vCPU, or one CPU for each.
fn bracket_hint<K: Key>(who: Item<'_>, key: Option<&K>, cpus: Item<'_>) -> String {
    let whole = format!("{}@[{}]", shown(who.text), shown(cpus.text));
    let keys = key.and_then(Key::numbers).filter(|(first, last)| first < last);
    match (keys, range(cpus.text)) {
        (Some((first, last)), Some((low, high))) if last - first == high - low => {
            let dots = if last - first > 1 { ",…" } else { "" };
            format!("did you mean {whole} for all of these CPUs each, or {first}@{low}{dots},{last}@{high}?")
        }
        _ => format!("did you mean {whole}?"),
    }
}
