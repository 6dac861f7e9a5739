//! Whether a domain's threads are where they belong once QEMU runs, and putting back those that are not.
//!
//! The library does that by itself. Here it is done once more from outside: for a QEMU that was started
//! without the library, and so that the outcome is in the system's log. A CPU that an administrator has asked
//! libvirt for since the start (`virsh vcpupin`) stands.
//!
//! This runs as root, and QEMU may be hostile. Where threads belong is root's word: the domain's XML, or the
//! administrator's file. Which process is QEMU is libvirt's word. QEMU's status page says only who its threads are;
//! where it names another policy, the line says so.

use crate::arguments::Folders;
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::helpers;
use crate::libvirt::kernel_threads::{is_made_by_the_kernel, move_to_the_emulator, one_may_come};
use crate::libvirt::policy::{self, unknown_cpus};
use crate::libvirt::qemu_process::QemuProcess;
use crate::libvirt::tuning::Tuning;
use crate::output::text::count;
use crate::sys::cpuset;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::verdict::judge::{self, Judge, Verdict};
use crate::verdict::watch::PAUSE;
use crate::vm::expected::VmThread;
use crate::vm::look::{Ask, Look, Vm};
use crate::vm::page::Missing;
use crate::vm::put::put;
use pinning::{CpuSet, Host, Policy, RoleKind, VARIABLES, acts_in, strip_deleted};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// So many threads are named in the line.
const NAMED: usize = 4;

/// What was found of a domain's threads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The line to log: `Err` where something is not as it should be.
    pub(crate) line: Result<String, String>,
    /// How many threads were put back.
    pub(crate) put_back: usize,
}

/// Puts threads back that are off their set. The answer is `None` for a domain of which root says nothing.
///
/// `is_reconnect`: libvirt has found a running QEMU again, so that an administrator may have moved threads.
pub(crate) fn verify(
    kernel: &dyn Kernel,
    folders: &Folders,
    name: &OsStr,
    domain: &Domain,
    is_reconnect: bool,
) -> Option<Result<String, String>> {
    let which = if is_reconnect { Which::AllButIntended } else { Which::All };
    match DomainVm::find(kernel, folders, name, domain) {
        Ok(None) => None,
        Ok(Some(vm)) => Some(vm.found(which).line),
        Err(why) => Some(Err(nothing_moved(&why))),
    }
}

/// The sentence for a failure.
pub(crate) fn nothing_moved(why: &str) -> String {
    format!("no thread was moved or checked: {why}")
}

/// Which threads are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All.
    All,
    /// All but those that are where `<cputune>` has them: an administrator may have asked for that.
    AllButIntended,
    /// Those that the kernel made; the others are not looked at.
    MadeByTheKernel,
}

/// A domain's QEMU, with the policy that root's word makes.
pub(crate) struct DomainVm<'a> {
    domain: &'a Domain,
    qemu: QemuProcess<'a>,
    /// The VM.
    pub(crate) vm: Vm<'a>,
    policy: Policy,
}

impl<'a> DomainVm<'a> {
    /// Finds it. `None` for a domain of which root says nothing.
    ///
    /// # Errors
    /// Why nothing can be done, in a sentence.
    pub(crate) fn find(
        kernel: &'a dyn Kernel,
        folders: &Folders,
        name: &OsStr,
        domain: &'a Domain,
    ) -> Result<Option<Self>, String> {
        let variables = policy::variables(kernel, folders, name, domain)?;
        // What is not understood has no policy, and is said.
        if let Some(fault) = domain.faults.lines().first() {
            return Err(fault.clone());
        }
        let Some(variables) = variables else { return Ok(None) };
        let qemu = QemuProcess::find(kernel, &folders.pid_files, name)?;
        expect_qemu(qemu.process, domain)?;
        let policy = policy_for(qemu.process, &variables)?;
        let vm = Vm::new(qemu.process);
        // What the VM holds on to is then the process that held libvirt's lock.
        qemu.check()?;
        Ok(Some(Self { domain, qemu, vm, policy }))
    }

