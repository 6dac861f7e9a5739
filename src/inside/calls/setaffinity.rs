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
        let set = if itself { own(shim) } else { others(shim, slots::role_and_set_of(&shim.policy, handle)) };
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
    let current = slots::as_it_stands(&shim.policy, current::thread());
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

#[cfg(test)]
mod tests {
    use super::{MASK_WORDS, Request, cut, cut_to, others, own};
    use crate::state::current;
    use crate::state::shim::Shim;
    use crate::testing::{self, TwoPages};
    use pinning::{RoleKind, SetId};
    use proptest::prelude::*;
    use std::ffi::c_void;

    /// The set has the CPUs 1, 2, and 63.
    fn shim() -> Shim {
        testing::shim(&[("PIN_CPUS", "1-2,63")])
    }

    const ALLOWED: u64 = 1 << 1 | 1 << 2 | 1 << 63;

    /// A request in a form that can be compared: the mask that the real call is made with, or what becomes of it.
    fn outcome(request: Request) -> Result<Vec<u8>, &'static str> {
        match request {
            Request::AsItIs => Err("as it is"),
            Request::CutTo(words, bytes) => {
                Ok(words.iter().flat_map(|word| word.to_ne_bytes()).take(bytes).collect())
            }
            Request::Nothing => Err("nothing"),
        }
    }

    fn asked(words: &[u64], bytes: usize) -> Result<Vec<u8>, &'static str> {
        assert!(bytes <= size_of_val(words));
        let shim = shim();
        outcome(cut(&shim, Some(shim.policy.base()), bytes, words.as_ptr().cast()))
    }

    fn mask(words: &[u64], bytes: usize) -> Result<Vec<u8>, &'static str> {
        let mut mask: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        mask.resize(bytes, 0);
        Ok(mask)
    }

    #[test]
    fn a_mask_is_cut_to_the_set() {
        assert_eq!(asked(&[ALLOWED], 8), mask(&[ALLOWED], 8));
        assert_eq!(asked(&[u64::MAX], 8), mask(&[ALLOWED], 8));
        assert_eq!(asked(&[0b111], 8), mask(&[0b110], 8));
        assert_eq!(asked(&[u64::MAX, u64::MAX], 16), mask(&[ALLOWED], 16));
    }

    #[test]
    fn a_mask_of_which_nothing_is_left_changes_nothing() {
        assert_eq!(asked(&[1], 8), Err("nothing"));
        assert_eq!(asked(&[0, 1], 16), Err("nothing"));
        // CPU 63 is asked for beyond the bytes that count.
        assert_eq!(asked(&[1 | 1 << 63], 4), Err("nothing"));
    }

    #[test]
    fn an_empty_mask_is_left_to_the_real_call() {
        assert_eq!(asked(&[0], 8), Err("as it is"));
        assert_eq!(asked(&[u64::MAX], 0), Err("as it is"));
        assert_eq!(asked(&[1 << 63], 4), Err("as it is"));
    }

    #[test]
    fn a_mask_of_any_length_keeps_it() {
        let all = [u64::MAX; MASK_WORDS + 8];
        for bytes in 1..=MASK_WORDS * 8 {
            let expected = mask(&[ALLOWED], 8).map(|mut mask| {
                mask.resize(bytes.max(8), 0);
                mask.truncate(bytes);
                mask
            });
            assert_eq!(asked(&all, bytes), expected, "{bytes}");
        }
        // One that is longer than the kernel's longest is cut to that.
        let longer = size_of_val(&all);
        assert_eq!(asked(&all, longer), mask(&[ALLOWED], MASK_WORDS * 8));
    }

    #[test]
    fn a_mask_that_cannot_be_read_is_left_to_the_real_call() {
        let shim = shim();
        for address in [0, 1, usize::MAX - 7] {
            let pointer: *const c_void = std::ptr::without_provenance(address);
            assert_eq!(outcome(cut(&shim, Some(SetId(0)), 8, pointer)), Err("as it is"));
        }
        // One half can be read.
        let mut pages = TwoPages::new();
        let at = TwoPages::page_bytes() - 8;
        pages.write(at, &[0xFF; 16]);
        let pointer = std::ptr::without_provenance(pages.address() + at);
        let request = |bytes| outcome(cut(&shim, Some(SetId(0)), bytes, pointer));
        assert_eq!(request(16), mask(&[ALLOWED], 16));
        pages.hide_second();
        assert_eq!(request(16), Err("as it is"));
        assert_eq!(request(8), mask(&[ALLOWED], 8));
    }

    #[test]
    fn a_thread_that_is_exempt_runs_where_it_wants() {
        let shim = shim();
        assert_eq!(outcome(cut(&shim, None, 8, [u64::MAX].as_ptr().cast())), Err("as it is"));
        assert_eq!(others(&shim, Some((RoleKind::Exempt, SetId(0)))), None);
    }

    #[test]
    fn a_thread_s_set_is_its_own_or_the_emulator_s_where_it_is_not_known() {
        let shim = testing::shim(&[("PIN_CPUS", "0"), ("PIN_EMULATOR", "1")]);
        assert_eq!(others(&shim, Some((RoleKind::Vcpu, SetId(7)))), Some(SetId(7)));
        assert_eq!(others(&shim, None), Some(shim.policy.emulator()));
        for (known, role, set) in [
            (true, RoleKind::Vcpu, Some(SetId(7))),
            (true, RoleKind::Exempt, None),
            (false, RoleKind::Emulator, Some(shim.policy.emulator())),
        ] {
            // In a thread of its own: the calling one may be another test's, too.
            let own = || {
                current::update(|current| {
                    (current.known, current.role, current.set) = (known, role, SetId(7))
                });
                own(&shim)
            };
            let own = std::thread::scope(|scope| scope.spawn(own).join().unwrap());
            assert_eq!(own, set);
        }
    }

    proptest! {
        #[test]
        fn no_cpu_is_left_that_was_not_asked_for_or_is_not_allowed(
            allowed in prop::collection::vec(any::<u64>(), 0..4), asked in prop::collection::vec(any::<u64>(), 0..4),
        ) {
            let bytes = size_of_val(asked.as_slice());
            let mut room = [0u8; MASK_WORDS * 8];
            for (to, from) in room.iter_mut().zip(asked.iter().flat_map(|word| word.to_ne_bytes())) {
                *to = from;
            }
            let left: Vec<_> = asked.iter().zip(allowed.iter().chain([0; 4].iter())).map(|(a, b)| a & b).collect();
            let expected = match (left.iter().any(|word| *word != 0), asked.iter().any(|word| *word != 0)) {
                (true, _) => mask(&left, bytes),
                (false, true) => Err("nothing"),
                (false, false) => Err("as it is"),
            };
            prop_assert_eq!(outcome(cut_to(&allowed, &room, bytes)), expected);
        }
    }
}
