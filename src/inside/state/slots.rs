//! The threads and their roles.
//!
//! Each thread has a slot in this process's own memory from just before its creation until its end, and the
//! entry of the same number on the status page. A slot is claimed by the creator, which leaves there
//! what the new thread needs, so that a creation allocates nothing; it is given back by a
//! thread-specific-data destructor, since a thread may leave by `pthread_exit`.
//!
//! What stands on the page is for readers outside, for the broker and for looks; a creation relies on none of it.

use crate::state::handover::{Generation, Handover};
use crate::state::page::Page;
use crate::state::thread_identity::ThreadIdentity;
use pinning::status_page::ENTRIES;
use pinning::{RoleKind, SetId};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Threads created and not yet placed. Whoever is about to look at every thread, or to have the sandbox
/// closed, must know.
pub(crate) static UNPLACED: AtomicU32 = AtomicU32::new(0);

/// What a creator hands to the thread it creates.
#[derive(Clone, Copy)]
pub(crate) struct Creation {
    /// The thread's own routine and its argument, as the caller of `pthread_create` gave them.
    pub(crate) routine: *const c_void,
    pub(crate) argument: *mut c_void,
    pub(crate) identity: ThreadIdentity,
    /// Whether the status page lists it: not in a forked child, which does not own the page.
    pub(crate) listed: bool,
    /// Where the caller of `pthread_create` wants the handle, if whoever comes first is to write it there.
    pub(crate) handle_to: Option<NonNull<libc::pthread_t>>,
}

/// A creation, and the number of the slot it stands in.
pub(crate) struct Slot {
    /// Meaningful from the claim until the new thread has taken it over. Zero before, so that the slots
    /// take no room in the library's file.
    creation: UnsafeCell<MaybeUninit<Creation>>,
    /// The thread's `pthread_t`; 0 while it has none.
    handle: AtomicUsize,
    /// Who places the thread.
    handover: Handover,
    /// Its role and set, for whoever knows it by its `pthread_t`.
    placed_as: AtomicU32,
    /// When the register was full this slot stands on the heap.
    on_heap: bool,
}

impl Slot {
    const fn new(creation: MaybeUninit<Creation>, on_heap: bool) -> Self {
        Self {
            creation: UnsafeCell::new(creation),
            handle: AtomicUsize::new(0),
            handover: Handover::new(),
            placed_as: AtomicU32::new(0),
            on_heap,
        }
    }
}

// SAFETY: `creation` is written by the creator before the thread exists and read by that thread alone: the
// creation orders the two. A slot is claimed by one creator at a time (TAKEN).
unsafe impl Sync for Slot {}

static SLOTS: [Slot; ENTRIES] = [const { Slot::new(MaybeUninit::zeroed(), false) }; ENTRIES];

/// A bit for each slot.
static TAKEN: [AtomicU64; ENTRIES / 64] = [const { AtomicU64::new(0) }; ENTRIES / 64];

/// A slot claimed for a thread that is to be created.
pub(crate) struct Claim {
    slot: *mut Slot,
    /// The handover with the thread, if there is to be one.
    pub(crate) handover: Option<(&'static Handover, Generation)>,
}

impl Claim {
    /// Claims a slot; one on the heap where the register is full.
    pub(crate) fn new(creation: Creation) -> Self {
        if let Some(slot) = claim().and_then(|number| SLOTS.get(number)) {
            // SAFETY: the slot was just claimed, so nobody else touches it until the thread runs.
            unsafe { *slot.creation.get() = MaybeUninit::new(creation) };
            let handover = match creation.handle_to {
                Some(_) => Some((&slot.handover, slot.handover.open())),
                None => {
                    slot.handover.close();
                    None
                }
            };
            return Self { slot: std::ptr::from_ref(slot).cast_mut(), handover };
        }
        // Nobody could tell when a slot on the heap is gone.
        let creation = MaybeUninit::new(Creation { handle_to: None, ..creation });
        Self { slot: Box::into_raw(Box::new(Slot::new(creation, true))), handover: None }
    }

    /// What to pass to the new thread, which takes it over with [`arrive`].
    pub(crate) fn passed_on(&self) -> *mut c_void {
        self.slot.cast()
    }

