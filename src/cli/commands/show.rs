//! `pinshim show`: every thread, where it belongs, where it may run and where it ran.

use crate::arguments::Show;
use crate::output::exit_status::FAILED;
use crate::output::failure::{Done, Failure};
use crate::output::print::{Output, Style};
use crate::output::text::count;
use crate::present::json::{self, Shown, ShownVm};
use crate::present::vm_report::VmReport;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::verdict::watch::PAUSE;
use crate::vm::find;
use std::process::ExitCode;

/// Clears the screen and goes to its top left corner (console_codes(4)).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Shows the VMs that were named, or all pinned ones, once or again and again.
pub(crate) fn show(arguments: &Show, kernel: &dyn Kernel, output: &mut Output) -> Done {
    loop {
        let report = Report::take(arguments, kernel)?;
        if arguments.json {
            json::print(output, &report.document())?;
        } else {
            let clear = if arguments.watch.is_some() && output.style().is_terminal { CLEAR } else { "" };
            output.print(format_args!("{clear}{}", report.text(output.style())));
        }
        for failure in &report.failures {
            output.note(failure);
        }
        match arguments.watch {
            // The VMs that are left are worth watching; without any there is nothing to wait for.
            Some(pause) if arguments.vms.is_empty() || !report.vms.is_empty() => kernel.sleep(pause),
            _ if report.failures.is_empty() => return Ok(ExitCode::SUCCESS),
            _ => return Ok(ExitCode::from(FAILED)),
        }
    }
}

/// All there is to show at one moment.
struct Report<'k> {
    vms: Vec<VmReport<'k>>,
    not_pinned: Vec<Process<'k>>,
    unreadable: Vec<Process<'k>>,
    failures: Vec<Failure>,
    /// The user named no VM, so that all are shown.
    none_named: bool,
}

impl<'k> Report<'k> {
    fn take(arguments: &Show, kernel: &'k dyn Kernel) -> Result<Self, Failure> {
        let none_named = arguments.vms.is_empty();
        let mut report = if none_named {
            let found = find::all(kernel)?;
            let vms = found.pinned.into_iter().chain(found.bad).map(VmReport::first);
            Self {
                // A VM that ends while it is looked at is no failure.
                vms: vms.filter_map(Result::ok).collect(),
                not_pinned: found.not_pinned,
                unreadable: found.unreadable,
                failures: Vec::new(),
                none_named,
            }
        } else {
            let named = arguments.vms.iter().map(|word| find::named(kernel, word).and_then(VmReport::first));
            let (vms, failures) = sorted(named);
            Self { vms, not_pinned: Vec::new(), unreadable: Vec::new(), failures, none_named }
        };
        // One pause for all of them, and none where every verdict is certain.
        if report.vms.iter().any(VmReport::is_open) {
            kernel.sleep(PAUSE);
            let (vms, failures) = sorted(report.vms.into_iter().map(VmReport::again));
            report.vms = vms;
            if !none_named {
                report.failures.extend(failures);
            }
        }
        Ok(report)
    }

    fn document(&self) -> Shown {
        let pids = |processes: &[Process<'_>]| processes.iter().map(|process| process.pid).collect();
        let vms = self
            .vms
            .iter()
            .map(|report| ShownVm::new(&report.vm, &report.look, &report.verdicts, report.notes.clone()));
        Shown::new(vms.collect(), pids(&self.not_pinned), pids(&self.unreadable))
    }

    fn text(&self, style: Style) -> String {
        let mut parts: Vec<String> = self.vms.iter().map(|vm| vm.text(style)).collect();
        let rest = self.rest();
        if !rest.is_empty() {
            parts.push(rest);
        }
        parts.join("\n")
    }

    /// What is to be said of the QEMUs that are not shown.
    fn rest(&self) -> String {
        let mut lines = String::new();
        let pids = |processes: &[Process<'_>]| {
            processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ")
        };
        let mut line = |text: String| lines.extend([text.as_str(), "\n"]);
        if self.none_named && self.vms.is_empty() {
            line("No pinned VM is running that you may look into.".to_owned());
        }
        if !self.not_pinned.is_empty() {
            let are = if self.not_pinned.len() == 1 { "is" } else { "are" };
            let pids = pids(&self.not_pinned);
            line(format!(
                "{} {are} not pinned: {pids} (`pinshim show PID` says why).",
                count(self.not_pinned.len(), "QEMU")
            ));
        }
        if !self.unreadable.is_empty() {
            let pids = pids(&self.unreadable);
            let who = "their owner or root may";
            line(format!(
                "{} could not be looked into: {pids} ({who}).",
                count(self.unreadable.len(), "QEMU")
            ));
        }
        lines
    }
}

fn sorted<T>(results: impl Iterator<Item = Result<T, Failure>>) -> (Vec<T>, Vec<Failure>) {
    let (mut values, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    (values, failures)
}
