//! The whole ids of IOThreads of which only the beginning is seen.
//!
//! A comm has room for 12 bytes of an id (`IO ` and 15 bytes in all, proc(5)), and an entry of the register for 61. A
//! placement names the whole id. What QEMU's arguments and the placement itself name are the ids that a thread may
//! have; where that leaves a doubt, the thread is left where it is.

use crate::vm::identify::{Evidence, Identified, OwnedRole, Sources};
use pinning::status_page::NAME_BYTES;

/// So many bytes of an id are in a comm.
const IN_COMM: usize = 15 - PREFIX.len();

/// So many bytes of an id are in the register.
const IN_REGISTER: usize = NAME_BYTES - PREFIX.len();

/// What an IOThread's name begins with.
const PREFIX: &str = "IO ";

/// Gives each IOThread its whole id, or the ids that it may have.
pub(crate) fn complete(identified: &mut [Identified], sources: &Sources<'_>) {
    let seen: Vec<Option<Vec<u8>>> =
        identified.iter().map(|identified| cut_id(identified).map(<[u8]>::to_vec)).collect();
    // QEMU has named the others: no thread without an answer has one of their ids.
    let named_by_qemu =
        |id: &str| sources.ids.is_some_and(|ids| ids.iothreads.iter().any(|(of, _)| of == id));
    for (at, beginning) in seen.iter().enumerate() {
        let (Some(beginning), Some(identified)) = (beginning, identified.get_mut(at)) else { continue };
        let begins = |id: &&str| id.as_bytes().starts_with(beginning) && !named_by_qemu(id);
        let placed: Vec<&str> = sources
            .policy()
            .map(|policy| policy.named_iothreads().filter(begins).collect())
            .unwrap_or_default();
        let created: Vec<&str> = sources.iothreads.iter().map(String::as_str).filter(begins).collect();
        let alike = seen.iter().filter(|other| other.as_ref() == Some(beginning)).count();
        let possible = if created.is_empty() { &placed } else { &created };
        match possible.as_slice() {
            [only] if alike == 1 => identified.is_iothread(only),
            // Whichever of them it is: no entry of the placement is meant for it.
            _ if placed.is_empty() => {}
            possible => identified.may_be = possible.iter().map(|id| (*id).to_owned()).collect(),
        }
    }
}

/// The beginning of an IOThread's id, where it may be longer than what is seen.
fn cut_id(identified: &Identified) -> Option<&[u8]> {
    let room = match identified.evidence {
        Evidence::Name => IN_COMM,
        Evidence::Certain => IN_REGISTER,
        Evidence::Qemu | Evidence::Assumed | Evidence::Unseen => return None,
    };
    match &identified.role {
        OwnedRole::IoThread(id) if id.len() >= room => Some(id),
        _ => None,
    }
}

impl Identified {
    /// Makes it the IOThread of this id.
    fn is_iothread(&mut self, id: &str) {
        self.role = OwnedRole::IoThread(id.as_bytes().to_vec());
        self.name = format!("{PREFIX}{id}").into_bytes();
    }
}
