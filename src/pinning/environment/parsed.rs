//! What comes out of reading an environment: a policy, and all that is wrong.

use super::fault::Fault;
use crate::policy::Policy;

/// What `PIN_ERRORS` says a bad value does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// QEMU does not start.
    #[default]
    Exit,
    /// QEMU runs without the faulty variables.
    Warn,
}

/// What an environment says.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The policy. `None` where no variable places threads, none is left under `PIN_ERRORS=warn`, or there
    /// are faults and QEMU must not start.
    pub policy: Option<Policy>,
    /// Everything that is wrong, in the order of [`VARIABLES`](crate::VARIABLES), the slips for one of them last.
    pub faults: Vec<Fault>,
    /// What may yet come right: under `PIN_MANAGER=libvirt`, CPUs that are not available now.
    pub warnings: Vec<Fault>,
    /// What to do about the faults.
    pub on_error: OnError,
}
