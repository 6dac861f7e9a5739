//! Looking for the threads that the kernel makes in the process.

use crate::affinity::scan::Scope;
use crate::placing::class;
use crate::placing::rescan::rescan;
use crate::placing::vhost_workers;
use crate::state::shim;

/// Looks at the threads that the kernel made. To be called when it has made one, or may have.
#[cold]
pub(crate) fn look_for_kernel_threads() {
    if let Some(shim) = shim::shim() {
        vhost_workers::place_new(shim);
        rescan(shim, Scope::KernelThreads);
        class::reset_kernel_threads(shim);
    }
}
