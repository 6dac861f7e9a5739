//! The policy that root's own word makes: the domain's XML, as libvirt hands it to the hook, or the
//! administrator's file. QEMU's word is not asked.

use crate::arguments::Folders;
use crate::libvirt::domain_file;
use crate::libvirt::domain_xml::Domain;
use crate::sys::host;
use crate::sys::kernel::Kernel;
use pinning::{CPU_LIMIT, CpuId, CpuSet, Host, ParsedEnvironment, Policy};
use std::ffi::OsStr;

/// Variables that are names and values.
pub(crate) type Variables = Vec<(String, String)>;

/// What the XML says, as the library will read it in a QEMU that is started from here.
pub(crate) fn parse(domain: &Domain, kernel: &dyn Kernel) -> ParsedEnvironment {
    let placement = domain.placement.clone().unwrap_or_default();
    let nodes = host::nodes(kernel);
    Policy::parse_with_nodes(environment(domain, placement), &host::here(kernel), nodes.as_ref())
}

/// The same policy where the CPUs that QEMU is started with stand for themselves ([`unknown_cpus`]).
pub(crate) fn of_its_own(domain: &Domain, kernel: &dyn Kernel) -> Option<Policy> {
    let placement = domain.placement.clone()?;
    let host = Host { available: host::here(kernel).available, start: unknown_cpus() };
    Policy::parse(environment(domain, placement), &host).policy
}

/// The variables that root's word gives to a domain's QEMU: the XML's placement or, where there is none, the
/// administrator's file, as the wrapper does it. `None`: root says nothing of this domain.
///
/// # Errors
/// There is a file, and it does not count: here is why.
pub(crate) fn variables(
    kernel: &dyn Kernel,
    folders: &Folders,
    name: &OsStr,
    domain: &Domain,
) -> Result<Option<Variables>, String> {
    let placement = match &domain.placement {
        Some(placement) => Some(placement.clone()),
        None => domain_file::administrators(kernel, &folders.config.join("domains"), name, &domain.uuid)?,
    };
    Ok(match placement {
        Some(placement) => Some(environment(domain, placement)),
        None if Policy::names_placement(domain.environment.iter().map(|(name, value)| (name, value))) => {
            Some(environment(domain, Vec::new()))
        }
        None => None,
    })
}

/// A domain's environment as the library reads it. Where a name is set twice the first counts: the wrapper does
/// not change what `<qemu:env>` has set.
fn environment(domain: &Domain, placement: Variables) -> Variables {
    domain.environment.iter().cloned().chain(placement).chain([manager()]).collect()
}

/// The variable by which the wrapper says that libvirt arranges cgroups and affinities after the start.
pub(crate) fn manager() -> (String, String) {
    ("PIN_MANAGER".to_owned(), "libvirt".to_owned())
}

/// What stands for the affinity that QEMU was started with, which is the base where `PIN_CPUS` is not set: libvirt
/// has chosen it, and nothing tells it now. No host has the last CPU that a set can hold. A thread that belongs there is left alone.
pub(crate) fn unknown_cpus() -> CpuSet {
    CpuSet::from_iter([CpuId(CPU_LIMIT - 1)])
}
