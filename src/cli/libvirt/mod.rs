//! What libvirt's hook needs: the domain's XML, the file for the wrapper, the logs, and the check of a
//! running domain.

pub(crate) mod domain_file;
pub(crate) mod domain_log;
pub(crate) mod domain_xml;
pub(crate) mod policy;
pub(crate) mod syslog;
pub(crate) mod verify;
