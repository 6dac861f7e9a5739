//! The number of a host CPU, and how large one may be.

use std::fmt;

/// The first number that is no CPU's. The largest Linux has so many CPUs: NR_CPUS can be built for no more
/// (arch/x86/Kconfig, MAXSMP; no other architecture has a larger range).
///
/// A text may name a larger number. It is reported like any other CPU that is not available, and no set ever
/// holds it, so that no set takes more than 1 KiB, whatever the text.
pub const CPU_LIMIT: u32 = 8_192;

/// The number of a host CPU, as in `/sys/devices/system/cpu/cpuN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
