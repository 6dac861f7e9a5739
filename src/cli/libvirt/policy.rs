//! The policy that a domain's XML makes.

use crate::libvirt::domain_xml::Domain;
use crate::sys::host;
use crate::sys::kernel::Kernel;
use pinning::{ParsedEnvironment, Policy};

/// What the library will say of the domain's environment. Of a name that is set twice the first counts, and
/// the wrapper leaves alone what `<qemu:env>` has set.
pub(crate) fn read(domain: &Domain, kernel: &dyn Kernel) -> ParsedEnvironment {
    let placement = domain.placement.iter().flatten();
    let manager = [("PIN_MANAGER".to_owned(), "libvirt".to_owned())];
    let environment: Vec<(String, String)> =
        domain.environment.iter().chain(placement).cloned().chain(manager).collect();
    Policy::parse(environment, &host::here(kernel))
}
