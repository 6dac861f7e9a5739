//! The slots of the threads, in this process's own memory.
//!
//! Each thread has a slot from just before its creation until its end (`end`), and the entry of the same
//! number on the status page. The creator claims the slot, and leaves in it what the new thread needs, so
//! that creating a thread allocates nothing.

use crate::filters::permitted;
use crate::state::current::CurrentThread;
use crate::state::handover::{Generation, Handover};
use crate::state::page::Page;
use crate::state::standing::Standing;
use crate::state::thread_identity::ThreadIdentity;
use crate::sys::{thread, wait};
use pinning::status_page::ENTRIES;
use pinning::{Policy, RoleKind, SetId};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// How many threads are created and not yet placed. A rescan must leave them alone, and QEMU's filter should
/// not be loaded before they are placed.
pub(crate) static UNPLACED: AtomicU32 = AtomicU32::new(0);

/// How often to look whether all threads are placed, and the microseconds between two looks.
const STEPS: usize = 1000;
const STEP_US: i64 = 100;

/// Waits for threads that are still placing themselves, for about 100 ms at most. To be called before a filter is loaded that
/// holds for them too.
pub(crate) fn wait_until_all_are_placed() {
    wait_for_threads(|all_are_placed| all_are_placed);
}

/// Waits until `is_over` says so, for about 100 ms at most. It is told whether all threads are placed, or were a moment ago.
pub(crate) fn wait_for_threads(mut is_over: impl FnMut(bool) -> bool) {
    for _ in 0..STEPS {
        if is_over(UNPLACED.load(Ordering::Acquire) == 0) {
            break;
        }
        wait::sleep_us(STEP_US);
    }
}

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
    /// Which of the library's system calls the creator may not make: the new thread may not either.
    pub(crate) forbidden: u64,
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
    /// What the thread's role and set come from, as [`Standing::to_word`] writes it. For those who know the thread by its
    /// `pthread_t`, and for the thread itself, which another may have renamed.
    standing: AtomicU64,
    /// Whether this slot is on the heap, since all others were taken.
    on_heap: bool,
}

