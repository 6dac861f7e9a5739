//! What a thread of the VM is for, told from its name.
//!
//! The names are QEMU's own, of QEMU 5.2 to 11. A name that is not known gives no role: what that means is
//! for the caller to decide.

use std::fmt;

/// QEMU's index of a vCPU: the N of `CPU N/KVM`, not its APIC id, which has gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuIndex(pub u32);

impl fmt::Display for VcpuIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a thread of the VM is for. Each role has a set of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// The main loop, and every thread with no role of its own.
    Emulator,
    /// One vCPU.
    Vcpu(VcpuIndex),
    /// The one thread that runs all vCPUs in turn (TCG without multi-threading).
    AllVcpus,
    /// One of the user's IOThreads, by its object id.
    IoThread(&'a [u8]),
    /// A thread of a worker pool.
    Worker,
    /// A thread that sends or receives the VM's memory and state in a migration or for a snapshot.
    Migration,
    /// A vhost worker of the kernel.
    Vhost,
    /// A thread whose affinity QEMU sets itself.
    Exempt,
}

impl<'a> Role<'a> {
    /// The role of the thread that QEMU gives this (full) name.
    ///
    /// `None` for a name that QEMU is not known to use.
    pub fn of_qemu_name(name: &'a [u8]) -> Option<Role<'a>> {
        if let Some(id) = name.strip_prefix(b"IO ").filter(|id| !id.is_empty()) {
            // QEMU's monitor/monitor.c makes this one for itself: it is none of the user's IOThreads.
            return Some(if id == b"mon_iothread" { Role::Emulator } else { Role::IoThread(id) });
        }
        if let Some(index) = vcpu_index(name) {
            return Some(Role::Vcpu(index));
        }
        if name.starts_with(b"TC ") {
            // util/thread-context.c: the user gave it its CPUs, to preallocate memory on a NUMA node.
            return Some(Role::Exempt);
        }
        if is_migration(name) {
            return Some(Role::Migration);
        }
        match name {
            b"ALL CPUs/TCG" => Some(Role::AllVcpus),
            b"worker" => Some(Role::Worker),
            b"touch_pages" => Some(Role::Exempt),
            _ if EMULATOR.contains(&name) => Some(Role::Emulator),
            _ => None,
        }
    }

    /// The role without the vCPU's index or the IOThread's id.
    pub fn kind(self) -> RoleKind {
        match self {
            Role::Emulator => RoleKind::Emulator,
            Role::Vcpu(_) | Role::AllVcpus => RoleKind::Vcpu,
            Role::IoThread(_) => RoleKind::IoThread,
            Role::Worker => RoleKind::Worker,
            Role::Migration => RoleKind::Migration,
            Role::Vhost => RoleKind::Vhost,
            Role::Exempt => RoleKind::Exempt,
        }
    }
}

/// A role without the vCPU's index or the IOThread's id. The number stands for it on the status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RoleKind {
    /// The main loop, and every thread with no role of its own.
    Emulator = 1,
    /// A vCPU, or the one thread that runs all vCPUs.
    Vcpu = 2,
    /// One of the user's IOThreads.
    IoThread = 3,
    /// A thread of a worker pool.
    Worker = 4,
    /// A migration thread.
    Migration = 5,
    /// A vhost worker of the kernel.
    Vhost = 6,
    /// A thread whose affinity QEMU sets itself.
    Exempt = 7,
}

impl RoleKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [RoleKind; 7] = [
        RoleKind::Emulator,
        RoleKind::Vcpu,
        RoleKind::IoThread,
        RoleKind::Worker,
        RoleKind::Migration,
        RoleKind::Vhost,
        RoleKind::Exempt,
    ];

    /// The kind that a status page means by this number; `None` for a number that stands for no role.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RoleKind::Emulator => "emulator",
            RoleKind::Vcpu => "vcpu",
            RoleKind::IoThread => "iothread",
            RoleKind::Worker => "worker",
            RoleKind::Migration => "migration",
            RoleKind::Vhost => "vhost",
            RoleKind::Exempt => "exempt",
        })
    }
}

