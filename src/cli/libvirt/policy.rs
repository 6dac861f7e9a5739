//! The policy in a domain's XML.

use crate::libvirt::domain_xml::Domain;
use crate::sys::host;
use crate::sys::kernel::Kernel;
use pinning::{ParsedEnvironment, Policy};

/// The domain's environment as the library will read it. Where a name is set twice the first counts: the
/// wrapper does not change what `<qemu:env>` has set.
pub(crate) fn parse(domain: &Domain, kernel: &dyn Kernel) -> ParsedEnvironment {
    let placement = domain.placement.iter().flatten();
    let manager = [("PIN_MANAGER".to_owned(), "libvirt".to_owned())];
    let environment: Vec<(String, String)> =
        domain.environment.iter().chain(placement).cloned().chain(manager).collect();
    Policy::parse(environment, &host::here(kernel))
}
