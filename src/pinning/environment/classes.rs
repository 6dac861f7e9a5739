//! The text of `PIN_SCHED`: `WHO@CLASS[:VALUE[:SLICE]],…`, as in `vcpus@fifo:1,workers@batch,emulator@other:-5`.

use super::fault::Fault;
use super::items::{self, Item, Separators};
use super::keys::Key;
use super::mistake::{self, Mistake, shown};
use super::range::number;
use crate::class::{Class, ClassKind};
use crate::policy::{Classes, Hang, IoThreadId, Policy, VcpuRange, hang};
use std::ops::RangeInclusive;

/// The variable.
pub(crate) const NAME: &str = "PIN_SCHED";

/// No text has more rules.
const RULES_LIMIT: usize = 1_024;

/// The priorities of real-time classes (sched(7)).
const PRIORITIES: RangeInclusive<i8> = 1..=99;
/// Nice values.
const NICE: RangeInclusive<i8> = -20..=19;
/// Slices in microseconds: what the kernel takes (kernel/sched/syscalls.c, Linux 6.12). It cuts others to it without a word.
const SLICES_US: RangeInclusive<u32> = 100..=100_000;

/// Parses rules; the classes count only if there are no mistakes.
pub(crate) fn parse(text: &str) -> (Classes, Vec<Mistake>) {
    let (mut items, mut mistakes) = items::split(text, 1, Separators::CommasAndBlanks);
    items::limit(&mut items, RULES_LIMIT, "rules", &mut mistakes);
    if items::is_blank_text(text) {
        mistakes.push(Mistake::at(1, "the value is empty").hint("write WHO@CLASS or unset the variable"));
    }
    let mut reader = Reader { mistakes, ..Reader::default() };
    for item in items {
        if mistake::are_enough(&reader.mistakes) {
            break;
        }
        reader.rule(item);
    }
    reader.finish()
}

/// Rules of which some were read.
#[derive(Default)]
struct Reader {
    classes: Classes,
    /// `vcpus[1-3]`, each with its column.
    vcpus: Vec<(VcpuRange, Class, usize)>,
    /// `iothreads[io1]`, each with its column.
    iothreads: Vec<(IoThreadId, Class, usize)>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn rule(&mut self, item: Item<'_>) {
        let Some((who, class)) = item.text.split_once('@') else {
            let what = format!("{} is not a rule", shown(item.text));
            self.mistakes.push(Mistake::at(item.column, what).hint("write WHO@CLASS, as in vcpus@fifo:1"));
            return;
        };
        let column = items::column_after(item, who) + 1;
        let class = read_class(Item { text: class, column });
        // A rule whose class is wrong counts all the same when another has the same name.
        let known = class.as_ref().copied().unwrap_or(Class::USUAL);
        self.mistakes.extend(class.err());
        self.who(Item { text: who, ..item }, known);
    }

    /// Notes the class of those that a rule names.
    fn who(&mut self, who: Item<'_>, class: Class) {
        if let Some((name, rest)) = who.text.split_once('[') {
            let keys = rest.strip_suffix(']').unwrap_or(rest);
            let column = items::column_after(who, name) + 1;
            return self.some(who, name, Item { text: keys, column }, class);
        }
        let classes = &mut self.classes;
        let place = match who.text {
            "vcpus" => &mut classes.vcpus,
            "iothreads" => &mut classes.iothreads,
            "emulator" => &mut classes.emulator,
            "workers" => &mut classes.workers,
            "migration" => &mut classes.migration,
            "all" => &mut classes.all,
            _ => return self.mistakes.push(nobody(who)),
        };
        if place.replace(class).is_some() {
            let what = format!("{} has a class twice", who.text);
            self.mistakes.push(Mistake::at(who.column, what).hint("leave one out"));
        }
    }

    /// Notes the class of some vCPUs or IOThreads.
    fn some(&mut self, who: Item<'_>, name: &str, keys: Item<'_>, class: Class) {
        if !matches!(name, "vcpus" | "iothreads") {
            self.mistakes.push(nobody(who));
            return;
        }
        let (keys, mistakes) = items::split(keys.text, keys.column, Separators::EveryComma);
        if keys.is_empty() && mistakes.is_empty() {
            let what = format!("{} names nobody", shown(who.text));
            self.mistakes.push(Mistake::at(who.column, what).hint(format!("did you mean {name}?")));
        }
        self.mistakes.extend(mistakes);
        for key in keys {
            let column = key.column;
            let read = match name {
                "vcpus" => VcpuRange::parse(key).map(|range| self.vcpus.push((range, class, column))),
                _ => IoThreadId::parse(key).map(|id| self.iothreads.push((id, class, column))),
            };
            // Its hint would be one for a placement.
            let hint = if name == "vcpus" { "vcpus[0,2-3]" } else { "iothreads[io1,io2]" };
            self.mistakes.extend(
                read.err().map(|mistake| mistake.hint(format!("write {name}, or some of them: {hint}"))),
            );
        }
    }

