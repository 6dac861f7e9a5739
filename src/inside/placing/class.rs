//! Giving a thread its scheduling class (`PIN_SCHED`).
//!
//! As with its CPUs, a thread asks what it has, and changes only what differs. It does so once it is on its CPUs: with a
//! real-time class it would take those of its creator from whoever belongs there. A thread for which the variable names no
//! class is looked at too: it has inherited its creator's (RESET_ON_FORK resets only a real-time class and a nice value below
//! 0), and gets the one that the process was started with. Where `PIN_SCHED` does not count, nothing of this is done.
//!
//! The environment was checked for real-time classes that would hang QEMU. A cpuset may leave threads other CPUs than the
//! environment names, so the CPUs that they really have are looked at before such a class is given.

use crate::affinity::scan;
use crate::affinity::threads::OwnThreads;
use crate::placing::class_warn::{self, Why};
use crate::placing::warn::About;
use crate::state::current::{self, CurrentThread};
use crate::state::entries;
use crate::state::page::Page;
use crate::state::shim::{self, Shim};
use crate::sys::errno::Errno;
use crate::sys::sched::{self, Scheduling};
use crate::sys::thread;
use pinning::status_page::{ClassState, ClassWord, State};
use pinning::{Class, ClassKind, RoleKind, SetId, Tid};
use std::sync::atomic::Ordering;

/// When a thread is given its class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// It has just been placed. A manager may not have moved it to its cpuset yet.
    Birth,
    /// Later.
    Later,
}

/// Gives the calling thread its class (`None`: the one that the process was started with). It has just been placed, and `state`
/// says what became of that.
pub(super) fn take(
    shim: &Shim,
    who: &About<'_>,
    class: Option<Class>,
    entry: Option<(Page, u16)>,
    state: State,
    moment: Moment,
) {
    let Some(start) = shim.start_class else { return };
    let given = give(shim, who, class, state, moment);
    let is_real_time = given == ClassState::Given && class.is_some_and(|class| class.kind.is_real_time());
    current::update(|current| (current.class, current.is_real_time) = (class, is_real_time));
    mark(entry, class, start, given);
}

/// Writes down that whoever created the calling thread has asked for a class of his own for it.
pub(super) fn leave_its_own(shim: &Shim, entry: Option<(Page, u16)>) {
    if let Some(start) = shim.start_class {
        mark(entry, None, start, ClassState::Own);
    }
}

/// Gives the calling thread its class again, if somebody has changed it, or it could not be given before.
pub(super) fn take_again(shim: &Shim, current: &CurrentThread, state: State) {
    let who = about(thread::gettid(), current.role, current.set);
    take(shim, &who, current.class, shim.page.zip(current.slot), state, Moment::Later);
}

/// Gives another thread of this process the class that it should have now.
pub(super) fn give_other(
    shim: &Shim,
    who: &About<'_>,
    class: Option<Class>,
    page: Page,
    slot: u16,
    state: State,
) {
    let Some(start) = shim.start_class else { return };
    let given = give(shim, who, class, state, Moment::Later);
    mark(Some((page, slot)), class, start, given);
}

/// Gives a real-time class to the threads from which it was withheld, if a manager has moved them to CPUs of their own since.
pub(crate) fn give_withheld(shim: &Shim) {
    let Some(page) = shim::owned_page().filter(|_| shim.start_class.is_some()) else { return };
    for (slot, entry) in page.entries.iter().enumerate() {
        let word = ClassWord::from_word(entry.class.load(Ordering::Acquire));
        let Some(ClassWord { class, .. }) = word.filter(|word| word.state == ClassState::Withheld) else {
            continue;
        };
        let tid = Tid(entry.tid.load(Ordering::Acquire));
        let Some((role, set)) = entries::role_and_set(entry) else { continue };
        let (Ok(slot), true) = (u16::try_from(slot), thread::is_thread_of(thread::getpid(), tid)) else {
            continue;
        };
        let state = if entry.state.load(Ordering::Acquire) == State::Placed as u8 {
            State::Placed
        } else {
            State::Cut
        };
        give_other(shim, &about(tid, role, set), Some(class), page, slot, state);
    }
}

/// Takes from the threads that the kernel has made what they have inherited of a class.
pub(crate) fn reset_kernel_threads(shim: &Shim) {
    let start = shim.start_class.filter(|start| !start.kind.is_real_time());
    let (Some(start), Some(page)) = (start, shim::owned_page()) else { return };
    // What is not permitted is left as it is: the kernel itself has reset a real-time class.
    let _ = scan::kernel_threads(&OwnThreads::new(), page, |tid| {
        let _ = set(tid, start, false);
    });
}

