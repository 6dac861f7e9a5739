//! The keys of a placement's map: the WHO of `WHO@WHERE`.

use super::items::Item;
use super::mistake::{Mistake, shown};
use super::range::{backwards, leading_zero, range, without_leading_zeros};
use crate::policy::{IoThreadId, VCPU_LIMIT, VcpuRange, VhostRange};
use crate::role::VcpuIndex;

/// The key of an entry of a map: some vCPUs or vhost workers, or one IOThread.
pub(crate) trait Key: Ord {
    /// Parses a key.
    fn parse(item: Item<'_>) -> Result<Self, Mistake>
    where
        Self: Sized;

    /// What two keys both name, in words for a message; `None` if they have nothing in common. `self` must
    /// not sort after `other`.
    fn shared(&self, other: &Self) -> Option<String>;

    /// Whether `self` ends after `other`.
    fn ends_after(&self, other: &Self) -> bool;

    /// The first and the last number, if the key is a range of numbers.
    fn numbers(&self) -> Option<(u64, u64)>;
}

impl Key for VcpuRange {
    fn parse(item: Item<'_>) -> Result<Self, Mistake> {
        let (first, last) = VCPUS.range(item)?;
        Ok(VcpuRange { first: VcpuIndex(first), last: VcpuIndex(last) })
    }

    fn shared(&self, other: &Self) -> Option<String> {
        VCPUS.shared(self.first.max(other.first).0, self.last.min(other.last).0)
    }

    fn ends_after(&self, other: &Self) -> bool {
        self.last > other.last
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        Some((u64::from(self.first.0), u64::from(self.last.0)))
    }
}

impl Key for VhostRange {
    fn parse(item: Item<'_>) -> Result<Self, Mistake> {
        let (first, last) = VHOST_WORKERS.range(item)?;
        Ok(VhostRange { first, last })
    }

    fn shared(&self, other: &Self) -> Option<String> {
        VHOST_WORKERS.shared(self.first.max(other.first), self.last.min(other.last))
    }

    fn ends_after(&self, other: &Self) -> bool {
        self.last > other.last
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        Some((u64::from(self.first), u64::from(self.last)))
    }
}

/// What is numbered, in words for a message: of one, and of several.
struct Numbered {
    one: &'static str,
    several: &'static str,
}

const VCPUS: Numbered = Numbered { one: "vCPU", several: "vCPUs" };
const VHOST_WORKERS: Numbered = Numbered { one: "vhost worker", several: "vhost workers" };

impl Numbered {
    /// The first and the last number of `N` or `N-M`.
    fn range(&self, item: Item<'_>) -> Result<(u32, u32), Mistake> {
        let Self { one, several } = self;
        let Some((first, last)) = range(item.text) else {
            let plain = without_leading_zeros(item.text).filter(|plain| range(plain).is_some());
            if let Some(plain) = plain {
                return Err(leading_zero(item, &plain));
            }
            let what = if item.text.is_empty() {
                format!("no {one} is named before the @")
            } else {
                format!("{} is not a {one}", shown(item.text))
            };
            return Err(Mistake::at(item.column, what).hint(format!("write {several} like 0, 2-3 or *")));
        };
        if first > last {
            return Err(backwards(item, first, last));
        }
        let number = |number: u64| u32::try_from(number).ok().filter(|number| *number < VCPU_LIMIT);
        match (number(first), number(last)) {
            (Some(first), Some(last)) => Ok((first, last)),
            _ => {
                let (text, limit) = (shown(item.text), VCPU_LIMIT - 1);
                let what = format!("{text} names a {one} past the last there can be, {limit}");
                Err(Mistake::at(item.column, what))
            }
        }
    }

    /// What two ranges both name, which is from `first` to `last`.
    fn shared(&self, first: u32, last: u32) -> Option<String> {
        match first.cmp(&last) {
            std::cmp::Ordering::Less => Some(format!("{} {first}-{last} are", self.several)),
            std::cmp::Ordering::Equal => Some(format!("{} {first} is", self.one)),
            std::cmp::Ordering::Greater => None,
        }
    }
}

impl Key for IoThreadId {
    fn parse(item: Item<'_>) -> Result<Self, Mistake> {
        if item.text.is_empty() {
            return Err(
                Mistake::at(item.column, "no IOThread is named before the @").hint("write its id: io1@5")
            );
        }
        if item.text.starts_with(|c: char| c.is_ascii_digit()) {
            let what = format!("{} is not the id of an IOThread", shown(item.text));
            return Err(Mistake::at(item.column, what)
                .hint(
                    "write its id, as in io1@5 (libvirt's IOThread 4 is iothread4), or an ordered list without keys, as in 5,6",
                ));
        }
        // id_wellformed() in QEMU's util/id.c.
        let mut letters = item.text.chars();
        let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
        if starts && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) {
            return Ok(IoThreadId(item.text.to_owned()));
        }
        let what = format!("{} is not the id of an IOThread", shown(item.text));
        Err(Mistake::at(item.column, what).hint("an id is a letter, then letters, digits, -, . and _"))
    }

    fn shared(&self, other: &Self) -> Option<String> {
        if self == other { Some(format!("IOThread {} is", shown(&self.0))) } else { None }
    }

    fn ends_after(&self, other: &Self) -> bool {
        self != other
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        None
    }
}
