//! `pinshim show`: every thread, where it belongs, where it may run and where it ran.

use crate::arguments::Show;
use crate::output::exit_status::FAILED;
use crate::output::failure::{Done, Failure};
use crate::output::print::{Output, Style};
use crate::output::text::{count, harmless};
use crate::present::json::{self, Shown, ShownVm};
use crate::present::table;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::threads::Migrations;
use crate::verdict::diagnosis;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::watch::PAUSE;
use crate::vm::find::{self, is_qemu};
use crate::vm::look::{Look, Vm};
use crate::vm::page::Missing;
use std::fmt::Write;
use std::process::ExitCode;

/// Clears the screen and goes to its top left corner (console_codes(4)).
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Shows the VMs that were named, or all pinned ones, once or again and again.
pub(crate) fn show(arguments: &Show, kernel: &dyn Kernel, output: &mut Output) -> Done {
    loop {
        let picture = Picture::take(arguments, kernel)?;
        if arguments.json {
            json::print(output, &picture.document())?;
        } else {
            let clear = if arguments.watch.is_some() && output.style().is_terminal { CLEAR } else { "" };
            output.print(format_args!("{clear}{}", picture.text(output.style())));
        }
        for failure in &picture.failures {
            output.note(failure);
        }
        match arguments.watch {
            // The VMs that are left are worth watching; without any there is nothing to wait for.
            Some(pause) if arguments.vms.is_empty() || !picture.vms.is_empty() => kernel.sleep(pause),
            _ if picture.failures.is_empty() => return Ok(ExitCode::SUCCESS),
            _ => return Ok(ExitCode::from(FAILED)),
        }
    }
}

/// All there is to show at one moment.
struct Picture<'k> {
    vms: Vec<Seen<'k>>,
    not_pinned: Vec<Process<'k>>,
    unreadable: Vec<Process<'k>>,
    failures: Vec<Failure>,
    /// Nobody was named.
    everyone: bool,
}

/// A VM as it was seen.
struct Seen<'k> {
    vm: Vm<'k>,
    judge: Judge,
    look: Look,
    verdicts: Vec<Verdict>,
    notes: Vec<String>,
}

impl<'k> Picture<'k> {
    fn take(arguments: &Show, kernel: &'k dyn Kernel) -> Result<Self, Failure> {
        let (vms, mut failures, rest) = if arguments.vms.is_empty() {
            let mut everyone = find::everyone(kernel)?;
            let vms = everyone.pinned.drain(..).chain(everyone.bad.drain(..)).collect();
            (vms, Vec::new(), everyone)
        } else {
            let mut failures = Vec::new();
            let named = arguments.vms.iter().map(|word| find::named(kernel, word));
            let vms: Vec<Vm<'k>> =
                named.filter_map(|vm| vm.map_err(|failure| failures.push(failure)).ok()).collect();
            (vms, failures, find::Everyone::default())
        };
        let everyone = arguments.vms.is_empty();
        let mut keep = |seen: Result<Seen<'k>, Failure>| match seen {
            Ok(seen) => Some(seen),
            // One that ends while all are looked at is no failure.
            Err(_) if everyone => None,
            Err(failure) => {
                failures.push(failure);
                None
            }
        };
        let mut seen: Vec<Seen<'k>> = vms.into_iter().filter_map(|vm| keep(Seen::first(vm))).collect();
        // One pause for all of them, and none where nothing is open.
        if seen.iter().any(Seen::leaves_something_open) {
            kernel.sleep(PAUSE);
            seen = seen.into_iter().filter_map(|seen| keep(seen.again())).collect();
        }
        Ok(Self { vms: seen, not_pinned: rest.not_pinned, unreadable: rest.unreadable, failures, everyone })
    }

    fn document(&self) -> Shown {
        let pids = |processes: &[Process<'_>]| processes.iter().map(|process| process.pid).collect();
        let vms = self
            .vms
            .iter()
            .map(|seen| ShownVm::new(&seen.vm, &seen.look, &seen.verdicts, seen.notes.clone()));
        Shown::new(vms.collect(), pids(&self.not_pinned), pids(&self.unreadable))
    }

    fn text(&self, style: Style) -> String {
        let mut parts: Vec<String> = self.vms.iter().map(|seen| seen.text(style)).collect();
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
        if self.everyone && self.vms.is_empty() {
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

impl<'k> Seen<'k> {
    fn first(vm: Vm<'k>) -> Result<Self, Failure> {
        Self::of(vm, Judge::default())
    }

    fn of(vm: Vm<'k>, mut judge: Judge) -> Result<Self, Failure> {
        let look = vm.look(Migrations::Count, None, None)?;
        let verdicts = judge.judge(&look.members);
        let notes = notes(&vm, &look, &verdicts);
        Ok(Self { vm, judge, look, verdicts, notes })
    }

    fn leaves_something_open(&self) -> bool {
        self.verdicts.iter().any(Verdict::needs_another_look)
    }

    /// A second look, where the first has left something open.
    fn again(self) -> Result<Self, Failure> {
        if self.leaves_something_open() { Self::of(self.vm, self.judge) } else { Ok(self) }
    }

    fn text(&self, style: Style) -> String {
        let mut text = format!("{}: {}\n", self.vm.title(), self.summary());
        if let Ok(content) = &self.look.content {
            let variables = content.snapshot.environment.iter();
            let policy: Vec<String> =
                variables.map(|(name, value)| format!("{name}={}", harmless(value.as_bytes()))).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {}", policy.join(" "));
        }
        text += &table::of(&self.look.members, &self.verdicts, style);
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        text
    }

    fn summary(&self) -> String {
        let all = self.verdicts.len();
        let off = self.verdicts.iter().filter(|verdict| verdict.is_offence()).count();
        match &self.look.content {
            Err(Missing::NotPermitted) => format!("{}, where they belong is not known", count(all, "thread")),
            Err(_) => format!("NOT PINNED, {}", count(all, "thread")),
            Ok(_) if off == 0 => format!("{}, all where they belong", count(all, "thread")),
            Ok(_) => format!("{off} of {} NOT where they belong", count(all, "thread")),
        }
    }
}

/// What the table does not say.
fn notes(vm: &Vm<'_>, look: &Look, verdicts: &[Verdict]) -> Vec<String> {
    let mut notes = Vec::new();
    match &look.content {
        Err(missing) => {
            notes.push(diagnosis::why_not_pinned(vm.process, missing));
            if !is_qemu(vm.process) {
                notes.push(format!("process {} does not look like a QEMU", vm.process.shown()));
            }
            if look.members.iter().any(|member| member.known == crate::vm::identify::Known::Assumed) {
                notes.push("roles with a ? could not be told from the threads' names".to_owned());
            }
        }
        Ok(content) => {
            let counters = content.snapshot.counters;
            if verdicts.iter().any(Verdict::is_offence) {
                notes.push(format!("`pinshim apply {}` puts every thread where it belongs", vm.process.pid));
                notes.push(
                    "EXPECTED is what QEMU was started with; a policy given to `pinshim apply` is not remembered"
                        .to_owned(),
                );
            }
            if counters.unlisted > 0 {
                notes.push(format!(
                    "the register was full: {} not listed",
                    count(counters.unlisted as usize, "thread")
                ));
            }
            if counters.refused > 0 {
                notes.push(format!(
                    "so far {} refused by the kernel",
                    count(counters.refused as usize, "pin")
                ));
            }
            if counters.cut > 0 {
                notes.push(format!("so far {} cut by a cpuset", count(counters.cut as usize, "pin")));
            }
        }
    }
    notes
}
