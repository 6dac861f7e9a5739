//! The keys of a placement's map: the WHO of `WHO@WHERE`.

use super::items::Item;
use super::mistake::{Mistake, shown};
use super::range::{backwards, leading_zero, range, without_leading_zeros};
use crate::policy::{IoThreadId, VCPU_LIMIT, VcpuRange};
use crate::role::VcpuIndex;

/// The key of an entry of a map: some vCPUs, or one IOThread.
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
        let Some((first, last)) = range(item.text) else {
            let plain = without_leading_zeros(item.text).filter(|plain| range(plain).is_some());
            if let Some(plain) = plain {
                return Err(leading_zero(item, &plain));
            }
            let what = if item.text.is_empty() {
                "no vCPU is named before the @".to_owned()
            } else {
                format!("{} is not a vCPU", shown(item.text))
            };
            return Err(Mistake::at(item.column, what).hint("write vCPUs like 0, 2-3 or *"));
        };
        if first > last {
            return Err(backwards(item, first, last));
        }
        let index =
            |number: u64| u32::try_from(number).ok().filter(|&index| index < VCPU_LIMIT).map(VcpuIndex);
        match (index(first), index(last)) {
            (Some(first), Some(last)) => Ok(VcpuRange { first, last }),
            _ => {
                let what = format!(
                    "{} names a vCPU past the last there can be, {}",
                    shown(item.text),
                    VCPU_LIMIT - 1
                );
                Err(Mistake::at(item.column, what))
            }
        }
    }

    fn shared(&self, other: &Self) -> Option<String> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        match first.cmp(&last) {
            std::cmp::Ordering::Less => Some(format!("vCPUs {first}-{last} are")),
            std::cmp::Ordering::Equal => Some(format!("vCPU {first} is")),
            std::cmp::Ordering::Greater => None,
        }
    }

    fn ends_after(&self, other: &Self) -> bool {
        self.last > other.last
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        Some((u64::from(self.first.0), u64::from(self.last.0)))
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
