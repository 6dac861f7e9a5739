//! What libvirt's hook needs: the domain's XML, the files that root keeps about domains, the logs, and the check
//! of a running domain.

pub(crate) mod before_start;
pub(crate) mod difference;
pub(crate) mod domain_file;
pub(crate) mod domain_log;
pub(crate) mod domain_standing;
pub(crate) mod domain_xml;
pub(crate) mod exclusive;
pub(crate) mod faults;
pub(crate) mod follow;
pub(crate) mod from_tuning;
pub(crate) mod helpers;
mod kernel_threads;
pub(crate) mod left_for;
mod own_threads;
pub(crate) mod placement_element;
pub(crate) mod policy;
pub(crate) mod qemu_process;
pub(crate) mod readiness;
pub(crate) mod root_file;
pub(crate) mod standing;
pub(crate) mod status_file;
pub(crate) mod syslog;
pub(crate) mod target;
pub(crate) mod tuning;
pub(crate) mod verify;
pub(crate) mod virsh;
pub(crate) mod wrapper;
pub(crate) mod xml_edit;
pub(crate) mod xml_input;
pub(crate) mod xml_layout;
