//! The number of a host CPU, and how large one may be.

use std::fmt;

/// The first CPU number that a text may not name.
///
/// It is far past any kernel's `NR_CPUS`, and is there only so that `0-4000000000` does not take up the
/// memory. A CPU at or past it is reported like any other CPU that is not available.
pub const CPU_LIMIT: u32 = 65_536;

/// The number of a host CPU, as in `/sys/devices/system/cpu/cpuN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