    /// Whether the kernel is still to make a thread in a cgroup that is not for it.
    pub(crate) fn awaits_a_kernel_thread(&self) -> bool {
        self.vm.look(&Ask::default()).is_ok_and(|look| one_may_come(&self.vm, &look.threads))
    }

    /// What was found, with threads put back.
    pub(crate) fn found(&self, which: Which) -> Found {
        let line = look_and_put(self, which);
        let put_back = line.as_ref().map_or(0, |line| line.put_back);
        // What else is not as it should be was said when all threads were looked at.
        let is_good = |line: &Line| match which {
            Which::MadeByTheKernel => line.wrong.is_empty(),
            _ => line.is_good(),
        };
        let line = match line {
            Ok(line) if is_good(&line) => Ok(line.text()),
            Ok(line) => Err(line.text()),
            Err(why) => Err(nothing_moved(&why)),
        };
        Found { line, put_back }
    }
}

/// What was found; or why nothing could be done.
fn look_and_put(this: &DomainVm<'_>, which: Which) -> Result<Line, String> {
    let DomainVm { domain, qemu, vm, policy } = this;
    let kernel = vm.process.kernel;
    let ask = Ask { policy: Some(policy), ..Ask::default() };
    let has_place = |thread: &VmThread| {
        thread.expected.as_ref().is_some_and(|cpus| *cpus != unknown_cpus())
            && (which != Which::MadeByTheKernel || is_made_by_the_kernel(vm, thread))
    };
    let is_intended =
        |thread: &VmThread| which == Which::AllButIntended && is_pinned_by(&domain.tuning, thread);
    let mut judge = Judge::default();
    let mut says_page = None;
    let mut look = || {
        let Look { content, threads } = vm.look(&ask).map_err(|failure| failure.to_string())?;
        says_page = Some(content.map(|content| disagreements(&content.policy, policy)));
        let threads: Vec<VmThread> = threads.into_iter().filter(has_place).collect();
        let verdicts = judge.judge(&threads);
        Ok::<_, String>(threads.into_iter().zip(verdicts).collect::<Vec<_>>())
    };

    let mut seen = look()?;
    let mut put_back = 0;
    let kernels = seen.iter().filter(|(thread, _)| is_made_by_the_kernel(vm, thread));
    let moved: Vec<&VmThread> =
        kernels.map(|(thread, _)| thread).filter(|thread| move_to_the_emulator(vm, thread)).collect();
    for thread in &moved {
        let Some(expected) = &thread.expected else { continue };
        let was_off = thread.thread.allowed != *expected;
        // Where it cannot be put there, the next look says so.
        put_back += usize::from(put(vm, &thread.thread, expected).is_ok() && was_off);
    }
    if !moved.is_empty() {
        seen = look()?;
    }
    // A thread that the register does not list may be placing itself just now: a second look tells.
    if seen.iter().any(|(thread, verdict)| verdict.may_be_off() && !is_intended(thread)) {
        kernel.sleep(PAUSE);
        let again = look()?;
        qemu.check()?;
        for (thread, verdict) in again {
            let Some(expected) = thread.expected.as_ref().filter(|_| verdict.is_off()) else { continue };
            // Where it cannot be put there, the next look says so.
            if !is_intended(&thread) && put(vm, &thread.thread, expected).is_ok() {
                put_back += 1;
            }
        }
        seen = look()?;
    }

    let emulator = policy.set(policy.emulator());
    let helpers_have_a_place = match which {
        Which::All => *emulator != unknown_cpus(),
        // What `virsh emulatorpin` has set meanwhile stands.
        Which::AllButIntended => *emulator != unknown_cpus() && domain.tuning.of_emulator().is_none(),
        Which::MadeByTheKernel => false,
    };
    let helpers = if helpers_have_a_place { helpers::put_on(vm, emulator) } else { 0 };
    let mut line = Line { put_back, helpers, ..Line::default() };
    for (thread, verdict) in &seen {
        match verdict {
            Verdict::Exempt => {}
            Verdict::NotPlacedYet | Verdict::Unsure | Verdict::Ending => line.unsettled += 1,
            Verdict::Class(other) => line.wrong.push(format!("{} has {other}", thread.name)),
            verdict if !verdict.is_off() => line.right += 1,
            _ if is_intended(thread) => line.left_alone += 1,
            _ => line.wrong.push(describe(thread, &domain.tuning)),
        }
    }
    line.page = match says_page {
        Some(Ok(disagreements)) => PageSays::Policy(disagreements),
        Some(Err(Missing::None | Missing::OfParent(_))) | None => PageSays::NoLibrary,
        Some(Err(missing)) => PageSays::Nothing(missing.to_string()),
    };
    Ok(line)
}

