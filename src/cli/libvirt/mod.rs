//! What libvirt's hook needs: a domain's XML and files, the logs, the check of a running domain.

pub(crate) mod domain_file;
pub(crate) mod domain_log;
pub(crate) mod domain_xml;
pub(crate) mod policy;
pub(crate) mod syslog;
pub(crate) mod verify;