impl Slot {
    const fn new(creation: MaybeUninit<Creation>, on_heap: bool) -> Self {
        Self {
            creation: UnsafeCell::new(creation),
            handle: AtomicUsize::new(0),
            handover: Handover::new(),
            standing: AtomicU64::new(0),
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
pub(crate) fn release(number: u16) {
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
    // SAFETY: it points into SLOTS, which is static. A slot that a claim has taken (TAKEN) is used by this new thread
    // alone until it is released.
    let slot = unsafe { &*slot };
    // SAFETY: the creator wrote it before this thread existed, and only the new thread reads it, as the caller upholds.
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
    permitted::inherit(creation.forbidden);
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

/// The calling thread, which was created past this library, takes a free slot; `None` if there is none.
pub(crate) fn take_slot(identity: &ThreadIdentity) -> Option<u16> {
    let number = claim()?;
    set_identity(SLOTS.get(number)?, identity);
    u16::try_from(number).ok()
}

/// Takes a free slot for a thread that does not run through this library, and so has no handle; `None` if there is none.
pub(crate) fn take_slot_for_another() -> Option<u16> {
    u16::try_from(claim()?).ok()
}

/// The thread in this slot has another role or set than it was created with.
pub(crate) fn change_identity(slot: u16, identity: &ThreadIdentity) {
    if let Some(slot) = SLOTS.get(usize::from(slot)) {
        slot.change_to(identity);
    }
}

impl Slot {
    /// Writes down what the thread's role and set come from.
    fn change_to(&self, identity: &ThreadIdentity) {
        self.standing.store(identity.standing.to_word(), Ordering::Relaxed);
    }

    /// What they come from.
    fn standing(&self) -> Option<Standing> {
        Standing::from_word(self.standing.load(Ordering::Relaxed))
    }
}

/// Writes the calling thread's identity and handle into its slot.
fn set_identity(slot: &Slot, identity: &ThreadIdentity) {
    slot.change_to(identity);
    slot.handle.store(thread::pthread_self() as usize, Ordering::Release);
}

/// The calling thread as it stands now: another thread may have renamed it, and so changed its set.
pub(crate) fn as_it_stands(policy: &Policy, current: CurrentThread) -> CurrentThread {
    let slot = current.slot.and_then(|slot| SLOTS.get(usize::from(slot)));
    let Some(standing) = slot.and_then(Slot::standing) else { return current };
    let ThreadIdentity { role, set, home, .. } = ThreadIdentity::standing(standing, policy, current.home);
    CurrentThread { role, set, home, standing, ..current }
}

/// The number of the slot of the thread with this `pthread_t`, and what its role and set come from; `None` if it has no
/// slot.
pub(crate) fn slot_of(handle: libc::pthread_t) -> Option<(u16, Standing)> {
    let number = SLOTS.iter().position(|slot| slot.handle.load(Ordering::Acquire) == handle as usize)?;
    Some((u16::try_from(number).ok()?, SLOTS.get(number)?.standing()?))
}

/// The role and set of the thread with this `pthread_t`; `None` if it was not created through the library.
pub(crate) fn role_and_set_of(policy: &Policy, handle: libc::pthread_t) -> Option<(RoleKind, SetId)> {
    let (_, standing) = slot_of(handle)?;
    Some((standing.role(), standing.set(policy)))
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

#[cfg(test)]
mod tests {
    use super::{
        Claim, Creation, ENTRIES, SLOTS, TAKEN, change_identity, forget_all, release, role_and_set_of,
        take_main_slot, take_over,
    };
    use crate::state::entries;
    use crate::state::thread_identity::ThreadIdentity;
    use crate::testing;
    use pinning::{RoleKind, SetId, Tid};
    use std::ptr::NonNull;
    use std::sync::atomic::Ordering;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// The slots are the process's, so one test at a time has them.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        forget_all(None);
        alone
    }

    fn creation(set: u16) -> Creation {
        let identity = ThreadIdentity::unnamed(RoleKind::Worker, SetId(set), SetId(9));
        Creation {
            routine: std::ptr::without_provenance(0x10),
            argument: std::ptr::without_provenance_mut(0x20),
            identity: identity.with_name(b"worker").numbered(Some(7)),
            listed: true,
            forbidden: 0,
            handle_to: None,
        }
    }

    /// Has a new thread take over what was passed on; answers what it found, its handle, and its role and set by that.
    fn taken_over(claim: &Claim) -> (Creation, Option<u16>, libc::pthread_t, Option<(RoleKind, SetId)>) {
        let passed = claim.passed_on() as usize;
        let thread = std::thread::spawn(move || {
            // SAFETY: this is the new thread, and it calls once.
            let (creation, number) = unsafe { take_over(passed as *mut _) };
            // SAFETY: pthread_self has no preconditions.
            let itself = unsafe { libc::pthread_self() };
            (Shared(creation), number, itself, known_by(itself))
        });
        let (creation, number, itself, known_as) = thread.join().unwrap();
        (creation.0, number, itself, known_as)
    }

    /// The role and set by a handle. There are no rules.
    fn known_by(handle: libc::pthread_t) -> Option<(RoleKind, SetId)> {
        role_and_set_of(&testing::policy(&[("PIN_CPUS", "0")]), handle)
    }

    struct Shared(Creation);
    // SAFETY: the pointers in it are numbers here, and nobody follows them.
    unsafe impl Send for Shared {}

    fn taken() -> u32 {
        TAKEN.iter().map(|taken| taken.load(Ordering::Relaxed).count_ones()).sum()
    }

    /// Gives a slot back that no thread has taken over.
    fn take_back(claim: Claim) {
        // SAFETY: no thread has taken it over, and none will.
        unsafe { claim.take_back() };
    }

    #[test]
    fn the_new_thread_takes_over_what_its_creator_left() {
        let _alone = alone();
        let claim = Claim::new(creation(3));
        assert!(claim.handover.is_none());
        let (creation, number, _, known_as) = taken_over(&claim);
        assert_eq!(creation.routine.addr(), 0x10);
        assert_eq!(creation.argument.addr(), 0x20);
        assert_eq!((creation.identity.role, creation.identity.set), (RoleKind::Worker, SetId(3)));
        assert_eq!((creation.identity.name(), creation.identity.index), (&b"worker"[..], Some(7)));
        assert_eq!(known_as, Some((RoleKind::Worker, SetId(3))));
        assert_eq!(number, Some(1), "0 is the main thread's");
        release(1);
        assert_eq!(taken(), 1);
    }

    #[test]
    fn every_slot_is_claimed_once_and_then_threads_get_one_on_the_heap() {
        let _alone = alone();
        let claims: Vec<_> = (1..ENTRIES).map(|_| Claim::new(creation(3))).collect();
        assert_eq!(taken() as usize, ENTRIES);
        let mut places: Vec<_> = claims.iter().map(|claim| claim.passed_on().addr()).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), ENTRIES - 1);
        let inside = SLOTS.as_ptr_range();
        assert!(places.iter().all(|place| (inside.start.addr()..inside.end.addr()).contains(place)));

        let mut handle: libc::pthread_t = 0;
        let wanted = Creation { handle_to: NonNull::new(&raw mut handle), ..creation(5) };
        let on_heap = Claim::new(wanted);
        assert!(on_heap.handover.is_none(), "its creator could not read the word");
        let (creation, number, _, known_as) = taken_over(&on_heap);
        assert_eq!((creation.identity.set, number, known_as), (SetId(5), None, None));
        assert!(creation.handle_to.is_none());
        take_back(Claim::new(creation));

        // Those that are given back are claimed again.
        for (at, claim) in claims.into_iter().enumerate() {
            if at % 1000 == 0 {
                let place = claim.passed_on().addr();
                take_back(claim);
                assert_eq!(Claim::new(creation).passed_on().addr(), place);
            }
        }
    }

    #[test]
    fn threads_that_claim_at_the_same_time_get_slots_of_their_own() {
        let _alone = alone();
        let claim_some = || (0..500).map(|_| Claim::new(creation(3)).passed_on().addr()).collect::<Vec<_>>();
        let mut places = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim_some)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 2000);
        assert_eq!(taken(), 2001);
    }

