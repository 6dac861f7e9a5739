//! `pinshim libvirt-keep`: has a domain's leases between libvirt's hook, which starts it, and QEMU.

use crate::arguments::LibvirtKeep;
use crate::libvirt::exclusive;
use crate::output::exit_status::SUCCESS;
use crate::output::failure::{Done, Failure};
use crate::sys::kernel::Kernel;
use crate::sys::pass;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

/// Keeps them until QEMU's process takes them. Its end gives back what nobody has taken.
pub(crate) fn libvirt_keep(arguments: &LibvirtKeep, kernel: &dyn Kernel) -> Done {
    let failed = |error: io::Error| Failure::new(error.to_string());
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let leases: Result<Vec<_>, _> = arguments.leases.iter().map(|&lease| pass::inherited(lease)).collect();
    let leases = leases.map_err(failed)?;
    let kept = exclusive::keep(kernel, &arguments.pid_files, &arguments.domain, &listener, &leases);
    exclusive::remove_socket(&arguments.socket).map_err(failed)?;
    // The hook waits until it is closed: by the end of this process, which closes the leases before it.
    if let Some(hook) = kept.map_err(failed)? {
        mem::forget(hook);
    }
    Ok(SUCCESS)
}
