//! Which VM a user means, and which VMs there are.

use crate::output::failure::Failure;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::vm::command_line;
use crate::vm::look::Vm;
use crate::vm::page::Missing;
use pinning::{BROKER_NAME, acts_in};
use std::os::unix::ffi::OsStrExt;

/// The VM that a user names by its PID or by its name (`-name` on QEMU's command line).
///
/// # Errors
/// There is none, or several have this name.
pub(crate) fn named<'k>(kernel: &'k dyn Kernel, word: &str) -> Result<Vm<'k>, Failure> {
    let pid = word.parse().ok();
    // A VM may be called 7: the process with that id is meant.
    if let Some(process) = pid.and_then(|pid| Process::new(kernel, pid).ok()) {
        return Ok(Vm::new(process));
    }
    let processes = Process::all(kernel).map_err(no_proc)?;
    let namesakes = processes
        .into_iter()
        .filter(|process| command_line::vm_name(&process.arguments()).is_some_and(|name| name == word));
    // A wrapper such as timeout has QEMU's arguments too, and is no QEMU.
    let mut vms: Vec<Vm<'_>> =
        namesakes.map(Vm::new).filter(|vm| vm.is_pinned() || is_qemu(vm.process)).collect();
    let pids: Vec<String> = vms.iter().map(|vm| vm.process.pid.to_string()).collect();
    match (vms.pop(), pids.len()) {
        (Some(vm), 1) => Ok(vm),
        (None, _) => Err(pid.map_or_else(|| no_vm(word), no_process)),
        (Some(_), several) => Err(Failure::new(format!("{several} QEMUs are called {word:?}"))
            .next(format!("name one by its PID: {}", pids.join(", ")))),
    }
}

/// What to do next where nothing was found.
const LIST: &str = "`pinshim show` without a name lists the pinned VMs";

fn no_process(pid: i32) -> Failure {
    Failure::new(format!("there is no process {pid}")).next(LIST)
}

fn no_vm(word: &str) -> Failure {
    Failure::new(format!("no QEMU is called {word:?}")).next(LIST)
}

fn no_proc(error: std::io::Error) -> Failure {
    Failure::new(format!("/proc cannot be read: {error}"))
}

/// Every QEMU on this host.
#[derive(Debug, Default)]
pub(crate) struct Found<'k> {
    /// Those with a sound status page.
    pub(crate) pinned: Vec<Vm<'k>>,
    /// Those without one.
    pub(crate) not_pinned: Vec<Process<'k>>,
    /// Those that this user may not look into.
    pub(crate) unreadable: Vec<Process<'k>>,
    /// Those whose status page is not sound.
    pub(crate) bad: Vec<Vm<'k>>,
}

/// Looks for every QEMU. One with a page is found under any name.
pub(crate) fn all(kernel: &dyn Kernel) -> Result<Found<'_>, Failure> {
    let mut found = Found::default();
    for process in Process::all(kernel).map_err(no_proc)? {
        let vm = Vm::new(process);
        match &vm.page {
            Ok(_) => found.pinned.push(vm),
            Err(Missing::Bad(_)) => found.bad.push(vm),
            Err(Missing::None) if is_qemu(process) => found.not_pinned.push(process),
            Err(Missing::NotPermitted) if is_qemu(process) => found.unreadable.push(process),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// The domain's QEMU, by the UUID that libvirt starts it with.
pub(crate) fn by_uuid<'k>(kernel: &'k dyn Kernel, uuid: &str) -> Option<Process<'k>> {
    let is_meant = |process: &Process<'_>| {
        let arguments = process.arguments();
        arguments.windows(2).any(|pair| matches!(pair, [option, value] if option == "-uuid" && value == uuid))
            && is_qemu(*process)
    };
    Process::all(kernel).ok()?.into_iter().find(is_meant)
}

/// Whether a process looks like a QEMU that the library would act in, by its executable's name.
pub(crate) fn is_qemu(process: Process<'_>) -> bool {
    let target = std::env::var_os("PIN_TARGET");
    let name = process.executable_name();
    // The broker is a copy of QEMU's process, which says so in its arguments.
    acts_in(target.as_ref().map(|target| target.as_bytes()), name.as_bytes())
        && process.arguments().first().is_none_or(|name| name != BROKER_NAME)
}
