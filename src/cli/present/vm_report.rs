//! The report on one VM: its policy, its threads with the verdicts on them, and notes on what is wrong.

use crate::output::failure::Failure;
use crate::output::line::Line;
use crate::output::style::Style;
use crate::output::text::{count, cut, in_command};
use crate::present::table::{self, Row};
use crate::sys::cpuset::Cpuset;
use crate::sys::thread_cgroup::ThreadCgroup;
use crate::sys::threads::Migrations;
use crate::verdict::against_qmp::Comparison;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::not_judged::not_judged;
use crate::verdict::waits::Waits;
use crate::verdict::{against_qmp, at_start, diagnosis, vhost_in_kernel};
use crate::vm::find::is_qemu;
use crate::vm::identify::Evidence;
use crate::vm::look::{Ask, Look, Vm};
use crate::vm::page::Missing;
use crate::vm::qmp::{self, Ids};
use crate::vm::unmet::unmet_by;
use pinning::RoleKind;
use std::path::Path;
use std::time::Duration;

/// So many characters of a variable's value are shown; `--json` has all of it.
const VALUE: usize = 2000;

/// So many hints on threads that libvirt's own pins hold are given.
const HINTS: usize = 4;

/// A VM as a look saw it.
pub(crate) struct VmReport<'k> {
    pub(crate) vm: Vm<'k>,
    judge: Judge,
    pub(crate) look: Look,
    pub(crate) verdicts: Vec<Verdict>,
    /// The time in which the threads' delays came to be; `None`: there was one look only.
    pub(crate) interval: Option<Duration>,
    delays: Delays,
    /// What the threads had waited at its last look.
    pub(crate) waits: Waits,
    /// Sentences: why it is not pinned, what else is to be known.
    pub(crate) notes: Vec<String>,
    /// Sentences on other processes that give themselves the VM's name, and on what QEMU itself says.
    further: Vec<String>,
    /// QEMU's own answer.
    ids: Option<Ids>,
}

/// Since when a report counts how long threads wait.
#[derive(Debug)]
pub(crate) enum Delays {
    /// It does not.
    NotAsked,
    /// Since its own first look, so that there has to be another one.
    SinceFirstLook,
    /// Since an earlier report's last look.
    Since(Waits),
}

impl<'k> VmReport<'k> {
    /// The report of one look. `namesakes` are sentences on other processes that give themselves the VM's name.
    pub(crate) fn first(vm: Vm<'k>, namesakes: Vec<String>, delays: Delays) -> Result<Self, Failure> {
        Self::look(vm, namesakes, None, Judge::default(), delays)
    }

    /// The report of one look, with the answer of the QEMU behind a QMP socket.
    pub(crate) fn asking(vm: Vm<'k>, socket: &Path, delays: Delays) -> Result<Self, Failure> {
        let (ids, further) = if vm.is_pinned() {
            let (ids, Comparison { differences, not_told }) = against_qmp::compared(&vm, socket)?;
            (ids, not_told.into_iter().chain(differences).collect())
        } else {
            let ids = qmp::ask(socket)?;
            let not_told = Vec::from_iter(ids.not_told());
            (ids, not_told)
        };
        Self::look(vm, further, Some(ids), Judge::default(), delays)
    }

    fn look(
        vm: Vm<'k>,
        further: Vec<String>,
        ids: Option<Ids>,
        mut judge: Judge,
        delays: Delays,
    ) -> Result<Self, Failure> {
        let at = vm.process.kernel.now();
        let mut look =
            vm.look(&Ask { migrations: Migrations::Count, ids: ids.as_ref(), ..Ask::default() })?;
        let verdicts = judge.judge(&look.threads);
        let waits = Waits::of(&look.threads, at);
        let interval = match &delays {
            Delays::Since(before) => {
                before.fill_in(&mut look.threads);
                Some(at.saturating_sub(before.at))
            }
            _ => None,
        };
        let mut notes = notes(&vm, &look, &verdicts);
        notes.extend_from_slice(&further);
        Ok(Self { vm, judge, look, verdicts, interval, delays, waits, notes, further, ids })
    }

