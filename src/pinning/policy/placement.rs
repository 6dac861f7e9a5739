//! Which vCPU, IOThread or vhost worker has which set: an ordered list or a map.
//!
//! `2,3,6-7` is a list: entry i is for the i-th. `0@2,2-3@[6-7],*@[4-7]` is a map by index or id. The library
//! looks up as QEMU creates threads, so looking up neither allocates nor panics. A key that is a range is
//! kept as a range, since it may span 65536 vCPUs.

use std::cmp::Ordering;

use crate::role::VcpuIndex;

/// The first vCPU index that a text may not name. QEMU's own limit is far below.
pub const VCPU_LIMIT: u32 = 65_536;

/// Which vCPU or IOThread has which set. `K` is a key, which names one or several of them, and `S` a set of
/// CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement<K, S> {
    /// Entry i is for the i-th: vCPU i, or the i-th IOThread that was created.
    List(Vec<S>),
    /// By key.
    Map {
        /// Sorted by key; no two keys name the same.
        named: Vec<(K, S)>,
        /// `*`: the set of all that no key names.
        rest: Option<S>,
    },
}

/// vCPUs `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VcpuRange {
    /// The first one.
    pub first: VcpuIndex,
    /// The last one, not below the first.
    pub last: VcpuIndex,
}

/// vhost workers `first` to `last` in the order in which they appeared, both included; the first that appears is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VhostRange {
    /// The first one.
    pub first: u32,
    /// The last one, not below the first.
    pub last: u32,
}

/// The object id of an IOThread, in QEMU's grammar: a letter, then letters, digits, `-`, `.` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IoThreadId(pub String);

impl<K, S> Placement<K, S> {
    /// The set of the `order`-th vCPU or IOThread. In a map, `key` compares a key with it. `None` if no entry
    /// names it.
    pub(crate) fn find(&self, order: u32, key: impl Fn(&K) -> Ordering) -> Option<&S> {
        match self {
            Placement::List(entries) => entries.get(usize::try_from(order).ok()?),
            Placement::Map { named, rest } => match named.binary_search_by(|(named, _)| key(named)) {
                Ok(at) => named.get(at).map(|(_, set)| set),
                Err(_) => rest.as_ref(),
            },
        }
    }

    /// Whether this is an ordered list that ends before the `order`-th.
    pub(crate) fn is_too_short(&self, order: u32) -> bool {
        matches!(self, Placement::List(entries) if entries.len() as u64 <= u64::from(order))
    }

    /// The same placement with other sets. `None` if `value` has none for some set.
    pub(crate) fn try_map<T>(self, mut value: impl FnMut(S) -> Option<T>) -> Option<Placement<K, T>> {
        Some(match self {
            Placement::List(entries) => {
                Placement::List(entries.into_iter().map(value).collect::<Option<_>>()?)
            }
            Placement::Map { named, rest } => {
                let named =
                    named.into_iter().map(|(key, set)| Some((key, value(set)?))).collect::<Option<_>>()?;
                let rest = match rest {
                    Some(set) => Some(value(set)?),
                    None => None,
                };
                Placement::Map { named, rest }
            }
        })
    }

    /// The entries of a map that have a key. An ordered list has none.
    pub(crate) fn named(&self) -> &[(K, S)] {
        match self {
            Placement::List(_) => &[],
            Placement::Map { named, .. } => named,
        }
    }

    /// Every set that an entry names.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &S> {
        let (entries, named, rest) = match self {
            Placement::List(entries) => (entries.as_slice(), [].as_slice(), None),
            Placement::Map { named, rest } => ([].as_slice(), named.as_slice(), rest.as_ref()),
        };
        entries.iter().chain(named.iter().map(|(_, set)| set)).chain(rest)
    }
}

impl<S> Placement<VcpuRange, S> {
    /// The set of a vCPU.
    pub fn of_vcpu(&self, index: VcpuIndex) -> Option<&S> {
        self.find(index.0, |range| compared(range.first, range.last, index))
    }
}

impl<S> Placement<VhostRange, S> {
    /// The set of the `order`-th vhost worker that appeared (from 0).
    pub fn of_vhost_worker(&self, order: u32) -> Option<&S> {
        self.find(order, |range| compared(range.first, range.last, order))
    }
}

/// How a range lies to a number: before it, around it or after it.
fn compared<N: Ord>(first: N, last: N, number: N) -> Ordering {
    if last < number {
        Ordering::Less
    } else if first > number {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

impl<S> Placement<IoThreadId, S> {
    /// The set of the IOThread with this id, the `order`-th that was created (from 0).
    pub fn of_iothread(&self, id: &[u8], order: u32) -> Option<&S> {
        self.find(order, |named| named.0.as_bytes().cmp(id))
    }
}
