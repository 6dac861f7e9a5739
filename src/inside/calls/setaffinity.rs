//! Affinities that others in the process ask for: Mesa pins its own threads, QEMU its thread contexts.
//!
//! A request is cut to the set of the thread it is about. Where nothing is left of it, it succeeds and
//! changes nothing: the one place where a hook's answer is not the real function's, since a library that
//! is refused may give up. QEMU's own requests are for threads with the role exempt, and pass.

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
    /// Make the real call as it is.
    AsItIs,
    /// Make it with this mask, of this many bytes.
    CutTo([u64; MASK_WORDS], usize),
    /// Say that it was done.
    Nothing,
}

/// A request about the thread with this `pthread_t`: calls `real`, with the caller's mask or less of it, at most once.
pub fn by_handle(
    handle: libc::pthread_t,
    bytes: usize,
    mask: *const c_void,
    real: impl FnOnce(usize, *const c_void) -> c_int,
) -> c_int {
    answer(bytes, mask, real, |shim| {
        // SAFETY: pthread_self has no preconditions.
        let itself = handle == unsafe { libc::pthread_self() };
        let set = if itself { own(shim) } else { others(shim, slots::role_and_set_of(handle)) };
        cut(shim, set, bytes, mask)
    })
}

/// The same about a thread id (0: the calling thread). Other processes' threads are none of our business.
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

/// The set of another thread of which this is known, if anything is; `None` if it is exempt.
fn others(shim: &Shim, known: Option<(RoleKind, SetId)>) -> Option<SetId> {
    match known {
        Some((RoleKind::Exempt, _)) => None,
        Some((_, set)) => Some(set),
        None => Some(shim.policy.emulator()),
    }
}

fn cut(shim: &Shim, set: Option<SetId>, bytes: usize, mask: *const c_void) -> Request {
    let Some(set) = set else { return Request::AsItIs };
    let mut room = [0u8; MASK_WORDS * 8];
    let wanted = bytes.min(room.len());
    // The caller's pointer may be wrong: then the real call says EFAULT.
    let read =
        room.get_mut(..wanted).map(|room| thread::read_own_memory(thread::getpid(), mask as usize, room));
    if !matches!(read, Some(Ok(read)) if read.len() == wanted) {
        return Request::AsItIs;
    }
    let mut words = [0u64; MASK_WORDS];
    let allowed = shim.policy.set(set).words().iter().chain(std::iter::repeat(&0));
    let (mut asked_for_any, mut any) = (false, false);
    for ((word, asked), allowed) in words.iter_mut().zip(room.chunks_exact(8)).zip(allowed) {
        let asked = u64::from_ne_bytes(asked.try_into().unwrap_or_default());
        *word = asked & allowed;
        asked_for_any |= asked != 0;
        any |= *word != 0;
    }
    match (any, asked_for_any) {
        (true, _) => Request::CutTo(words, wanted),
        (false, true) => Request::Nothing,
        // An empty mask: the real call says EINVAL.
        (false, false) => Request::AsItIs,
    }
}