    /// The classes, with those of single vCPUs and IOThreads in order.
    fn finish(mut self) -> (Classes, Vec<Mistake>) {
        self.classes.some_vcpus = once_each(self.vcpus, &mut self.mistakes);
        self.classes.some_iothreads = once_each(self.iothreads, &mut self.mistakes);
        (self.classes, self.mistakes)
    }
}

/// The keys in order, with their classes. One that overlaps another is a mistake.
fn once_each<K: Key>(mut keys: Vec<(K, Class, usize)>, mistakes: &mut Vec<Mistake>) -> Vec<(K, Class)> {
    keys.sort_by(|(one, _, _), (other, _, _)| one.cmp(other));
    // Of those before the next one, the one that ends last.
    let mut last: Option<(&K, usize)> = None;
    for (key, _, column) in &keys {
        if let Some((before, other)) = last {
            if let Some(both) = before.shared(key) {
                // `shared` says what both name, and a verb: `vCPU 1 is`.
                let both = both.rsplit_once(' ').map_or(both.as_str(), |(both, _)| both);
                let what = format!("a class is given twice to {both}");
                mistakes.push(Mistake::at(*column.max(&other), what).hint("leave one out"));
            }
            if !key.ends_after(before) {
                continue;
            }
        }
        last = Some((key, *column));
    }
    keys.into_iter().map(|(key, class, _)| (key, class)).collect()
}

/// The mistake of a word that names no role.
fn nobody(who: Item<'_>) -> Mistake {
    const ROLES: &str =
        "write vcpus, vcpus[1-3], iothreads, iothreads[io1], emulator, workers, migration or all";
    let what = format!("{} names no role that can have a class", shown(who.text));
    let hint = match who.text {
        "" => return Mistake::at(who.column, "nobody is named before the @").hint(ROLES),
        "vcpu" | "iothread" | "worker" => format!("did you mean {}s?", who.text),
        "vhost" => "vhost workers are the kernel's own threads, and keep its class".to_owned(),
        _ => ROLES.to_owned(),
    };
    Mistake::at(who.column, what).hint(hint)
}

/// Reads `CLASS[:VALUE[:SLICE]]`.
fn read_class(item: Item<'_>) -> Result<Class, Mistake> {
    let mut column = item.column;
    let mut parts = item.text.split(':').map(|text| {
        let part = Item { text, column };
        column += text.chars().count() + 1;
        part
    });
    let word = parts.next().unwrap_or(item);
    let (value, slice) = (parts.next(), parts.next());
    if let Some(more) = parts.next() {
        let what = format!("{} stands after the slice", shown(more.text));
        return Err(Mistake::at(more.column, what).hint("write CLASS:VALUE:SLICE and no more"));
    }
    let kind = kind(word)?;
    let (value, slice_us) = match kind {
        ClassKind::Other | ClassKind::Batch => {
            (value.map(|value| nice(word, value)).transpose()?, slice.map(read_slice).transpose()?)
        }
        ClassKind::Idle => match value {
            Some(value) => {
                let what = format!("{} stands after idle, which has no value", shown(value.text));
                return Err(Mistake::at(value.column, what).hint("write idle"));
            }
            None => (None, None),
        },
        _ => match slice {
            Some(slice) => {
                let what = format!("{} has no slice", word.text);
                return Err(Mistake::at(slice.column, what).hint("a slice is for other and batch"));
            }
            None => (Some(priority(word, value)?), None),
        },
    };
    Ok(Class { kind, value, slice_us: slice_us.unwrap_or(0) })
}

/// Reads the name of a class.
fn kind(word: Item<'_>) -> Result<ClassKind, Mistake> {
    use ClassKind::{Batch, Fifo, Idle, Other, Rr};
    let known = [Other, Batch, Idle, Fifo, Rr];
    let of = |text: &str| known.into_iter().find(|kind| kind.word() == text);
    if let Some(kind) = of(word.text) {
        return Ok(kind);
    }
    let what = if word.text.is_empty() {
        "no class is named after the @".to_owned()
    } else {
        format!("{} is not a class", shown(word.text))
    };
    let small = word.text.to_ascii_lowercase();
    let small = small.strip_prefix("sched_").unwrap_or(&small);
    let hint = match of(small) {
        Some(meant) => format!("did you mean {}?", meant.word()),
        None if small == "normal" => "did you mean other?".to_owned(),
        None => "write other, batch, idle, fifo:PRIORITY or rr:PRIORITY".to_owned(),
    };
    Err(Mistake::at(word.column, what).hint(hint))
}

