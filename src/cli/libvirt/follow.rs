//! Waiting for a domain's guest to run, and then looking at the threads that the kernel makes.
//!
//! The kernel makes a thread when the guest runs first, in the cgroup of a vCPU. libvirt calls its hook before that and
//! waits for it, so this is done in a process of its own. It ends soon after the guest has begun to run, or with QEMU: a
//! domain may be started paused, or wait for a migration.

use crate::arguments::Folders;
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::verify::{DomainVm, Which, nothing_moved};
use crate::output::text::count;
use crate::sys::kernel::Kernel;
use std::ffi::OsStr;
use std::time::Duration;

/// For how long it looks once the guest runs. The kernel makes its thread in the first moment.
const ONCE_IT_RUNS: Duration = Duration::from_secs(2);

/// The time between two looks, at the beginning and once the guest runs, and after a minute in which it did not.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Waits, and puts the threads that the kernel made where they belong. The answer is the line to log where there was
/// something to do: `Err` where it is not as it should be.
pub(crate) fn follow(
    kernel: &dyn Kernel,
    folders: &Folders,
    name: &OsStr,
    domain: &Domain,
) -> Option<Result<String, String>> {
    let this = match DomainVm::find(kernel, folders, name, domain) {
        Ok(this) => this?,
        Err(why) => return Some(Err(nothing_moved(&why))),
    };
    if !this.awaits_a_kernel_thread() {
        return None;
    }
    let began = kernel.now();
    let mut runs_since = None;
    let mut moved = 0;
    loop {
        let now = kernel.now();
        // Without a page nobody tells that the guest runs. QEMU can write to it what it likes: it only ends this.
        let page = this.vm.page.as_ref().ok().filter(|_| this.vm.is_alive())?;
        if runs_since.is_none() && page.read().is_ok_and(|content| content.snapshot.settled) {
            runs_since = Some(now);
        }
        if let Some(since) = runs_since {
            let found = this.found(Which::MadeByTheKernel);
            moved += found.put_back;
            if now.saturating_sub(since) >= ONCE_IT_RUNS && this.vm.is_alive() {
                let belongs = if moved == 1 { "it belongs" } else { "they belong" };
                let threads = count(moved, "thread");
                let moved =
                    || (moved > 0).then(|| Ok(format!("{threads} of the kernel's put where {belongs}")));
                return if found.line.is_err() { Some(found.line) } else { moved() };
            }
        }
        kernel.sleep(if runs_since.is_none() && now.saturating_sub(began) > MINUTE { LATER } else { SOON });
    }
}
