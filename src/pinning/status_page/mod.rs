//! The status page: what the library in QEMU writes and the command reads.

mod layout;
mod snapshot;

pub use layout::{
    ENTRIES, Entry, Header, MAGIC, MAX_BYTES, NAME, NAME_BYTES, NO_INDEX, Plan, State, VERSION, text_of,
};
pub use snapshot::{BadPage, Counters, Listed, Snapshot};
