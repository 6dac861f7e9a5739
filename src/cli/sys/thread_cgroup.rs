//! The cgroups that libvirt makes for the threads of a QEMU, told by their names: `emulator`, `vcpu0`, `iothread1`
//! (virCgroupNewThread in libvirt's src/util/vircgroup.c).

use std::fmt;

/// Whose cgroup it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadCgroup {
    /// A vCPU's, by its index.
    Vcpu(u32),
    /// An IOThread's, by libvirt's number for it.
    IoThread(u32),
    /// That of all other threads.
    Emulator,
}

/// The name of the cgroup of all threads that are neither vCPU nor IOThread, and of a domain's helpers.
pub(crate) const EMULATOR: &str = "emulator";

impl ThreadCgroup {
    /// The one with this name; `None` for any other cgroup.
    pub(crate) fn called(name: &str) -> Option<Self> {
        let number = |prefix: &str| {
            let digits = name.strip_prefix(prefix)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        match name {
            EMULATOR => Some(Self::Emulator),
            _ => number("vcpu").map(Self::Vcpu).or_else(|| number("iothread").map(Self::IoThread)),
        }
    }

    /// The command of virsh that gives it its CPUs.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Vcpu(_) => "vcpupin",
            Self::IoThread(_) => "iothreadpin",
            Self::Emulator => "emulatorpin",
        }
    }
}

/// Its name.
impl fmt::Display for ThreadCgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcpu(index) => write!(f, "vcpu{index}"),
            Self::IoThread(number) => write!(f, "iothread{number}"),
            Self::Emulator => f.write_str(EMULATOR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_by_its_name() {
        let called = ThreadCgroup::called;
        assert_eq!(called("vcpu12"), Some(ThreadCgroup::Vcpu(12)));
        assert_eq!(called("iothread1"), Some(ThreadCgroup::IoThread(1)));
        assert_eq!(called("emulator"), Some(ThreadCgroup::Emulator));
        for name in ["vcpu", "vcpus", "vcpu-1", "vcpu99999999999", "iothread", "emulators", "libvirt", ""] {
            assert_eq!(called(name), None, "{name}");
        }
        assert_eq!(called("vcpu0").unwrap().to_string(), "vcpu0");
    }
}