    /// Whether a second look would tell more.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.delays, Delays::SinceFirstLook) || self.verdicts.iter().any(Verdict::needs_another_look)
    }

    /// The report of a second look, where the first left something open.
    pub(crate) fn again(self) -> Result<Self, Failure> {
        if !self.is_open() {
            return Ok(self);
        }
        let delays = match self.delays {
            Delays::SinceFirstLook => Delays::Since(self.waits),
            delays => delays,
        };
        Self::look(self.vm, self.further, self.ids, self.judge, delays)
    }

    /// The report for people.
    pub(crate) fn lines(&self, style: Style) -> Vec<Line> {
        let mut lines = vec![Line::from(format!("{}: {}", self.vm.title(), self.summary()))];
        if let Ok(content) = &self.look.content {
            let variables = content.snapshot.environment.iter();
            let policy: Vec<String> =
                variables.map(|(name, value)| format!("{name}={}", cut(value, VALUE))).collect();
            lines.push(format!("  {}", policy.join(" ")).into());
        }
        lines.extend(table::render(&self.look.threads, &self.verdicts, style));
        lines.extend(self.notes.iter().map(|note| Line::from(format!("  {note}"))));
        lines
    }

    /// Its rows for a table of threads of several VMs.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let (pid, vm) = (self.vm.process.pid, self.vm.name.as_deref().unwrap_or("-"));
        let row = move |(thread, verdict)| Row { pid, vm, thread, verdict };
        self.look.threads.iter().zip(&self.verdicts).map(row)
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
            if look.threads.iter().any(|vm_thread| vm_thread.evidence == Evidence::Assumed) {
                notes.push("roles with a ? could not be told from the threads' names".to_owned());
            }
        }
        Ok(content) => {
            let counters = content.snapshot.counters;
            let held = |verdict: &Verdict| verdict.held_by().is_some();
            notes.extend(what_frees(vm, look, verdicts));
            if verdicts.iter().any(|verdict| verdict.is_offence() && !held(verdict)) {
                notes.push(format!(
                    "`pinshim apply {}` puts threads back where they belong, or says what is in the way",
                    vm.process.pid
                ));
                notes.push(
                    "EXPECTED is what QEMU was started with; a policy given to `pinshim apply` is not remembered"
                        .to_owned(),
                );
            }
            notes.extend(unmet_by(vm, &content.policy, &look.threads).iter().map(ToString::to_string));
            notes.extend(not_judged(&look.threads));
            notes.extend(vhost_in_kernel::notes(vm, &content.policy, &look.threads));
            let at_start = at_start::judge(vm, content, &look.threads);
            notes.extend(at_start.differences.into_iter().chain(at_start.notes));
            if counters.unlisted > 0 {
                notes.push(format!(
                    "the register was full: so far {} placed, but not listed",
                    count(counters.unlisted as usize, "thread")
                ));
            }
            if counters.refused > 0 {
                notes.push(format!(
                    "so far {} refused by the kernel",
                    count(counters.refused as usize, "pin")
                ));
            }
            if counters.filtered > 0 {
                notes.push(format!(
                    "so far {} left on the CPUs that they began on: the program's own seccomp filter does not let the \
                     library place them",
                    count(counters.filtered as usize, "thread")
                ));
            }
            if counters.class_refused > 0 {
                notes.push(format!(
                    "so far {} not given (QEMU's stderr says why)",
                    count(counters.class_refused as usize, "scheduling class")
                ));
            }
            if counters.cut > 0 {
                notes.push(format!("so far {} cut by a cpuset", count(counters.cut as usize, "pin")));
            }
        }
    }
    notes
}

/// What gives the threads their CPUs that libvirt's own pins hold elsewhere.
fn what_frees(vm: &Vm<'_>, look: &Look, verdicts: &[Verdict]) -> Vec<String> {
    let domain = in_command(vm.name.as_deref().unwrap_or_default(), "DOMAIN");
    let mut notes: Vec<String> = Vec::new();
    for (thread, verdict) in look.threads.iter().zip(verdicts) {
        let Some(group) = verdict.held_by().and_then(Cpuset::of_libvirt) else { continue };
        let cpus = thread.expected_shown().unwrap_or_default();
        let number = match (group, thread.role) {
            (ThreadCgroup::Vcpu(number), RoleKind::Vcpu)
            | (ThreadCgroup::IoThread(number), RoleKind::IoThread) => format!(" {number}"),
            (ThreadCgroup::Emulator, _) => String::new(),
            // The kernel has made it in there.
            _ => {
                notes.push(format!(
                    "pinshim's libvirt hook moves {} out of {group} when the guest or libvirt's daemon starts",
                    thread.name
                ));
                continue;
            }
        };
        notes.push(format!(
            "`virsh {} {domain}{number} {cpus}` gives it its CPUs: {}",
            group.command(),
            thread.name
        ));
    }
    notes.dedup();
    let more = notes.len().saturating_sub(HINTS);
    notes.truncate(HINTS);
    notes.extend((more > 0).then(|| format!("and {more} more that virsh holds")));
    notes
}