    /// The thread was not created.
    ///
    /// # Safety
    /// No thread has taken over what [`Claim::passed_on`] returned, and none will.
    pub(crate) unsafe fn take_back(self) {
        // SAFETY: as the caller upholds.
        let (_, number) = unsafe { receive(self.slot.cast()) };
        if let Some(number) = number {
            release(number);
        }
    }
}

fn claim() -> Option<usize> {
    TAKEN.iter().enumerate().find_map(|(word, taken)| {
        loop {
            let bit = taken.load(Ordering::Relaxed).trailing_ones();
            let mask = 1u64.checked_shl(bit)?;
            if taken.fetch_or(mask, Ordering::Acquire) & mask == 0 {
                return Some(word * 64 + bit as usize);
            }
        }
    })
}

pub(super) fn release(number: u16) {
    if let Some(slot) = SLOTS.get(usize::from(number)) {
        slot.handle.store(0, Ordering::Relaxed);
    }
    if let Some(taken) = TAKEN.get(usize::from(number) / 64) {
        taken.fetch_and(!(1 << (number % 64)), Ordering::Release);
    }
}

/// Takes what a creator passed on; the number of the slot, unless it was on the heap (and is now gone).
///
/// # Safety
/// `passed` came from `Claim::passed_on`, and this is the one call that takes it.
unsafe fn receive(passed: *mut c_void) -> (Creation, Option<u16>) {
    let slot = passed.cast::<Slot>();
    // SAFETY: the slot is alive: static, or on the heap and not freed before this call.
    if unsafe { (*slot).on_heap } {
        // SAFETY: made by Box::into_raw in Claim::new, and taken once.
        let slot = unsafe { Box::from_raw(slot) };
        // SAFETY: a slot on the heap is made with its creation.
        return (unsafe { slot.creation.into_inner().assume_init() }, None);
    }
    let number = (slot as usize).wrapping_sub(SLOTS.as_ptr() as usize) / size_of::<Slot>();
    // SAFETY: static, and ours alone until it is released.
    let slot = unsafe { &*slot };
    // SAFETY: the creator has finished with it, and nobody else reads it.
    let creation = unsafe { *slot.creation.get() };
    // SAFETY: the claim wrote it.
    let creation = unsafe { creation.assume_init() };
    (creation, u16::try_from(number).ok())
}

/// What the new thread takes over from its creator.
///
/// # Safety
/// As for [`receive`]; to be called once, by the new thread.
pub(crate) unsafe fn take_over(passed: *mut c_void) -> (Creation, Option<u16>) {
    // SAFETY: as the caller upholds.
    let (creation, number) = unsafe { receive(passed) };
    if let Some(slot) = number.and_then(|number| SLOTS.get(usize::from(number))) {
        set_identity(slot, &creation.identity);
        slot.handover.child(|| {
            if let Some(handle_to) = creation.handle_to {
                // SAFETY: pthread_self has no preconditions.
                let handle = unsafe { libc::pthread_self() };
                // SAFETY: the caller of pthread_create upholds that it can be written to until that returns, and
                // it does not return before this is done.
                unsafe { handle_to.write(handle) };
            }
        });
    }
    (creation, number)
}

/// The main thread is created by nobody: it takes slot 0 itself.
pub(crate) fn take_main_slot(identity: &ThreadIdentity) -> Option<u16> {
    TAKEN.first()?.fetch_or(1, Ordering::Relaxed);
    set_identity(SLOTS.first()?, identity);
    Some(0)
}

/// The thread in a slot has another role or set than it was created with.
pub(crate) fn change_identity(slot: u16, identity: &ThreadIdentity) {
    if let Some(slot) = SLOTS.get(usize::from(slot)) {
        set_identity(slot, identity);
    }
}

fn set_identity(slot: &Slot, identity: &ThreadIdentity) {
    slot.placed_as.store(u32::from(identity.role as u8) << 16 | u32::from(identity.set.0), Ordering::Relaxed);
    // SAFETY: pthread_self has no preconditions.
    let handle = unsafe { libc::pthread_self() };
    slot.handle.store(handle as usize, Ordering::Release);
}

/// The role and set of the thread with this `pthread_t`; `None` if it did not come through the library.
pub(crate) fn role_and_set_of(handle: libc::pthread_t) -> Option<(RoleKind, SetId)> {
    let slot = SLOTS.iter().find(|slot| slot.handle.load(Ordering::Acquire) == handle as usize)?;
    let placed_as = slot.placed_as.load(Ordering::Relaxed);
    Some((RoleKind::try_from((placed_as >> 16) as u8).ok()?, SetId(placed_as as u16)))
}

/// Clears every entry and every slot but the main thread's: after a fork the other threads are not here.
pub(crate) fn forget_all(page: Option<Page>) {
    for slot in &SLOTS {
        slot.handle.store(0, Ordering::Relaxed);
    }
    for (word, taken) in TAKEN.iter().enumerate() {
        taken.store(u64::from(word == 0), Ordering::Relaxed);
    }
    for entry in page.map(|page| page.entries).unwrap_or_default() {
        entry.tid.store(0, Ordering::Release);
    }
}
