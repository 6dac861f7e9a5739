//! `pthread_create` and `thrd_create`: what the creator does, and what the new thread does before its own
//! routine.
//!
//! The creator finds out who the thread will be, and leaves that in a slot. The thread starts in a
//! trampoline: it writes its entry on the status page, puts itself on its set (its creator may have done that
//! already, see [`handover`]), and goes on to its own routine.
//!
//! That routine may never return (`pthread_exit`), and glibc then unwinds through the trampoline. So across
//! the routine nothing is locked or allocated, and the trampoline's frame has no destructor, but a cleanup handler that
//! glibc runs (see [`end`](crate::state::end)). It runs on a stack of the creator's choice, which may be as small as PTHREAD_STACK_MIN, so frames here are small.

use crate::affinity::direct;
use crate::broker;
use crate::calls::sandbox;
use crate::filters::permitted;
use crate::identity::{qemu, role};
use crate::leases;
use crate::placing::{enlist, unmet};
use crate::start;
use crate::state::end::AtEnd;
use crate::state::first_run::FIRST_RUN;
use crate::state::handover;
use crate::state::shim::{self, Shim};
use crate::state::slots::{self, Claim, Creation, UNPLACED};
use crate::state::thread_identity::ThreadIdentity;
use crate::state::{bypass, current, ownership};
use crate::sys::errno::keeping_errno;
use crate::sys::thread;
use libc::{pthread_attr_t, pthread_t};
use pinning::{RoleKind, SetId, Tid};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// What a caller of `pthread_create` or `thrd_create` asked for.
pub struct Asked {
    /// The routine that the new thread is to run.
    pub routine: *const c_void,
    /// The routine's argument.
    pub argument: *mut c_void,
    /// Where the caller wants the new thread's handle.
    pub handle_to: *mut pthread_t,
    /// The attributes of the new thread; null if there are none.
    pub attributes: *const pthread_attr_t,
}

/// Creates a thread by `real`, which is called exactly once: with where to write the handle, and with the
/// argument for the trampoline. Returns what `real` returned, with its errno.
///
/// # Safety
/// `asked` is what the caller of the hooked function passed: its attributes are null or were initialised. `real` is that
/// function, starts the trampoline below for it, and returns `succeeded` if the thread was created.
pub unsafe fn create(
    shim: &'static Shim,
    asked: &Asked,
    real: impl FnOnce(*mut pthread_t, *mut c_void) -> c_int,
    succeeded: c_int,
) -> c_int {
    // SAFETY: as the caller upholds.
    let (set, claim) = keeping_errno(|| unsafe { prepare(shim, asked) });
    let mut handle: pthread_t = 0;
    let write_handle_to = if claim.handover.is_some() { &raw mut handle } else { asked.handle_to };
    UNPLACED.fetch_add(1, Ordering::AcqRel);
    let result = real(write_handle_to, claim.passed_on());
    let current = current::thread();
    let would_keep_it_waiting = current.is_real_time && current.set != set;
    if result == succeeded && claim.handover.is_none() && !would_keep_it_waiting {
        return result;
    }
    keeping_errno(|| {
        if result != succeeded {
            UNPLACED.fetch_sub(1, Ordering::AcqRel);
            // SAFETY: the thread was not created.
            unsafe { claim.take_back() };
        } else if let Some((handover, generation)) = claim.handover {
            handover.creator(generation, || {
                // SAFETY: as the caller of pthread_create upholds.
                unsafe { asked.handle_to.write(handle) };
                // If this fails, the thread sets its affinity itself.
                direct::place_new_thread(handle, shim.policy.set(set));
            });
        }
        if result == succeeded && would_keep_it_waiting {
            // The thread begins on the CPUs of this one, and may place itself only where this one does not run. In QEMU's
            // sandbox nobody else can do it.
            slots::wait_until_all_are_placed();
        }
    });
    result
}

/// What the creator does before the thread exists: it finds out who the thread will be, and claims a slot for it.
/// Answers the set that the thread should run on, and the slot.
///
/// # Safety
/// As for [`create`].
unsafe fn prepare(shim: &'static Shim, asked: &Asked) -> (SetId, Claim) {
    let start = asked.routine as usize;
    start::take_over_in_a_child(shim);
    leases::thread_is_created();
    // SAFETY: as the caller upholds.
    let mut identity = unsafe {
        qemu::with_thread(&shim.executable, start, asked.argument, |thread| {
            role::new_thread(shim, thread.as_ref())
        })
    };
    let creator = current::thread();
    // SAFETY: as the caller upholds.
    identity.has_own_class = shim.start_class.is_some() && unsafe { asks_for_a_class(asked.attributes) };
    identity.begins_in_place = creator.in_place && creator.set == identity.set;
    let listed = ownership::is_ours();
    if listed {
        broker::start_where_it_is_needed(shim, identity.role);
        if identity.role == RoleKind::Worker {
            unmet::worker_created(shim);
        }
    }
    let claim = Claim::new(Creation {
        routine: asked.routine,
        argument: asked.argument,
        identity,
        listed,
        forbidden: permitted::to_inherit(),
        handle_to: if leaves_its_creator(&identity) { NonNull::new(asked.handle_to) } else { None },
    });
    (identity.set, claim)
}