/// Checks that a process runs what a QEMU of this domain would: an executable that the library acts in, or the
/// emulator that the XML names. By its executable alone: its arguments are its own word.
fn expect_qemu(process: Process<'_>, domain: &Domain) -> Result<(), String> {
    let path = process.kernel.read_link(process.file("exe"));
    let path =
        path.map_err(|error| format!("the executable of process {} cannot be read: {error}", process.pid))?;
    let name = strip_deleted(path.file_name().unwrap_or_default().as_bytes());
    let target = domain.environment.iter().find(|(name, _)| name == "PIN_TARGET");
    let emulator = Path::new(&domain.emulator).file_name().unwrap_or_default().as_bytes();
    if acts_in(target.map(|(_, value)| value.as_bytes()), name) || name == emulator {
        return Ok(());
    }
    Err(format!("process {} runs {}, which is no QEMU", process.pid, path.display()))
}

/// The policy of these variables for a running process, on the CPUs that its cpusets leave it.
fn policy_for(process: Process<'_>, variables: &[(String, String)]) -> Result<Policy, String> {
    let available = cpuset::available_to(process);
    let host = Host { available, start: unknown_cpus() };
    let variables = variables.iter().map(|(name, value)| (name, value));
    let parsed = Policy::parse(variables, &host);
    parsed.policy.ok_or_else(|| {
        let fault = parsed.faults.first().map(ToString::to_string);
        fault.unwrap_or_else(|| "its variables place no thread".to_owned())
    })
}

/// The variables that place threads and that two policies do not have in common.
fn disagreements(page: &Policy, policy: &Policy) -> Vec<&'static str> {
    let value = |policy: &Policy, name: &str| {
        policy.entries().iter().find(|(entry, _)| entry == name).map(|(_, value)| value.clone())
    };
    let placing = VARIABLES.iter().filter(|variable| variable.places()).map(|variable| variable.name);
    placing.filter(|name| value(page, name) != value(policy, name)).collect()
}

/// Whether a thread may run on the CPUs that libvirt's own pins give it, and on no others.
fn is_pinned_by(tuning: &Tuning, thread: &VmThread) -> bool {
    let cpus = match thread.role {
        RoleKind::Vcpu => thread.index.and_then(|index| tuning.of_vcpu(index)),
        RoleKind::IoThread => {
            let number = thread.name.strip_prefix("IO iothread").and_then(|number| number.parse().ok());
            number.and_then(|number| tuning.of_iothread(number))
        }
        _ => tuning.of_emulator(),
    };
    cpus.is_some_and(|cpus| cpus == thread.thread.allowed)
}

fn describe(thread: &VmThread, tuning: &Tuning) -> String {
    let expected = thread.expected.as_ref().map(CpuSet::to_string).unwrap_or_default();
    let why = match &thread.held_by {
        Some(cpuset) => format!(", held by {}", judge::held_by(cpuset)),
        None if is_pinned_by(tuning, thread) => ", as <cputune> says".to_owned(),
        None => String::new(),
    };
    format!("{} may run on {} and belongs on {expected}{why}", thread.name, thread.thread.allowed)
}

