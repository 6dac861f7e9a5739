//! Says which vCPUs, IOThreads and vhost workers the placements name and the VM does not have.
//!
//! A name that is misspelt would else pin nobody, and nobody would notice. vCPUs and IOThreads can be plugged in later, so
//! this is said of the moment at which the guest begins to run, and as something that is true of that moment.

use crate::identity::iothreads::IOTHREADS;
use crate::report::targets;
use crate::state::entries;
use crate::state::ownership;
use crate::state::page::Page;
use crate::state::shim::Shim;
use pinning::{RoleKind, Unmet};
use std::sync::atomic::{AtomicBool, Ordering};

static SAID: AtomicBool = AtomicBool::new(false);

/// So many warnings are given for each variable.
const WARNINGS: usize = 8;

/// A worker is being created. Under TCG, where no KVM_RUN shows that the guest runs, that is how it is known: QEMU makes
/// workers for the guest's requests. A worker that comes before the first vCPU only opens a disk.
#[cold]
pub(crate) fn worker_created(shim: &Shim) {
    let has_vcpu = |page: Page| entries::indices_of(page, RoleKind::Vcpu).next().is_some();
    if !SAID.load(Ordering::Relaxed) && shim.page.is_some_and(has_vcpu) {
        guest_runs(shim);
    }
}

/// The guest begins to run. Warns the first time, of each name that nobody has by now.
#[cold]
pub(crate) fn guest_runs(shim: &Shim) {
    let Some(page) = shim.page.filter(|_| ownership::is_ours() && !SAID.swap(true, Ordering::Relaxed)) else {
        return;
    };
    // Before a start, libvirt's hook has refused what the domain does not have and cannot get; the rest may be plugged in.
    // And of threads that could not be listed it is not known which they are.
    if shim.policy.manager().is_some() || page.header.unlisted.load(Ordering::Relaxed) != 0 {
        return;
    }
    let gaps = shim.policy.named_vcpus().filter_map(|(first, last)| gap(page, first, last));
    for (first, last) in gaps.take(WARNINGS) {
        log::warn!(target: targets::IDENTITY, "{} so far", Unmet::Vcpus(first, last));
    }
    let has_worker =
        |wanted: u32| entries::indices_of(page, RoleKind::Vhost).any(|index| index == Some(wanted));
    // Of a range the first that is missing is enough to find the mistake.
    let missing = |(first, last): (u32, u32)| (first..=last).find(|number| !has_worker(*number));
    for number in shim.policy.named_vhost_workers().filter_map(missing).take(WARNINGS) {
        log::warn!(target: targets::IDENTITY,
            "PIN_VHOST places vhost worker {number}, and there is no such worker so far"
        );
    }
    let absent = shim.policy.named_iothreads().filter(|id| !IOTHREADS.has(id.as_bytes()));
    for id in absent.take(WARNINGS) {
        log::warn!(target: targets::IDENTITY, "PIN_IOTHREADS places {id}, and there is no such IOThread so far");
    }
}

/// The first vCPUs from `first` to `last` that are not listed. `None` if all are, or if one thread runs all vCPUs in turn.
fn gap(page: Page, first: u32, last: u32) -> Option<(u32, u32)> {
    let indices = || entries::indices_of(page, RoleKind::Vcpu);
    if indices().any(|index| index.is_none()) {
        return None;
    }
    let has = |wanted: u32| indices().any(|index| index == Some(wanted));
    let from = (first..=last).find(|index| !has(*index))?;
    let next = indices().flatten().filter(|index| (from..=last).contains(index)).min();
    Some((from, next.map_or(last, |next| next - 1)))
}

#[cfg(test)]
mod tests {
    use super::gap;
    use crate::state::entries;
    use crate::state::thread_identity::ThreadIdentity;
    use crate::testing;
    use pinning::{RoleKind, Tid};

    #[test]
    fn the_first_vcpus_that_are_missing_are_found() {
        let policy = testing::policy(&[("PIN_CPUS", "0")]);
        let page = testing::page(&policy);
        let list = |slot: u16, index| {
            let mut identity = ThreadIdentity::unnamed(RoleKind::Vcpu, policy.base(), policy.base());
            identity.index = index;
            entries::publish(page, slot, Tid(i32::from(slot) + 1), &identity);
        };
        assert_eq!(gap(page, 0, 0), Some((0, 0)));
        for index in [0, 1, 4] {
            list(index, Some(u32::from(index)));
        }
        assert_eq!(gap(page, 0, 1), None);
        assert_eq!(gap(page, 0, 3), Some((2, 3)));
        assert_eq!(gap(page, 0, 9), Some((2, 3)));
        assert_eq!(gap(page, 4, 65_535), Some((5, 65_535)));
        assert_eq!(gap(page, 7, 7), Some((7, 7)));
        // `-accel tcg,thread=single`.
        list(9, None);
        assert_eq!(gap(page, 7, 7), None);
    }
}
