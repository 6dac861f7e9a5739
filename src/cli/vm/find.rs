//! Which VM a user means, and which VMs there are.

use crate::output::failure::Failure;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::vm::command_line;
use crate::vm::look::Vm;
use crate::vm::page::Missing;
use pinning::acts_in;
use std::os::unix::ffi::OsStrExt;

/// The VM that a PID or the name of a VM stands for.
pub(crate) fn named<'k>(kernel: &'k dyn Kernel, word: &str) -> Result<Vm<'k>, Failure> {
    if let Ok(pid) = word.parse() {
        // A VM may be called 7; the process goes before.
        if let Ok(process) = Process::new(kernel, pid) {
            return Ok(Vm::of(process));
        }
    }
    let is_meant =
        |process: &Process| command_line::vm_name(&process.arguments()).is_some_and(|name| name == word);
    let processes = Process::all(kernel).map_err(no_proc)?;
    // Wrappers such as timeout carry QEMU's arguments too.
    let meant: Vec<Vm<'_>> = processes
        .into_iter()
        .filter(is_meant)
        .map(Vm::of)
        .filter(|vm| vm.is_pinned() || is_qemu(vm.process))
        .collect();
    let pids: Vec<String> = meant.iter().map(|vm| vm.process.pid.to_string()).collect();
    match (<[Vm<'_>; 1]>::try_from(meant), word.parse()) {
        (Ok([vm]), _) => Ok(vm),
        (Err(none), Ok(pid)) if none.is_empty() => {
            // It may have come into being meanwhile.
            Err(if Process::new(kernel, pid).is_err() { no_process(pid) } else { no_vm(word) })
        }
        (Err(none), _) if none.is_empty() => Err(no_vm(word)),
        _ => Err(Failure::new(format!("{} QEMUs are called {word:?}", pids.len()))
            .next(format!("name one by its PID: {}", pids.join(", ")))),
    }
}

/// What to do where nothing was found.
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

/// All QEMUs.
#[derive(Debug, Default)]
pub(crate) struct Everyone<'k> {
    /// Those with a page.
    pub(crate) pinned: Vec<Vm<'k>>,
    /// Those without one.
    pub(crate) not_pinned: Vec<Process<'k>>,
    /// Those that this user may not look into.
    pub(crate) unreadable: Vec<Process<'k>>,
    /// Those with something that is no sound page.
    pub(crate) bad: Vec<Vm<'k>>,
}

/// Looks for every QEMU. One with a page is found under any name.
pub(crate) fn everyone(kernel: &dyn Kernel) -> Result<Everyone<'_>, Failure> {
    let mut everyone = Everyone::default();
    for process in Process::all(kernel).map_err(no_proc)? {
        let vm = Vm::of(process);
        match &vm.page {
            Ok(_) => everyone.pinned.push(vm),
            Err(Missing::Bad(_)) => everyone.bad.push(vm),
            Err(Missing::None) if is_qemu(process) => everyone.not_pinned.push(process),
            Err(Missing::NotPermitted) if is_qemu(process) => everyone.unreadable.push(process),
            Err(_) => {}
        }
    }
    Ok(everyone)
}

/// The domain's QEMU, by the UUID that libvirt starts it with.
pub(crate) fn by_uuid<'k>(kernel: &'k dyn Kernel, uuid: &str) -> Option<Process<'k>> {
    let is_the_one = |process: &Process| {
        let arguments = process.arguments();
        arguments.windows(2).any(|pair| matches!(pair, [option, value] if option == "-uuid" && value == uuid))
            && is_qemu(*process)
    };
    Process::all(kernel).ok()?.into_iter().find(is_the_one)
}

/// Whether a process looks like a QEMU that the library would act in, by its executable's name.
pub(crate) fn is_qemu(process: Process<'_>) -> bool {
    let target = std::env::var_os("PIN_TARGET");
    let name = process.executable_name();
    // The broker is a copy of QEMU's process, which says so in its arguments.
    acts_in(target.as_ref().map(|target| target.as_bytes()), name.as_bytes())
        && process.arguments().first().is_none_or(|name| name != "pinshim-broker")
}