/// Names of threads that have the emulator's role.
const EMULATOR: &[&[u8]] = &[
    b"call_rcu",
    b"vnc_worker",
    b"dump_thread",
    b"nbd-connect",
    b"io-task-worker",
    b"kvm-reaper",
    b"SPICE Worker",
];

/// Names of migration threads before QEMU 9.1, which put all of them under `mig/`: migration/migration.c,
/// savevm.c, postcopy-ram.c, colo.c, ram.c, dirtyrate.c and multifd.c.
const MIGRATION: &[&[u8]] = &[
    b"live_migration",
    b"bg_snapshot",
    b"return path",
    b"postcopy/listen",
    b"postcopy/fault",
    b"fault-default",
    b"fault-fast",
    b"COLO incoming",
    b"compress",
    b"decompress",
    b"get_dirtyrate",
    b"multifd-tls-handshake-worker",
];

fn is_migration(name: &[u8]) -> bool {
    let numbered = [&b"multifdsend_"[..], b"multifdrecv_"];
    name.starts_with(b"mig/")
        || MIGRATION.contains(&name)
        || numbered.iter().any(|prefix| name.strip_prefix(*prefix).and_then(decimal).is_some())
}

/// The N of `CPU N/KVM`; the accelerator's name follows the slash.
fn vcpu_index(name: &[u8]) -> Option<VcpuIndex> {
    let rest = name.strip_prefix(b"CPU ")?;
    let slash = rest.iter().position(|&byte| byte == b'/')?;
    let (index, accelerator) = rest.split_at(slash);
    let letters = accelerator.get(1..).filter(|name| !name.is_empty())?;
    if letters.iter().all(u8::is_ascii_alphanumeric) { decimal(index).map(VcpuIndex) } else { None }
}

/// The number of a text of decimal digits; `None` for any other text.
pub(crate) fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(name: &str, role: Option<Role<'_>>) {
        assert_eq!(Role::of_qemu_name(name.as_bytes()), role, "{name}");
    }

    #[test]
    fn every_name_of_qemu_5_2_to_11() {
        is("CPU 0/KVM", Some(Role::Vcpu(VcpuIndex(0))));
        is("CPU 4095/TCG", Some(Role::Vcpu(VcpuIndex(4095))));
        is("CPU 1/DUMMY", Some(Role::Vcpu(VcpuIndex(1))));
        is("ALL CPUs/TCG", Some(Role::AllVcpus));
        is("IO io1", Some(Role::IoThread(b"io1")));
        is("IO mon_iothread", Some(Role::Emulator));
        is("worker", Some(Role::Worker));
        for name in ["TC tc0", "touch_pages"] {
            is(name, Some(Role::Exempt));
        }
        for name in [
            "call_rcu",
            "vnc_worker",
            "dump_thread",
            "nbd-connect",
            "io-task-worker",
            "kvm-reaper",
            "SPICE Worker",
        ] {
            is(name, Some(Role::Emulator));
        }
        for name in [
            "live_migration",
            "bg_snapshot",
            "return path",
            "multifdsend_0",
            "multifdrecv_15",
            "mig/src/main",
            "mig/dst/recv_3",
            "mig/snapshot",
        ] {
            is(name, Some(Role::Migration));
        }
    }

    #[test]
    fn any_other_name_gives_no_role() {
        for name in [
            "",
            "CPU ",
            "CPU 0",
            "CPU 0/",
            "CPU x/KVM",
            "CPU -1/KVM",
            "CPU 99999999999/KVM",
            "CPU 0/K VM",
            "IO ",
            "workers",
            "Worker",
            "multifdsend_",
            "mig",
            "TC",
        ] {
            is(name, None);
        }
        assert_eq!(Role::of_qemu_name(b"CPU \xff/KVM"), None);
    }

    #[test]
    fn kinds_go_to_numbers_and_back() {
        for kind in RoleKind::ALL {
            assert_eq!(RoleKind::from_number(kind as u8), Some(kind));
        }
        for number in [0, 8, u8::MAX] {
            assert_eq!(RoleKind::from_number(number), None);
        }
        let words: Vec<String> = RoleKind::ALL.iter().map(RoleKind::to_string).collect();
        assert_eq!(words.join(" "), "emulator vcpu iothread worker migration vhost exempt");
    }
}
