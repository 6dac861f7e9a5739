//! `pinshim libvirt disable`: takes the placement and the wrapper out of a domain's configuration.

use crate::arguments::LibvirtDisable;
use crate::libvirt::target::Target;
use crate::libvirt::virsh::Virsh;
use crate::libvirt::wrapper;
use crate::libvirt::xml_edit::{Change, PlacementChange};
use crate::libvirt::xml_layout::Layout;
use crate::output::exit_status::SUCCESS;
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::text::in_command;
use pinning::Policy;

/// Changes the domain, or says what would be changed.
pub(crate) fn disable(arguments: &LibvirtDisable, output: &mut Output) -> Done {
    let virsh = Virsh::connect(arguments.connection.connect.as_deref())?;
    let target = Target::find(&virsh, &arguments.domain)?;
    let name = &target.info.name;
    let qemu = qemu(arguments, &virsh, &target).map_err(|failure| failure.about(name))?;
    let change = Change { placement: PlacementChange::Remove, emulator: qemu.as_deref(), drops_pins: false };
    let (xml, domain) = target.changed(&change)?;
    if xml == target.xml {
        output.line(format_args!("{name} is not enabled; nothing is to be changed"));
        return Ok(SUCCESS);
    }
    output.lines(target.difference(&xml, "disabled"));
    if arguments.dry_run {
        return Ok(SUCCESS);
    }
    target.redefine(&virsh, &xml, &domain)?;
    output.line(format_args!("{name} runs without pinshim from its next start on"));
    output.lines(target.advice());
    if Policy::names_placement(domain.environment.iter().map(|(name, value)| (name, value))) {
        output.line(format_args!(
            "Its <qemu:env> still names CPUs; with an LD_PRELOAD of libpinshim.so beside it, they count: virsh edit {}",
            in_command(name, &target.uuid)
        ));
    }
    Ok(SUCCESS)
}

/// The emulator that the domain gets. `None`: it keeps its own.
fn qemu(arguments: &LibvirtDisable, virsh: &Virsh, target: &Target) -> Result<Option<String>, Failure> {
    let emulator = &target.domain.emulator;
    if let Some(qemu) = &arguments.qemu {
        return Ok(Some(qemu.clone()));
    }
    if !wrapper::is_wrapper(emulator) {
        return Ok(None);
    }
    let behind = match wrapper::behind(&wrapper::folder(), emulator) {
        Some(Ok(path)) => Some(path.to_string_lossy().into_owned()),
        // Of a wrapper that is not there, or runs nothing, only libvirt can say what it may have run.
        Some(Err(_)) | None => {
            let layout = Layout::read(&target.xml).map_err(|error| Failure::new(error.to_string()))?;
            virsh.usual_emulator(&layout.virt_type, &layout.arch)
        }
    };
    let unknown =
        || Failure::new(format!("which QEMU {emulator} ran cannot be told")).next("name it with --qemu PATH");
    behind.ok_or_else(unknown).map(Some)
}
