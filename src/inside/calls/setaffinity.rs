//! `pthread_setaffinity_np` and `sched_setaffinity`: affinities that other code in the process asks for. Mesa
//! pins its own threads, and QEMU those of its thread contexts.
//!
//! A request is cut to the set of the thread that it is about. Where nothing is left of it, it succeeds and
//! changes nothing. This is the only hook that does not always answer what the real function would: a library
//! whose request is refused may give up. QEMU's own requests are about threads with the role exempt, and are
//! made unchanged.

use crate::state::current;
use crate::state::ownership;
use crate::state::shim::{self, Shim};
use crate::state::{entries, slots};
use crate::sys::errno::keeping_errno;
use crate::sys::thread;
use libc::c_int;
use pinning::{MASK_WORDS, RoleKind, SetId};
use std::ffi::c_void;

/// What to do with a request.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, and a box would allocate")]
enum Request {
    /// Make the real call, unchanged.
    AsItIs,
    /// Make it with this mask, of this many bytes.
    CutTo([u64; MASK_WORDS], usize),
    /// Make no call, and answer that it succeeded.
    Nothing,
}

/// Answers a request about the thread with this `pthread_t`. Calls `real` with the caller's mask or a part of
/// it, or not at all.
pub fn by_handle(
    handle: libc::pthread_t,
    bytes: usize,
    mask: *const c_void,
    real: impl FnOnce(usize, *const c_void) -> c_int,
) -> c_int {
    answer(bytes, mask, real, |shim| {
        let itself = handle == thread::pthread_self();
        let set = if itself { own(shim) } else { others(shim, slots::role_and_set_of(handle)) };
        cut(shim, set, bytes, mask)
    })
}

/// Answers a request about the thread with this id; 0 is the calling thread. A request about another
/// process's thread is made unchanged.
pub fn by_tid(
    tid: i32,
    bytes: usize,
    mask: *const c_void,
    real: impl FnOnce(usize, *const c_void) -> c_int,
) -> c_int {
    answer(bytes, mask, real, |shim| {
        if !ownership::is_ours() {
            return Request::AsItIs;
        }
        if tid == 0 || tid == thread::gettid().0 {
            return cut(shim, own(shim), bytes, mask);
        }
        let tid = pinning::Tid(tid);
        if !thread::is_thread_of(thread::getpid(), tid) {
            return Request::AsItIs;
        }
        cut(shim, others(shim, shim.page.and_then(|page| entries::role_and_set_of(page, tid))), bytes, mask)
    })
}

/// Answers a request as `judge` says; unchanged where the library does not act.
fn answer(
    bytes: usize,
    mask: *const c_void,
    real: impl FnOnce(usize, *const c_void) -> c_int,
    judge: impl FnOnce(&Shim) -> Request,
) -> c_int {
    let request = keeping_errno(|| shim::shim().map_or(Request::AsItIs, judge));
    match request {
        Request::AsItIs => real(bytes, mask),
        Request::CutTo(words, bytes) => real(bytes, words.as_ptr().cast()),
        Request::Nothing => 0,
    }
}

/// The calling thread's set; `None` if it is exempt.
fn own(shim: &Shim) -> Option<SetId> {
    let current = current::thread();
    match current.role {
        RoleKind::Exempt => None,
        _ if current.known => Some(current.set),
        _ => Some(shim.policy.emulator()),
    }
}

/// The set of another thread, whose role and set are `known` if it was created through the library; `None` if
/// it is exempt.
fn others(shim: &Shim, known: Option<(RoleKind, SetId)>) -> Option<SetId> {
    match known {
        Some((RoleKind::Exempt, _)) => None,
        Some((_, set)) => Some(set),
        None => Some(shim.policy.emulator()),
    }
}

/// Cuts a request for the mask of `bytes` bytes at `mask` to a set; `None`: the thread may run where the
/// caller wants.
fn cut(shim: &Shim, set: Option<SetId>, bytes: usize, mask: *const c_void) -> Request {
    let Some(set) = set else { return Request::AsItIs };
    let mut room = [0u8; MASK_WORDS * 8];
    let wanted = bytes.min(room.len());
    let read =
        room.get_mut(..wanted).map(|room| thread::read_own_memory(thread::getpid(), mask as usize, room));
    // Where the caller's pointer is wrong the real call answers EFAULT.
    if !matches!(read, Some(Ok(read)) if read.len() == wanted) {
        return Request::AsItIs;
    }
    cut_to(shim.policy.set(set).words(), &room, wanted)
}

/// Cuts a mask of `bytes` bytes, with zeros behind them, to these CPUs.
fn cut_to(allowed: &[u64], asked: &[u8; MASK_WORDS * 8], bytes: usize) -> Request {
    let mut words = [0u64; MASK_WORDS];
    let allowed = allowed.iter().chain(std::iter::repeat(&0));
    let (mut asked_for_any, mut any) = (false, false);
    for ((word, asked), allowed) in words.iter_mut().zip(asked.chunks_exact(8)).zip(allowed) {
        let asked = u64::from_ne_bytes(asked.try_into().unwrap_or_default());
        *word = asked & allowed;
        asked_for_any |= asked != 0;
        any |= *word != 0;
    }
    match (any, asked_for_any) {
        (true, _) => Request::CutTo(words, bytes),
        (false, true) => Request::Nothing,
        // For an empty mask the real call answers EINVAL.
        (false, false) => Request::AsItIs,
    }
}
