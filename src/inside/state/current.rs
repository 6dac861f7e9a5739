//! The calling thread, as the library knows it.
//!
//! One word of thread-local storage with no destructor, so it is there from a thread's first instruction to
//! its last, thread-specific-data destructors included.

use crate::state::thread_identity::ThreadIdentity;
use pinning::{RoleKind, SetId};
use std::cell::Cell;

/// What a thread knows of itself.
#[derive(Clone, Copy)]
pub(crate) struct CurrentThread {
    /// False: not created through the library (another library's raw clone, say).
    pub(crate) known: bool,
    /// QEMU's name for it could be read.
    pub(crate) named: bool,
    /// What it does.
    pub(crate) role: RoleKind,
    /// The set it should be on.
    pub(crate) set: SetId,
    /// The set that its worker pool follows.
    pub(crate) home: SetId,
    /// Its place in the register.
    pub(crate) slot: Option<u16>,
    /// A vCPU that has not entered KVM_RUN yet.
    pub(crate) before_first_run: bool,
    /// How often it will still try to place its io_uring workers.
    pub(crate) ring_tries: u8,
    /// It is reading the environment: a hook that it comes to meanwhile makes the real call.
    pub(crate) deciding: bool,
}

/// Enough for the kernel to have made the thread's pool of workers.
pub(crate) const RING_TRIES: u8 = 8;

thread_local! {
    static CURRENT: Cell<CurrentThread> = const {
        Cell::new(CurrentThread {
            known: false,
            named: false,
            role: RoleKind::Emulator,
            set: SetId(0),
            home: SetId(0),
            slot: None,
            before_first_run: false,
            ring_tries: RING_TRIES,
            deciding: false,
        })
    };
}

/// The calling thread.
pub(crate) fn thread() -> CurrentThread {
    CURRENT.get()
}

/// The calling thread is this one, in this slot.
pub(crate) fn identify(identity: &ThreadIdentity, slot: Option<u16>) {
    update(|current| {
        current.known = true;
        current.named = identity.named;
        current.role = identity.role;
        current.set = identity.set;
        current.home = identity.home;
        current.slot = slot;
    });
}

/// Changes what the calling thread knows of itself.
pub(crate) fn update<R>(change: impl FnOnce(&mut CurrentThread) -> R) -> R {
    let mut current = CURRENT.get();
    let result = change(&mut current);
    CURRENT.set(current);
    result
}
