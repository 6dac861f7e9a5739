//! Who has which lease.

use crate::lease::folder::{Folder, Mutex};
use crate::output::failure::Failure;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use pinning::CpuSet;
use std::time::Duration;

/// How often to look for who has a lease, and how long to wait in between. Under libvirt leases go from the hook through
/// another process to QEMU: a look at one process after the other may miss all of them, and while they are passed on
/// nobody has them open.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(10);

/// Leased CPUs, and the processes that have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) cpus: CpuSet,
    /// The lowest pid of those that hold the descriptor; `None` where none was found. QEMU's own children do not hold it.
    pub(crate) pid: Option<i32>,
}

/// The leases of this user's VMs, for one who leases nothing; none where the user has no folder for them.
pub(crate) fn of_user(kernel: &dyn Kernel) -> Vec<Leased> {
    let leased = Folder::of_user(kernel).and_then(|folder| {
        let mutex = folder.mutex(kernel)?;
        leased(kernel, &folder, &mutex)
    });
    leased.unwrap_or_default()
}

/// The leased CPUs, together by who has them, the lowest CPU first.
///
/// # Errors
/// The folder of leases cannot be read, or /proc.
pub(crate) fn leased(kernel: &dyn Kernel, folder: &Folder, mutex: &Mutex) -> Result<Vec<Leased>, Failure> {
    let mut left = folder.leased(kernel, mutex)?;
    let mut all: Vec<Leased> = Vec::new();
    for look in 0..LOOKS {
        if left.is_empty() {
            break;
        }
        if look > 0 {
            kernel.sleep(PAUSE);
            left = left.intersection(&folder.leased(kernel, mutex)?);
        }
        let no_proc = |error| Failure::new(format!("/proc cannot be read: {error}"));
        for process in Process::all(kernel).map_err(no_proc)? {
            let cpus = held_by(kernel, folder, process).intersection(&left);
            if !cpus.is_empty() && u32::try_from(process.pid) != Ok(std::process::id()) {
                left = left.difference(&cpus);
                all.push(Leased { cpus, pid: Some(process.pid) });
            }
        }
    }
    if !left.is_empty() {
        all.push(Leased { cpus: left, pid: None });
    }
    all.sort_by_key(|leased| leased.cpus.iter().next());
    Ok(all)
}

/// The leases that a process has open.
fn held_by(kernel: &dyn Kernel, folder: &Folder, process: Process<'_>) -> CpuSet {
    let descriptors = process.file("fd");
    let names = kernel.names_in(&descriptors).into_iter().flatten();
    let links = names.filter_map(|name| kernel.read_link(descriptors.join(name)).ok());
    links.filter_map(|link| folder.lease_of(&link)).collect()
}
