//! `pinshim libvirt enable`: puts the placement and the wrapper into a domain's configuration.

use crate::arguments::LibvirtEnable;
use crate::libvirt::before_start::judge_before_start;
use crate::libvirt::domain_file;
use crate::libvirt::from_tuning;
use crate::libvirt::placement_element::EXCLUSIVE;
use crate::libvirt::target::Target;
use crate::libvirt::virsh::Virsh;
use crate::libvirt::wrapper;
use crate::libvirt::xml_edit::{Change, PlacementChange};
use crate::output::exit_status::SUCCESS;
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::sys::kernel::Kernel;
use std::ffi::OsStr;

/// Changes the domain, or says what would be changed.
pub(crate) fn enable(arguments: &LibvirtEnable, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let virsh = Virsh::connect(arguments.connection.connect.as_deref())?;
    let target = Target::find(&virsh, &arguments.domain)?;
    let name = &target.info.name;
    if virsh.is_session {
        return Err(Failure::new(
            "qemu:///session runs no hooks, which carry a placement from a domain's XML",
        )
        .next(format!(
            "write the placement into ~/.config/pinshim/domains/{}.env (docs/libvirt.md)",
            target.uuid
        )));
    }
    let about = |failure: Failure| failure.about(name);
    let placement = placement(arguments, &target).map_err(about)?;
    if placement.is_none() && target.domain.placement.is_none() && !has_file(arguments, kernel, &target) {
        return Err(Failure::new(format!("nothing says where the threads of {name} belong"))
            .next("give --cpus SET or another of the options, or --from-cputune"));
    }
    let wrapper = if wrapper::is_wrapper(&target.domain.emulator) {
        None
    } else {
        let wrapper = wrapper::for_emulator(&wrapper::folder(), &target.domain.emulator).map_err(about)?;
        Some(wrapper.to_string_lossy().into_owned())
    };
    let change = Change {
        placement: placement.as_deref().map_or(PlacementChange::Keep, PlacementChange::Set),
        emulator: wrapper.as_deref(),
        drops_pins: arguments.drop_cputune,
    };
    let (xml, domain) = target.changed(&change)?;
    let judged = judge_before_start(kernel, &domain);
    judged.faults.lines().iter().for_each(|fault| output.note(fault));
    if !judged.faults.is_empty() {
        return Err(Failure::new(format!("{name} would not start with this; nothing was changed")));
    }
    judged.warnings.lines().iter().for_each(|warning| output.note(format_args!("warning: {warning}")));
    if xml == target.xml {
        output.line(format_args!("{name} is enabled already; nothing is to be changed"));
        return Ok(SUCCESS);
    }
    output.lines(target.difference(&xml, "enabled"));
    if arguments.dry_run {
        return Ok(SUCCESS);
    }
    target.redefine(&virsh, &xml, &domain)?;
    output.line(format_args!("{name} is pinned from its next start on"));
    output.lines(target.advice());
    if arguments.from_cputune && !arguments.drop_cputune {
        output.line("What its <cputune> pins agrees with that and may stay; --drop-cputune removes it");
    }
    Ok(SUCCESS)
}

/// The placement that the options ask for. `None`: they ask for none.
fn placement(arguments: &LibvirtEnable, target: &Target) -> Result<Option<Vec<(String, String)>>, Failure> {
    let mut placement = Vec::new();
    if arguments.from_cputune {
        placement = from_tuning::placement(&target.domain.tuning, &target.domain.threads);
        if placement.is_empty() {
            return Err(Failure::new("its <cputune> pins nothing"));
        }
    }
    for (variable, value) in arguments.placement.variables() {
        match placement.iter_mut().find(|(known, _)| known == variable) {
            Some((_, taken_over)) => *taken_over = value,
            None => placement.push((variable.to_owned(), value)),
        }
    }
    if arguments.exclusive {
        if placement.is_empty() {
            placement = target.domain.placement.clone().unwrap_or_default();
        }
        if placement.is_empty() {
            return Err(Failure::new(
                "--exclusive keeps the CPUs that a placement in the domain's XML names",
            )
            .next("give --vcpus PLACEMENT too"));
        }
        placement.push((EXCLUSIVE.to_owned(), "yes".to_owned()));
    }
    Ok(Some(placement).filter(|placement| !placement.is_empty()))
}

/// Whether the administrator has a file for the domain. What is wrong with it is for the wrapper to say.
fn has_file(arguments: &LibvirtEnable, kernel: &dyn Kernel, target: &Target) -> bool {
    let folder = arguments.connection.folders.config.join("domains");
    let file = domain_file::administrators(kernel, &folder, OsStr::new(&target.info.name), &target.uuid);
    file.is_ok_and(|file| file.is_some())
}
