//! The threads and their roles.
//!
//! Each thread has a slot in this process's own memory from just before its creation until its end, and the
//! entry of the same number on the status page. A slot is claimed by the creator, which leaves there
//! what the new thread needs, so that a birth allocates nothing; it is given back by a
//! thread-specific-data destructor, since a thread may leave by `pthread_exit`.
//!
//! What stands on the page is for readers outside, for the broker and for looks; a birth relies on none of it.

use crate::state::current as me;
use crate::state::handover::{Generation, Handover};
use crate::state::page::Page;
use crate::sys::wait;
use pinning::status_page::{ENTRIES, Entry, NAME_BYTES, NO_INDEX, State};
use pinning::{RoleKind, SetId, Tid};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// What the creator knows of the thread it creates.
#[derive(Clone, Copy)]
pub(crate) struct Newborn {
    /// What it does.
    pub(crate) role: RoleKind,
    /// vCPU index or IOThread order.
    pub(crate) index: Option<u32>,
    /// Where it should be.
    pub(crate) set: SetId,
    /// What its own workers follow.
    pub(crate) home: SetId,
    /// QEMU's name could be read.
    pub(crate) named: bool,
    /// The name, cut to fit, and how much of it counts.
    name: [u8; NAME_BYTES],
    name_bytes: u8,
}

impl Newborn {
    /// A thread of this role on this set, without a name.
    pub(crate) fn unnamed(role: RoleKind, set: SetId, home: SetId) -> Self {
        Self { role, index: None, set, home, named: false, name: [0; NAME_BYTES], name_bytes: 0 }
    }

    /// The same with QEMU's name for it.
    pub(crate) fn with_name(mut self, name: &[u8]) -> Self {
        let mut bytes = 0;
        for (to, from) in self.name.iter_mut().zip(name) {
            *to = *from;
            bytes += 1;
        }
        self.name_bytes = bytes;
        self.named = true;
        self
    }

    /// The same with a number: a vCPU's index, an IOThread's order.
    pub(crate) fn numbered(mut self, index: Option<u32>) -> Self {
        self.index = index;
        self
    }

    /// QEMU's name, cut to fit.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..usize::from(self.name_bytes)).unwrap_or_default()
    }
}

/// What a creator hands to the thread it creates.
#[derive(Clone, Copy)]
pub(crate) struct Birth {
    /// The thread's own routine and its argument, as the caller of `pthread_create` gave them.
    pub(crate) routine: *const c_void,
    pub(crate) argument: *mut c_void,
    pub(crate) newborn: Newborn,
    /// Whether the status page lists it: not in a forked child, which does not own the page.
    pub(crate) listed: bool,
    /// Where the caller of `pthread_create` wants the handle, if whoever comes first is to write it there.
    pub(crate) handle_to: Option<NonNull<libc::pthread_t>>,
}

/// A birth, and the number of the slot it stands in.
pub(crate) struct Slot {
    /// Meaningful from the claim until the new thread has taken it over. Zero before, so that the slots
    /// take no room in the library's file.
    birth: UnsafeCell<MaybeUninit<Birth>>,
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
    const fn new(birth: MaybeUninit<Birth>, on_heap: bool) -> Self {
        Self {
            birth: UnsafeCell::new(birth),
            handle: AtomicUsize::new(0),
            handover: Handover::new(),
            placed_as: AtomicU32::new(0),
            on_heap,
        }
    }
}

