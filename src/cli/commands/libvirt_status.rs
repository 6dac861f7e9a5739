//! `pinshim libvirt status`: whether this host can pin domains, and which are pinned.

use crate::arguments::LibvirtStatus;
use crate::libvirt::domain_standing;
use crate::libvirt::readiness::{self, Places};
use crate::libvirt::standing::Row;
use crate::libvirt::virsh::Virsh;
use crate::libvirt::wrapper;
use crate::output::exit_status::{NOT_IN_ORDER, SUCCESS};
use crate::output::failure::Done;
use crate::output::print::Output;
use crate::preload::library;
use crate::present::standing;
use crate::sys::kernel::Kernel;

/// Shows it.
pub(crate) fn status(arguments: &LibvirtStatus, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let done = shown(arguments, kernel, output);
    done.or_else(|failure| Ok(failure.report_as(arguments.json, output)))
}

fn shown(arguments: &LibvirtStatus, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let connection = &arguments.connection;
    let virsh = Virsh::connect(connection.connect.as_deref())?;
    let uuids = match &arguments.domain {
        Some(domain) => vec![virsh.uuid(domain)?],
        None => virsh.all()?,
    };
    let places = Places {
        hooks: &connection.hooks,
        run: &connection.folders.run,
        wrappers: &wrapper::folder(),
        library: library::find(),
    };
    let host = readiness::rows(kernel, &places, virsh.is_session);
    let domains: Vec<Row> = uuids
        .iter()
        .map(|uuid| {
            // One domain that cannot be looked at, or has just gone, hides no other.
            let row = domain_standing::row(kernel, &connection.folders, &virsh, uuid);
            row.unwrap_or_else(|failure| Row::bad(uuid, "unknown", failure.to_string()))
        })
        .collect();
    let is_in_order = host.iter().chain(&domains).all(|row| row.in_order);
    if arguments.json {
        standing::print_json(output, &host, &domains)?;
    } else {
        output.lines(standing::table(host.iter().chain(&domains)));
    }
    Ok(if is_in_order { SUCCESS } else { NOT_IN_ORDER })
}
