//! The calling thread, as the library knows it.
//!
//! A small thread-local value without a destructor, so it can be read from a thread's first instruction to its
//! last, in thread-specific-data destructors too.

use crate::state::standing::Standing;
use crate::state::thread_identity::ThreadIdentity;
use pinning::{Class, RoleKind, SetId};
use std::cell::Cell;

/// What is known of the calling thread.
#[derive(Clone, Copy)]
pub(crate) struct CurrentThread {
    /// Whether it was created through the library. Another library may make threads by a clone(2) of its own.
    pub(crate) known: bool,
    /// Whether QEMU's name for it could be read.
    pub(crate) named: bool,
    /// Its role.
    pub(crate) role: RoleKind,
    /// The set that it should run on.
    pub(crate) set: SetId,
    /// The set that its worker pool follows.
    pub(crate) home: SetId,
    /// Whether it is on its set, as far as the library knows.
    pub(crate) in_place: bool,
    /// What its role and its set come from.
    pub(crate) standing: Standing,
    /// The scheduling class that it should have; `None`: the one that the process was started with.
    pub(crate) class: Option<Class>,
    /// Whether it was given a real-time class: then threads of a usual class that are on its CPU may wait for it long.
    pub(crate) is_real_time: bool,
    /// The number of its slot, if it has one.
    pub(crate) slot: Option<u16>,
    /// Whether it is a vCPU that has not entered KVM_RUN yet.
    pub(crate) before_first_run: bool,
    /// How many more times the library tries to place its io_uring workers.
    pub(crate) ring_tries: u8,
    /// Whether it is reading the environment. A hook that is called meanwhile only makes the real call.
    pub(crate) deciding: bool,
}

/// After this many submissions the kernel has made the thread's pool of io_uring workers, if it ever will.
pub(crate) const RING_TRIES: u8 = 8;

thread_local! {
    static CURRENT: Cell<CurrentThread> = const {
        Cell::new(CurrentThread {
            known: false,
            named: false,
            role: RoleKind::Emulator,
            set: SetId(0),
            home: SetId(0),
            in_place: false,
            standing: Standing::of_role(RoleKind::Emulator, SetId(0)),
            class: None,
            is_real_time: false,
            slot: None,
            before_first_run: false,
            ring_tries: RING_TRIES,
            deciding: false,
        })
    };
}

/// What is known of the calling thread.
pub(crate) fn thread() -> CurrentThread {
    CURRENT.get()
}

/// Notes who the calling thread is, and the number of its slot.
pub(crate) fn identify(identity: &ThreadIdentity, slot: Option<u16>) {
    update(|current| {
        current.known = true;
        current.named = identity.named;
        current.role = identity.role;
        current.set = identity.set;
        current.home = identity.home;
        current.standing = identity.standing;
        current.class = identity.class;
        current.slot = slot;
    });
}

/// Changes what is known of the calling thread. A second update within `change` would be lost.
pub(crate) fn update<R>(change: impl FnOnce(&mut CurrentThread) -> R) -> R {
    let mut current = CURRENT.get();
    let result = change(&mut current);
    CURRENT.set(current);
    result
}
