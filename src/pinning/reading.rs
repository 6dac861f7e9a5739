//! From the environment to a policy.
use std::ffi::OsStr;

use crate::{Fault, Host, Policy};

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
    /// Everything that is wrong with the variables.
    pub faults: Vec<Fault>,
    /// What may yet come right: under `PIN_MANAGER=libvirt`, CPUs that are not available now.
    pub warnings: Vec<Fault>,
    /// What to do about the faults.
    pub on_error: OnError,
}

pub(crate) fn read<I, N, V>(environment: I, _host: &Host) -> Reading
where
    I: IntoIterator<Item = (N, V)>,
    N: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let _ = environment.into_iter().count();
    Reading { policy: None, faults: Vec::new(), warnings: Vec::new(), on_error: OnError::Exit }
}
