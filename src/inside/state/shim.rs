//! Whether the library acts in this process, and with what policy. `start` decides it, once.

use crate::state::ownership;
use crate::state::page::Page;
use once_cell::sync::OnceCell;
use pinning::{Class, Policy};

/// What the hooks work with.
pub struct Shim {
    /// Where each thread is to run.
    pub(crate) policy: Policy,
    /// The scheduling class that the process was started with; `None` where `PIN_SCHED` does not count.
    pub(crate) start_class: Option<Class>,
    /// The status page; `None` where it could not be made.
    pub(crate) page: Option<Page>,
    /// Where the main executable's code lies.
    pub(crate) executable: std::ops::Range<usize>,
    /// Whether the ids in the names of the kernel's threads are those that this process knows.
    pub(crate) knows_submitters: bool,
    /// Whether QEMU was started with `-daemonize`: then the broker lets a forked child, which runs the VM, take over.
    pub(crate) daemonizes: bool,
}

static SHIM: OnceCell<Option<Shim>> = OnceCell::new();

/// What was decided for this process; `None` if nothing was yet.
pub(crate) fn decided() -> Option<Option<&'static Shim>> {
    SHIM.get().map(Option::as_ref)
}

/// Decides it, if nobody has.
pub(crate) fn decide_once(decide: impl FnOnce() -> Option<Shim>) -> Option<&'static Shim> {
    SHIM.get_or_init(decide).as_ref()
}

/// What the hooks work with, if the library acts in this process and that was decided already.
pub(crate) fn shim() -> Option<&'static Shim> {
    SHIM.get()?.as_ref()
}

/// The status page, if this process is the one to write to it.
pub(crate) fn owned_page() -> Option<Page> {
    shim()?.page.filter(|_| ownership::is_ours())
}
