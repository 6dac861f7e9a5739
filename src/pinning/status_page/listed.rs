//! Reading one entry of a status page.

use super::bytes::{i32_at, part, u16_at, u32_at, u64_at};
use super::class_word::ClassWord;
use super::layout::{Entry, NAME_BYTES, NO_INDEX};
use super::state::State;
use crate::harmful::is_harmful;
use crate::policy::{COMM_BYTES, SetId};
use crate::role::RoleKind;
use crate::tid::Tid;
use std::mem::offset_of;

/// One thread as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its thread id, in QEMU's own pid namespace.
    pub tid: Tid,
    /// What is known of its affinity.
    pub state: State,
    /// Its role.
    pub role: RoleKind,
    /// A vCPU's index or an IOThread's place in the order of creation.
    pub index: Option<u32>,
    /// The set that it belongs on: an index into [`Snapshot::sets`](super::Snapshot::sets), checked.
    pub set: SetId,
    /// The set that its own workers follow; checked likewise.
    pub home: SetId,
    /// When it was created: CLOCK_MONOTONIC, nanoseconds.
    pub born_ns: u64,
    /// The name that it has been given since it was created, as it is: the kernel lets a comm hold any bytes. Empty where
    /// there is none.
    pub given_name: Vec<u8>,
    /// The scheduling class that it should have, and what became of that. `None`: nothing is said of it.
    pub class: Option<ClassWord>,
    /// QEMU's name for it, safe for a terminal: lossy UTF-8, control characters replaced.
    pub name: String,
}

impl Listed {
    /// Reads an entry of a page with so many sets. `None` where it is free or makes no sense.
    pub(crate) fn parse(entry: &[u8], set_count: usize) -> Option<Self> {
        let tid = i32_at(entry, offset_of!(Entry, tid))?;
        let set = u16_at(entry, offset_of!(Entry, set))?;
        let home = u16_at(entry, offset_of!(Entry, home))?;
        if tid <= 0 || usize::from(set) >= set_count || usize::from(home) >= set_count {
            return None;
        }
        let length = usize::from(u16_at(entry, offset_of!(Entry, name_bytes))?).min(NAME_BYTES);
        let name = part(entry, offset_of!(Entry, name), length, 1)?;
        let given_name = part(entry, offset_of!(Entry, given_name), COMM_BYTES, 1)?;
        let index = u32_at(entry, offset_of!(Entry, index))?;
        Some(Self {
            tid: Tid(tid),
            state: State::from_number(*entry.get(offset_of!(Entry, state))?)?,
            role: RoleKind::from_number(*entry.get(offset_of!(Entry, role))?)?,
            index: Some(index).filter(|index| *index != NO_INDEX),
            set: SetId(set),
            home: SetId(home),
            born_ns: u64_at(entry, offset_of!(Entry, born_ns))?,
            given_name: given_name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            class: ClassWord::from_word(u64_at(entry, offset_of!(Entry, class))?),
            name: String::from_utf8_lossy(name).replace(is_harmful, "?"),
        })
    }
}
