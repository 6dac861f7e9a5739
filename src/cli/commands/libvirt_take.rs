//! `pinshim libvirt-take`: what the wrapper `qemu-pinned` becomes on its way to a QEMU that has its CPUs for itself.

use crate::arguments::LibvirtTake;
use crate::lease::leave_open::leave_open;
use crate::libvirt::exclusive;
use crate::output::exit_status::REFUSED;
use crate::output::failure::{Done, Failure};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Takes the leases and becomes QEMU, which has them from then on. Without them there is no QEMU.
pub(crate) fn libvirt_take(arguments: &LibvirtTake) -> Done {
    let refused = |what: String| Failure::new(what).status(REFUSED);
    let leases = exclusive::ask(&arguments.socket).map_err(refused)?;
    let variable = leave_open(&leases)
        .map_err(|error| refused(format!("the domain's leases cannot be kept: {error}")))?;
    let (qemu, rest) =
        arguments.command.split_first().ok_or_else(|| refused("no QEMU is named".to_owned()))?;
    let error = Command::new(qemu).args(rest).envs(variable).exec();
    Err(refused(format!("{} cannot be executed: {error}", Path::new(qemu).display())))
}
