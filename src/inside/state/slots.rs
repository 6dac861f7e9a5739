//! The slots of the threads, in this process's own memory.
//!
//! Each thread has a slot from just before its creation until its end (`end`), and the entry of the same
//! number on the status page. The creator claims the slot, and leaves in it what the new thread needs, so
//! that creating a thread allocates nothing.

use crate::state::handover::{Generation, Handover};
use crate::state::page::Page;
use crate::state::thread_identity::ThreadIdentity;
use crate::sys::thread;
use pinning::status_page::ENTRIES;
use pinning::{RoleKind, SetId};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// How many threads are created and not yet placed. A rescan must leave them alone, and QEMU's filter should
/// not be loaded before they are placed.
pub(crate) static UNPLACED: AtomicU32 = AtomicU32::new(0);

/// What a creator hands to the thread it creates.
#[derive(Clone, Copy)]
pub(crate) struct Creation {
    /// The thread's own routine, as the caller of `pthread_create` gave it.
    pub(crate) routine: *const c_void,
    /// The routine's argument.
    pub(crate) argument: *mut c_void,
    /// Who the thread is.
    pub(crate) identity: ThreadIdentity,
    /// Whether the thread is to be listed on the status page: not in a forked child, which does not own the page.
    pub(crate) listed: bool,
    /// Where the caller of `pthread_create` wants the handle, if there is to be a handover.
    pub(crate) handle_to: Option<NonNull<libc::pthread_t>>,
}

/// One thread's slot.
pub(crate) struct Slot {
    /// Valid from the claim until the new thread has taken it over. Zero before, so that the slots take no
    /// room in the library's file.
    creation: UnsafeCell<MaybeUninit<Creation>>,
    /// The thread's `pthread_t`; 0 while it has none.
    handle: AtomicUsize,
    /// Whether the creator or the thread itself places the thread.
    handover: Handover,
    /// The thread's role (upper half) and set, for those who know the thread by its `pthread_t`.
    placed_as: AtomicU32,
    /// Whether this slot is on the heap, since all others were taken.
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

/// A bit for each slot: whether it is taken.
static TAKEN: [AtomicU64; ENTRIES / 64] = [const { AtomicU64::new(0) }; ENTRIES / 64];

/// A slot claimed for a thread that is to be created.
pub(crate) struct Claim {
    slot: *mut Slot,
    /// The handover, if there is to be one.
    pub(crate) handover: Option<(&'static Handover, Generation)>,
}

impl Claim {
    /// Claims a free slot, or makes one on the heap if there is none.
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
        // No handover: the thread frees a slot on the heap, so its creator could not read the word in it.
        let creation = MaybeUninit::new(Creation { handle_to: None, ..creation });
        Self { slot: Box::into_raw(Box::new(Slot::new(creation, true))), handover: None }
    }

    /// What to pass to the new thread, which takes it over with [`take_over`].
    pub(crate) fn passed_on(&self) -> *mut c_void {
        self.slot.cast()
    }

    /// Gives the slot back, since the thread was not created.
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

/// Takes the first free slot, and answers its number.
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

/// Gives a slot back.
pub(super) fn release(number: u16) {
    if let Some(slot) = SLOTS.get(usize::from(number)) {
        slot.handle.store(0, Ordering::Relaxed);
    }
    if let Some(taken) = TAKEN.get(usize::from(number) / 64) {
        taken.fetch_and(!(1 << (number % 64)), Ordering::Release);
    }
}

/// Takes what a creator passed on, and the number of the slot. A slot on the heap has none, and is freed.
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
    // SAFETY: static; the caller's alone until it is released.
    let slot = unsafe { &*slot };
    // SAFETY: the creator has finished with it, and nobody else reads it.
    let creation = unsafe { *slot.creation.get() };
    // SAFETY: Claim::new wrote it.
    let creation = unsafe { creation.assume_init() };
    (creation, u16::try_from(number).ok())
}

/// What the new thread takes over from its creator, and the number of its slot. The handover is over when
/// this returns.
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
                let handle = thread::pthread_self();
                // SAFETY: the caller of pthread_create upholds that it can be written to until pthread_create
                // returns, and the handover upholds that it does not return before this is done.
                unsafe { handle_to.write(handle) };
            }
        });
    }
    (creation, number)
}

/// The main thread takes slot 0 itself, as nobody creates it.
pub(crate) fn take_main_slot(identity: &ThreadIdentity) -> Option<u16> {
    TAKEN.first()?.fetch_or(1, Ordering::Relaxed);
    set_identity(SLOTS.first()?, identity);
    Some(0)
}

/// The calling thread, in this slot, has another role or set than it was created with.
pub(crate) fn change_identity(slot: u16, identity: &ThreadIdentity) {
    if let Some(slot) = SLOTS.get(usize::from(slot)) {
        set_identity(slot, identity);
    }
}

/// Writes the calling thread's role, set and handle into its slot.
fn set_identity(slot: &Slot, identity: &ThreadIdentity) {
    slot.placed_as.store(u32::from(identity.role as u8) << 16 | u32::from(identity.set.0), Ordering::Relaxed);
    slot.handle.store(thread::pthread_self() as usize, Ordering::Release);
}

/// The role and set of the thread with this `pthread_t`; `None` if it was not created through the library.
pub(crate) fn role_and_set_of(handle: libc::pthread_t) -> Option<(RoleKind, SetId)> {
    let slot = SLOTS.iter().find(|slot| slot.handle.load(Ordering::Acquire) == handle as usize)?;
    let placed_as = slot.placed_as.load(Ordering::Relaxed);
    Some((RoleKind::from_number((placed_as >> 16) as u8)?, SetId(placed_as as u16)))
}

/// Clears every entry, and frees every slot but the main thread's: a forked child does not have the other
/// threads.
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