    #[test]
    fn whichever_of_the_two_is_first_writes_the_handle() {
        let _alone = alone();
        for creator_is_first in [true, false] {
            let mut handle: libc::pthread_t = 0;
            let handle_to = NonNull::from(&mut handle);
            let claim = Claim::new(Creation { handle_to: Some(handle_to), ..creation(3) });
            let (handover, generation) = claim.handover.unwrap();
            // SAFETY: `handle` is live, and the thread is not there or has ended.
            let write = || unsafe { handle_to.write(0x99) };
            if creator_is_first {
                handover.creator(generation, write);
            }
            let (_, number, itself, _) = taken_over(&claim);
            if !creator_is_first {
                handover.creator(generation, || unreachable!());
            }
            // SAFETY: `handle` is live, and the thread has ended.
            let written = unsafe { handle_to.read() };
            assert_eq!(written, if creator_is_first { 0x99 } else { itself });
            release(number.unwrap());
        }
    }

    #[test]
    fn a_slot_without_a_handover_keeps_no_thread_waiting_after_one_that_had_one() {
        let _alone = alone();
        let mut handle: libc::pthread_t = 0;
        // The creation failed: nobody ends this handover.
        take_back(Claim::new(Creation { handle_to: NonNull::new(&raw mut handle), ..creation(3) }));
        let claim = Claim::new(creation(3));
        SLOTS[1].handover.child(|| unreachable!("it is over"));
        let (_, number, _, _) = taken_over(&claim);
        assert_eq!((number, handle), (Some(1), 0));
    }

    #[test]
    fn a_thread_is_known_by_its_handle_until_its_slot_is_given_back() {
        let _alone = alone();
        // SAFETY: pthread_self has no preconditions.
        let itself = unsafe { libc::pthread_self() };
        assert_eq!(known_by(itself), None);
        let main = ThreadIdentity::unnamed(RoleKind::Emulator, SetId(2), SetId(2));
        assert_eq!(take_main_slot(&main), Some(0));
        assert_eq!(known_by(itself), Some((RoleKind::Emulator, SetId(2))));
        let vcpu = ThreadIdentity::unnamed(RoleKind::Vcpu, SetId(u16::MAX), SetId(2));
        change_identity(0, &vcpu);
        assert_eq!(known_by(itself), Some((RoleKind::Vcpu, SetId(u16::MAX))));
        change_identity(ENTRIES as u16, &main);
        release(0);
        assert_eq!(known_by(itself), None);
        release(ENTRIES as u16);
    }

    #[test]
    fn a_forked_child_has_the_main_thread_s_slot_alone() {
        let _alone = alone();
        let policy = testing::policy(&[("PIN_CPUS", "0")]);
        let page = testing::page(&policy);
        let identity = ThreadIdentity::unnamed(RoleKind::Worker, SetId(0), SetId(0));
        for slot in 0..100 {
            assert_eq!(taken_over(&Claim::new(creation(3))).1, Some(slot + 1));
            entries::publish(page, slot, Tid(1000 + i32::from(slot)), &identity);
        }
        forget_all(Some(page));
        assert_eq!(taken(), 1);
        assert!(SLOTS.iter().all(|slot| slot.handle.load(Ordering::Relaxed) == 0));
        assert!(page.entries.iter().all(|entry| entry.tid.load(Ordering::Relaxed) == 0));
    }
}