unsafe extern "C" {
    fn pthread_attr_getinheritsched(attributes: *const pthread_attr_t, inherit: *mut c_int) -> c_int;
}

/// Whether the attributes of a new thread name a scheduling class (pthread_attr_setinheritsched(3)). Sound servers' libraries
/// create real-time threads so; QEMU does not.
///
/// # Safety
/// They are null or were initialised.
unsafe fn asks_for_a_class(attributes: *const pthread_attr_t) -> bool {
    /// pthread.h, the same on every architecture.
    const PTHREAD_EXPLICIT_SCHED: c_int = 1;
    let mut inherit = 0;
    if attributes.is_null() {
        return false;
    }
    // SAFETY: they were initialised, as the caller upholds, and `inherit` can be written to.
    let known = unsafe { pthread_attr_getinheritsched(attributes, &raw mut inherit) } == 0;
    known && inherit == PTHREAD_EXPLICIT_SCHED
}

/// Whether a thread must leave the CPUs of its creator (the calling thread), and neither QEMU's sandbox nor a filter of
/// another program's forbids its creator to move it.
fn leaves_its_creator(identity: &ThreadIdentity) -> bool {
    identity.role != RoleKind::Exempt
        && identity.set != current::thread().set
        && !sandbox::filter_is_loaded()
        && handover::is_permitted()
        && direct::may_place_new_threads()
}

/// Where a thread of `pthread_create` starts. It is C-unwind since `pthread_exit` and cancellation unwind
/// through it.
///
/// # Safety
/// To be called as a thread's start routine, with what [`create`] passed.
pub unsafe extern "C-unwind" fn posix_trampoline(passed: *mut c_void) -> *mut c_void {
    // SAFETY: as the caller upholds.
    let (routine, argument) = unsafe { begin(passed) };
    // SAFETY: the creator gave `routine` to pthread_create as a function of this type.
    let routine: extern "C-unwind" fn(*mut c_void) -> *mut c_void = unsafe { std::mem::transmute(routine) };
    let at_end = AtEnd::new();
    // SAFETY: it stays in this frame, which the thread leaves by the call of `now` or for good.
    unsafe { at_end.register() };
    let result = routine(argument);
    // SAFETY: it was registered in this frame.
    unsafe { at_end.now() };
    result
}

/// Where a thread of `thrd_create` starts.
///
/// # Safety
/// As for [`posix_trampoline`].
pub unsafe extern "C-unwind" fn c11_trampoline(passed: *mut c_void) -> c_int {
    // SAFETY: as the caller upholds.
    let (routine, argument) = unsafe { begin(passed) };
    // SAFETY: the creator gave `routine` to thrd_create as a function of this type.
    let routine: extern "C-unwind" fn(*mut c_void) -> c_int = unsafe { std::mem::transmute(routine) };
    let at_end = AtEnd::new();
    // SAFETY: as in `posix_trampoline`.
    unsafe { at_end.register() };
    let result = routine(argument);
    // SAFETY: it was registered in this frame.
    unsafe { at_end.now() };
    result
}

/// All that a thread does before its own routine, which it answers with its argument. Not inlined, so that
/// its frame is gone when the routine runs.
///
/// # Safety
/// To be called once by a new thread, with what [`create`] passed.
#[inline(never)]
unsafe fn begin(passed: *mut c_void) -> (*const c_void, *mut c_void) {
    keeping_errno(|| {
        // SAFETY: as the caller upholds.
        let (creation, slot) = unsafe { slots::take_over(passed) };
        if let Some(shim) = shim::shim() {
            let tid = thread::gettid();
            place_self(shim, tid, slot, &creation);
        }
        (creation.routine, creation.argument)
    })
}

/// What the calling thread does once it has taken over: it lists and places itself, and takes its name.
fn place_self(shim: &'static Shim, tid: Tid, slot: Option<u16>, creation: &Creation) {
    let identity = &creation.identity;
    let page = shim.page.filter(|_| creation.listed);
    current::identify(identity, slot);
    if let Some(page) = page {
        page.header.created.fetch_add(1, Ordering::Relaxed);
        if identity.named && bypass::is_possible() {
            page.header.names_are_read.store(1, Ordering::Relaxed);
        }
    }
    enlist::enlist(shim, tid, identity, slot, creation.listed);
    UNPLACED.fetch_sub(1, Ordering::AcqRel);
    if creation.listed {
        if identity.role == RoleKind::Vcpu {
            current::update(|current| FIRST_RUN.vcpu_arrives(current));
        }
        broker::watch_new_thread(shim, identity.role);
    }
    if identity.named && shim.policy.names_threads() {
        let _ = thread::set_comm(identity.name());
    }
}