/// Reads a nice value.
fn nice(word: Item<'_>, value: Item<'_>) -> Result<i8, Mistake> {
    let (sign, digits) = match value.text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, value.text),
    };
    let nice = number(digits).and_then(|nice| i8::try_from(nice).ok()).map(|nice| sign * nice);
    if let Some(nice) = nice.filter(|nice| NICE.contains(nice)) {
        return Ok(nice);
    }
    let what = format!("{} is not a nice value", shown(value.text));
    let hint = match read_slice(value) {
        Ok(_) => format!("a slice stands after one: did you mean {}:0:{}?", word.text, value.text),
        Err(_) => "write a number from -20 (first) to 19 (last)".to_owned(),
    };
    Err(Mistake::at(value.column, what).hint(hint))
}

/// Reads the priority of a real-time class.
fn priority(word: Item<'_>, value: Option<Item<'_>>) -> Result<i8, Mistake> {
    let Some(value) = value else {
        let what = format!("{} needs a priority", word.text);
        return Err(Mistake::at(word.column, what).hint(format!("did you mean {}:1?", word.text)));
    };
    let priority = number(value.text).and_then(|priority| i8::try_from(priority).ok());
    priority.filter(|priority| PRIORITIES.contains(priority)).ok_or_else(|| {
        let what = format!("{} is not a priority", shown(value.text));
        Mistake::at(value.column, what).hint("write a number from 1 (last) to 99 (first)")
    })
}

/// Reads a slice, in microseconds.
fn read_slice(item: Item<'_>) -> Result<u32, Mistake> {
    let split = item.text.find(|c: char| !c.is_ascii_digit()).and_then(|at| item.text.split_at_checked(at));
    let us = split.and_then(|(digits, unit)| {
        let unit = match unit {
            "us" => 1,
            "ms" => 1000,
            _ => return None,
        };
        u32::try_from(number(digits)?.checked_mul(unit)?).ok()
    });
    us.filter(|us| SLICES_US.contains(us)).ok_or_else(|| {
        let what = format!("{} is not a slice", shown(item.text));
        Mistake::at(item.column, what).hint("write a time from 100us to 100ms, such as 3ms")
    })
}

/// The fault of classes that would hang QEMU, with the variables that place the threads; `None` if they would not.
pub(crate) fn that_would_hang(policy: &Policy) -> Option<Fault> {
    let why = hang(policy, policy.classes.as_ref()?)?;
    let value_of = |variable: &str| policy.entries.iter().find(|(name, _)| name == variable);
    let said = |variable: &str| match value_of(variable).or_else(|| value_of("PIN_CPUS")) {
        Some((name, value)) => format!("{name}={}", shown(value)),
        None => format!("no {variable}"),
    };
    let (with, mistake) = match why {
        Hang::Shared { real_time, other, cpus } => {
            let (first, second) = (said(real_time.variable()), said(other.variable()));
            let with = if first == second { first } else { format!("{first} and {second}") };
            let noun = if cpus.len() == 1 { "CPU" } else { "CPUs" };
            let who = if real_time == other { "others of them" } else { other.words() };
            let what = format!(
                "{} may have a real-time class and share {noun} {} with {who}, which have none and would wait \
                 for ever",
                real_time.words(),
                shown(&cpus.to_string())
            );
            let (first, second) = (real_time.variable(), other.variable());
            let where_to = if first == second { first.to_owned() } else { format!("{first} or {second}") };
            let hint = format!("name other CPUs in {where_to}, or a class that is not real-time");
            (with, Mistake::of_whole(what).hint(hint))
        }
        Hang::EveryCpu(cpus) => {
            let what = format!(
                "real-time classes take every CPU of the VM, {}, and nothing else would run there",
                shown(&cpus.to_string())
            );
            let hint = "leave the emulator's threads and the workers a CPU and a class that is not real-time";
            (said("PIN_EMULATOR"), Mistake::of_whole(what).hint(hint))
        }
    };
    let (_, value) = value_of(NAME)?;
    let mut fault = Fault::new(NAME, value, mistake);
    fault.value = format!("{} with {with}", fault.value);
    Some(fault)
}