/// What QEMU's status page says.
#[derive(Debug, Default)]
enum PageSays {
    /// There is none: QEMU does not run under the library.
    #[default]
    NoLibrary,
    /// It could not be read, or is not sound; why, in a sentence.
    Nothing(String),
    /// A policy, which differs from root's word in these variables.
    Policy(Vec<&'static str>),
}

/// What is to be logged.
#[derive(Debug, Default)]
struct Line {
    /// How many threads are where they belong.
    right: usize,
    /// How many are being placed, or about to end.
    unsettled: usize,
    /// How many were put where they belong.
    put_back: usize,
    /// How many threads of the domain's helpers were put beside the emulator.
    helpers: usize,
    /// How many an administrator has put elsewhere.
    left_alone: usize,
    /// Those that are not where they belong, each in a sentence.
    wrong: Vec<String>,
    page: PageSays,
}

impl Line {
    /// Whether all is as it should be.
    fn is_good(&self) -> bool {
        self.wrong.is_empty() && matches!(&self.page, PageSays::Policy(differ) if differ.is_empty())
    }

    fn text(&self) -> String {
        let judged = self.right + self.left_alone + self.wrong.len();
        let mut line = if self.wrong.is_empty() {
            format!("{} where they belong", count(self.right, "thread"))
        } else {
            let named = self.wrong.get(..NAMED).unwrap_or(&self.wrong).join("; ");
            let more = if self.wrong.len() > NAMED { "; and so on" } else { "" };
            format!(
                "{} of {} not where they belong: {named}{more}",
                self.wrong.len(),
                count(judged, "thread")
            )
        };
        if self.unsettled > 0 {
            line += &format!(", {} not placed yet", self.unsettled);
        }
        if self.put_back > 0 {
            line += &format!(", {} put there now", self.put_back);
        }
        if self.helpers > 0 {
            line += &format!(", {} of its helpers put beside the emulator", count(self.helpers, "thread"));
        }
        if self.left_alone > 0 {
            line += &format!(", {} elsewhere by virsh and left there", self.left_alone);
        }
        match &self.page {
            PageSays::Policy(differ) if differ.is_empty() => {}
            PageSays::Policy(differ) => {
                line += &format!(
                    "; QEMU's status page has another {}, which does not count",
                    differ.join(" and ")
                );
            }
            PageSays::Nothing(why) => line += &format!("; {why}"),
            PageSays::NoLibrary => {
                line += "; its QEMU does not run under libpinshim.so, so that threads to come are not placed \
                         (does its <emulator> name qemu-pinned?)";
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_was_found() {
        let wrong = |n| vec!["CPU 0/KVM may run on 0 and belongs on 1".to_owned(); n];
        let line =
            |right, wrong| Line { right, wrong, page: PageSays::Policy(Vec::new()), ..Line::default() };
        let good = line(9, wrong(0));
        assert_eq!((good.is_good(), good.text().as_str()), (true, "9 threads where they belong"));
        let moved = Line { put_back: 2, left_alone: 1, unsettled: 3, ..line(8, wrong(0)) };
        assert_eq!(
            (moved.is_good(), moved.text().as_str()),
            (
                true,
                "8 threads where they belong, 3 not placed yet, 2 put there now, 1 elsewhere by virsh and left there"
            )
        );
        let off = line(8, wrong(1));
        let said = "1 of 9 threads not where they belong: CPU 0/KVM may run on 0 and belongs on 1";
        assert_eq!((off.is_good(), off.text().as_str()), (false, said));
        let four = ["CPU 0/KVM may run on 0 and belongs on 1"; 4].join("; ");
        assert_eq!(
            line(4, wrong(5)).text(),
            format!("5 of 9 threads not where they belong: {four}; and so on")
        );
        assert_eq!(line(5, wrong(4)).text(), format!("4 of 9 threads not where they belong: {four}"));
        let other = Line { page: PageSays::Policy(vec!["PIN_CPUS", "PIN_VHOST"]), ..line(9, wrong(0)) };
        let said = "9 threads where they belong; QEMU's status page has another PIN_CPUS and PIN_VHOST, which does not count";
        assert_eq!((other.is_good(), other.text().as_str()), (false, said));
        assert!(!Line::default().is_good());
    }
}
