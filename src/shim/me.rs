//! The calling thread, as the library knows it.
//!
//! One word of thread-local storage with no destructor, so it is there from a thread's first instruction to
//! its last, thread-specific-data destructors included.

use pinning::{RoleKind, SetId};
use std::cell::Cell;

/// What a thread knows of itself.
#[derive(Clone, Copy)]
pub(crate) struct Me {
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
    /// The io_uring whose workers it has placed last; -1: none.
    pub(crate) ring: i32,
}

thread_local! {
    static ME: Cell<Me> = const {
        Cell::new(Me {
            known: false,
            named: false,
            role: RoleKind::Emulator,
            set: SetId(0),
            home: SetId(0),
            slot: None,
            before_first_run: false,
            ring: -1,
        })
    };
}

/// The calling thread.
pub(crate) fn me() -> Me {
    ME.get()
}

/// From now on the calling thread is this one.
pub(crate) fn become_(me: Me) {
    ME.set(me);
}

/// Changes what the calling thread knows of itself.
pub(crate) fn update(change: impl FnOnce(&mut Me)) {
    let mut me = ME.get();
    change(&mut me);
    ME.set(me);
}
