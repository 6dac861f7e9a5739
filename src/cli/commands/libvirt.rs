//! `pinshim libvirt`: pins domains by their configuration, through virsh.

use crate::arguments::{Libvirt, LibvirtAction};
use crate::commands::{libvirt_disable, libvirt_enable, libvirt_status};
use crate::output::failure::Done;
use crate::output::print::Output;
use crate::sys::kernel::Kernel;

/// Does what was asked for.
pub(crate) fn libvirt(arguments: &Libvirt, kernel: &dyn Kernel, output: &mut Output) -> Done {
    match &arguments.action {
        LibvirtAction::Enable(arguments) => libvirt_enable::enable(arguments, kernel, output),
        LibvirtAction::Disable(arguments) => libvirt_disable::disable(arguments, output),
        LibvirtAction::Status(arguments) => libvirt_status::status(arguments, kernel, output),
    }
}
