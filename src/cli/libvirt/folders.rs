//! The folders in which root's own files about domains are.

use std::path::PathBuf;

/// Folders that only root writes to.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// Where the hook leaves pinnings for the wrapper, in `domains`.
    pub(crate) run: PathBuf,
    /// Where the administrator's pinnings are, in `domains`.
    pub(crate) config: PathBuf,
    /// Where libvirt's daemon keeps the pid files of its domains.
    pub(crate) pid_files: PathBuf,
}

impl Default for Folders {
    /// Those of an installation below /, with the libvirt of `qemu:///system`.
    fn default() -> Self {
        Self {
            run: PathBuf::from("/run/pinshim"),
            config: PathBuf::from("/etc/pinshim"),
            pid_files: PathBuf::from("/run/libvirt/qemu"),
        }
    }
}
