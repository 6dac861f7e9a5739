//! `pinshim check`: the proof, for people and scripts.

use crate::arguments::Check;
use crate::output::exit_status::{NOT_PINNED, OFF};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::text::count;
use crate::present::json::{self, Checked};
use crate::present::table;
use crate::sys::kernel::Kernel;
use crate::verdict::watch::{self, Offence, Watched};
use crate::verdict::{against_qmp, diagnosis};
use crate::vm::find;
use crate::vm::look::{Ask, Vm};
use crate::vm::page::Missing;
use std::process::ExitCode;

/// Watches a VM and judges.
pub(crate) fn check(arguments: &Check, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let vm = find::named(kernel, &arguments.vm)?;
    if let Err(missing) = vm.look(&Ask::default())?.content {
        let why = diagnosis::why_not_pinned(vm.process, &missing);
        if missing == Missing::NotPermitted {
            return Err(Failure::new(format!("process {} cannot be checked: {why}", vm.process.shown())));
        }
        if arguments.json {
            json::print(output, &Checked::not_pinned(&vm, why))?;
        } else {
            output.print(format_args!("{} is not pinned: {why}\n", vm.title()));
        }
        return Ok(ExitCode::from(NOT_PINNED));
    }
    let differences = match &arguments.qmp {
        Some(socket) => against_qmp::differences(&vm, socket)?,
        None => Vec::new(),
    };
    let watched = watch::watch(&vm, arguments.time.unwrap_or_default())?;
    let is_ok = watched.offences.is_empty() && differences.is_empty();
    if arguments.json {
        json::print(output, &Checked::new(&vm, &watched, differences))?;
    } else {
        output.print(text(&vm, &watched, &differences));
    }
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::from(OFF) })
}

/// Silent on success.
fn text(vm: &Vm<'_>, watched: &Watched, differences: &[String]) -> String {
    let mut text = String::new();
    if !watched.offences.is_empty() {
        let (off, all) = (watched.offences.len(), count(watched.threads, "thread"));
        text += &format!("{}: {off} of {all} NOT where they belong\n", vm.title());
        text.extend(watched.offences.iter().map(|offence| line(offence, watched.looks)));
    }
    text.extend(differences.iter().map(|difference| format!("{}: {difference}\n", vm.title())));
    text
}

fn line(offence: &Offence, of: u64) -> String {
    let Offence { vm_thread, verdict, looks } = offence;
    let expected = vm_thread.expected.as_ref().map(|set| set.to_string()).unwrap_or_default();
    let looks =
        if *looks == of { String::new() } else { format!(" (in {looks} of {})", count(of as usize, "look")) };
    format!(
        "  {} {} ({}) belongs on {expected}: {verdict}{looks}\n",
        vm_thread.thread.tid,
        vm_thread.name,
        table::role(vm_thread)
    )
}
