//! What parsing an environment yields: the policy, and everything that is wrong.

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
pub struct ParsedEnvironment {
    /// The policy. `None` if no variable places threads, if none that does is left under `PIN_ERRORS=warn`,
    /// or if there are faults and QEMU must not start.
    pub policy: Option<Policy>,
    /// Everything that is wrong, in the order of [`VARIABLES`](crate::VARIABLES), with misspelt names last.
    pub faults: Vec<Fault>,
    /// What may still become right: under `PIN_MANAGER=libvirt`, CPUs that are not available now.
    pub warnings: Vec<Fault>,
    /// What to do about the faults.
    pub on_error: OnError,
}

impl ParsedEnvironment {
    /// What an environment says that places no threads.
    pub(crate) fn without_placement() -> Self {
        Self { policy: None, faults: Vec::new(), warnings: Vec::new(), on_error: OnError::Exit }
    }
}
