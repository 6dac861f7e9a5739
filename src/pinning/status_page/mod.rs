//! The status page: what the library in QEMU writes and the command reads from outside.

mod at_start;
mod bad_page;
mod bytes;
mod class_word;
mod layout;
mod listed;
mod new_page;
mod snapshot;
mod state;

pub use at_start::AtStart;
pub use bad_page::BadPage;
pub use class_word::{ClassState, ClassWord};
pub use layout::{
    ENTRIES, Entry, Header, MAGIC, MAX_BYTES, NAME, NAME_BYTES, NO_INDEX, VERSION, VERSION_WITHOUT_HOST,
};
pub use listed::Listed;
pub use new_page::NewPage;
pub use snapshot::{Counters, Snapshot};
pub use state::State;