fn about(tid: Tid, role: RoleKind, set: SetId) -> About<'static> {
    About { tid, role, name: b"", set, made_by_the_kernel: false }
}

fn mark(entry: Option<(Page, u16)>, class: Option<Class>, start: Class, state: ClassState) {
    let Some((page, slot)) = entry else { return };
    let class = class.map_or(start, |class| class.resolved(start));
    entries::mark_class(page, slot, ClassWord { class, state });
    if matches!(state, ClassState::Refused | ClassState::Withheld) {
        page.header.class_refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives a thread its class, and says what became of it.
fn give(shim: &Shim, who: &About<'_>, wish: Option<Class>, state: State, moment: Moment) -> ClassState {
    let start = shim.start_class.unwrap_or(Class::USUAL);
    let class = wish.map_or(start, |wish| wish.resolved(start));
    if wish.is_some_and(|wish| wish.kind.is_real_time()) {
        if let Some(waiting) = who_would_wait(shim.page, who.tid, state) {
            // The creator's class may be another than the one that the process was started with.
            let _ = set(who.tid, start, false);
            let is_passing =
                moment == Moment::Birth && shim.policy.manager().is_some() && state != State::Placed;
            if !is_passing {
                class_warn::report(who, class, &Why::Withheld(waiting));
            }
            return ClassState::Withheld;
        }
    }
    match set(who.tid, class, wish.is_some()) {
        Ok(has_its_slice) => {
            if !has_its_slice {
                class_warn::report(who, class, &Why::NoSlices);
            }
            ClassState::Given
        }
        // Whatever it has inherited, it was not asked for.
        Err(Errno::FILTERED) if wish.is_none() => ClassState::Given,
        Err(errno) => {
            class_warn::report(who, class, &Why::Refused(errno));
            ClassState::Refused
        }
    }
}

/// Has a thread scheduled by this class, if it is not. Answers whether it has the slice that the class names.
fn set(tid: Tid, class: Class, reset_on_fork: bool) -> Result<bool, Errno> {
    let before = sched::scheduling(tid)?;
    let resets = before.is_some_and(|before| before.reset_on_fork);
    if before.is_some_and(|before| class.is_met_by(before.class)) && (resets || !reset_on_fork) {
        return Ok(true);
    }
    // sched(7): whoever has no further rights may neither lower a nice value nor take the flag off. SCHED_IDLE keeps its nice
    // value, which counts for nothing there.
    let has_nice = before.filter(|before| !before.class.kind.is_real_time());
    let value =
        has_nice.filter(|_| class.kind == ClassKind::Idle).map_or(class.value, |before| before.class.value);
    let class = Class { value, ..class };
    sched::set_scheduling(tid, Scheduling { class, reset_on_fork: reset_on_fork || resets })?;
    let has_its_slice =
        || sched::scheduling(tid).is_ok_and(|now| now.is_some_and(|now| class.is_met_by(now.class)));
    Ok(class.slice_us == 0 || has_its_slice())
}

/// A thread of a usual class that may run on CPUs of the thread `tid`, and would wait for it for ever if that had a real-time
/// class. `state` is what became of the placement of `tid`.
fn who_would_wait(page: Option<Page>, tid: Tid, state: State) -> Option<Tid> {
    let Ok(own) = sched::affinity(tid) else {
        // QEMU before 6.1 forbids to ask in its sandbox. One that is placed is where the environment has it.
        return (state != State::Placed).then_some(tid);
    };
    let shares = |other: Tid, state: u8| match sched::affinity(other) {
        Ok(mask) => mask.words().iter().zip(own.words()).any(|(one, other)| one & other != 0),
        Err(Errno(libc::ESRCH)) => false,
        Err(_) => state != State::Placed as u8,
    };
    let Some(page) = page else {
        let main = Tid(thread::getpid());
        return (main != tid && shares(main, State::Placed as u8)).then_some(main);
    };
    let others = entries::all(page).filter(|(other, _)| *other != tid);
    let waiting = others.filter(|(other, entry)| {
        let state = entry.state.load(Ordering::Acquire);
        // A thread that is being born is where its creator is. QEMU itself places those that are exempt.
        let counts = state != State::Born as u8 && state != State::LeftAlone as u8;
        let class = ClassWord::from_word(entry.class.load(Ordering::Acquire));
        let is_real_time =
            class.is_some_and(|word| word.state == ClassState::Given && word.class.kind.is_real_time());
        counts && !is_real_time && shares(*other, state)
    });
    waiting.map(|(other, _)| other).next()
}