// SAFETY: `birth` is written by the creator before the thread exists and read by that thread alone: the
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
    pub(crate) fn new(birth: Birth) -> Self {
        if let Some(slot) = claim().and_then(|number| SLOTS.get(number)) {
            // SAFETY: the slot was just claimed, so nobody else touches it until the thread runs.
            unsafe { *slot.birth.get() = MaybeUninit::new(birth) };
            let handover = match birth.handle_to {
                Some(_) => Some((&slot.handover, slot.handover.open())),
                None => {
                    slot.handover.close();
                    None
                }
            };
            return Self { slot: std::ptr::from_ref(slot).cast_mut(), handover };
        }
        // Nobody could tell when a slot on the heap is gone.
        let birth = MaybeUninit::new(Birth { handle_to: None, ..birth });
        Self { slot: Box::into_raw(Box::new(Slot::new(birth, true))), handover: None }
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

fn release(number: u16) {
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
unsafe fn receive(passed: *mut c_void) -> (Birth, Option<u16>) {
    let slot = passed.cast::<Slot>();
    // SAFETY: the slot is alive: static, or on the heap and not freed before this call.
    if unsafe { (*slot).on_heap } {
        // SAFETY: made by Box::into_raw in Claim::new, and taken once.
        let slot = unsafe { Box::from_raw(slot) };
        // SAFETY: a slot on the heap is made with its birth.
        return (unsafe { slot.birth.into_inner().assume_init() }, None);
    }
    let number = (slot as usize).wrapping_sub(SLOTS.as_ptr() as usize) / size_of::<Slot>();
    // SAFETY: static, and ours alone until it is released.
    let slot = unsafe { &*slot };
    // SAFETY: the creator has finished with it, and nobody else reads it.
    let birth = unsafe { *slot.birth.get() };
    // SAFETY: the claim wrote it.
    let birth = unsafe { birth.assume_init() };
    (birth, u16::try_from(number).ok())
}

/// What the new thread takes over from its creator.
///
/// # Safety
/// As for [`receive`]; to be called once, by the new thread.
pub(crate) unsafe fn arrive(passed: *mut c_void) -> (Birth, Option<u16>) {
    // SAFETY: as the caller upholds.
    let (birth, number) = unsafe { receive(passed) };
    if let Some(slot) = number.and_then(|number| SLOTS.get(usize::from(number))) {
        introduce(slot, &birth.newborn);
        slot.handover.child(|| {
            if let Some(handle_to) = birth.handle_to {
                // SAFETY: pthread_self has no preconditions.
                let handle = unsafe { libc::pthread_self() };
                // SAFETY: the caller of pthread_create upholds that it can be written to until that returns, and
                // it does not return before this is done.
                unsafe { handle_to.write(handle) };
            }
        });
    }
    (birth, number)
}

/// The main thread is created by nobody: it takes slot 0 itself.
pub(crate) fn arrive_main(newborn: &Newborn) -> Option<u16> {
    TAKEN.first()?.fetch_or(1, Ordering::Relaxed);
    introduce(SLOTS.first()?, newborn);
    Some(0)
}

/// The thread in a slot has another role or set than it was created with.
pub(crate) fn reintroduce(slot: u16, newborn: &Newborn) {
    if let Some(slot) = SLOTS.get(usize::from(slot)) {
        introduce(slot, newborn);
    }
}

fn introduce(slot: &Slot, newborn: &Newborn) {
    slot.placed_as.store(u32::from(newborn.role as u8) << 16 | u32::from(newborn.set.0), Ordering::Relaxed);
    // SAFETY: pthread_self has no preconditions.
    let handle = unsafe { libc::pthread_self() };
    slot.handle.store(handle as usize, Ordering::Release);
}

/// The role and set of the thread with this `pthread_t`; `None` if it did not come through the library.
pub(crate) fn of_handle(handle: libc::pthread_t) -> Option<(RoleKind, SetId)> {
    let slot = SLOTS.iter().find(|slot| slot.handle.load(Ordering::Acquire) == handle as usize)?;
    let placed_as = slot.placed_as.load(Ordering::Relaxed);
    Some((RoleKind::try_from((placed_as >> 16) as u8).ok()?, SetId(placed_as as u16)))
}

/// Writes a thread's entry; the tid last, so that a reader who sees it sees the rest.
pub(crate) fn publish(page: Page, slot: u16, tid: Tid, newborn: &Newborn) {
    let Some(entry) = page.entries.get(usize::from(slot)) else { return };
    entry.tid.store(0, Ordering::Relaxed);
    std::sync::atomic::fence(Ordering::Release);
    entry.state.store(State::Born as u8, Ordering::Relaxed);
    entry.role.store(newborn.role as u8, Ordering::Relaxed);
    entry.set.store(newborn.set.0, Ordering::Relaxed);
    entry.home.store(newborn.home.0, Ordering::Relaxed);
    entry.index.store(newborn.index.unwrap_or(NO_INDEX), Ordering::Relaxed);
    entry.born_ns.store(wait::monotonic_ns(), Ordering::Relaxed);
    entry.name_bytes.store(u16::from(newborn.name_bytes), Ordering::Relaxed);
    for (to, from) in entry.name.iter().zip(newborn.name()) {
        to.store(*from, Ordering::Relaxed);
    }
    page.header.entries_used.fetch_max(u32::from(slot) + 1, Ordering::Relaxed);
    entry.tid.store(tid.0, Ordering::Release);
}

/// Writes where a thread stands.
pub(crate) fn mark(page: Page, slot: u16, state: State) {
    if let Some(entry) = page.entries.get(usize::from(slot)) {
        entry.state.store(state as u8, Ordering::Release);
    }
}

/// The entry of a thread, if it is listed. Of two with the same tid the younger one: a thread that left without
/// running its destructors (a raw exit(2)) has left its entry behind.
pub(crate) fn entry_of(page: Page, tid: Tid) -> Option<&'static Entry> {
    let used = page.header.entries_used.load(Ordering::Relaxed) as usize;
    let entries = page.entries.get(..used.min(ENTRIES))?.iter();
    entries
        .filter(|entry| entry.tid.load(Ordering::Acquire) == tid.0)
        .max_by_key(|entry| entry.born_ns.load(Ordering::Relaxed))
}

/// The role and set that an entry names.
pub(crate) fn role_and_set(entry: &Entry) -> Option<(RoleKind, SetId)> {
    let role = RoleKind::try_from(entry.role.load(Ordering::Relaxed)).ok()?;
    Some((role, SetId(entry.set.load(Ordering::Relaxed))))
}

/// The role and set of a listed thread.
pub(crate) fn of_tid(page: Page, tid: Tid) -> Option<(RoleKind, SetId)> {
    role_and_set(entry_of(page, tid)?)
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

/// The key whose destructor gives a slot back. Its value is the slot's number plus one.
static KEY: once_cell::sync::OnceCell<libc::pthread_key_t> = once_cell::sync::OnceCell::new();

/// Makes the key; without one (PTHREAD_KEYS_MAX) slots are not given back, and the register fills up.
pub(crate) fn make_key() {
    let mut key = 0;
    // SAFETY: `key` is live, and `end_of_thread` has the signature that the key asks for.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(end_of_thread)) } == 0 {
        let _ = KEY.set(key);
    }
}

/// Has the calling thread give its slot back when it ends.
pub(crate) fn give_back_at_end(slot: u16) {
    if let Some(key) = KEY.get() {
        let value = std::ptr::without_provenance::<c_void>(usize::from(slot) + 1);
        // SAFETY: the key exists; the value is a number and never followed.
        unsafe { libc::pthread_setspecific(*key, value) };
    }
}

unsafe extern "C" fn end_of_thread(value: *mut c_void) {
    let Ok(slot) = u16::try_from((value as usize).wrapping_sub(1)) else { return };
    crate::calls::ioctl::vcpu_ends(&me::me());
    if let Some(entry) = crate::start::owned_page().and_then(|page| page.entries.get(usize::from(slot))) {
        entry.tid.store(0, Ordering::Release);
    }
    release(slot);
}
