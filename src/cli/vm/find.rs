//! Which VM a user means, and which VMs there are.

use crate::output::failure::Failure;
use crate::sys::process::Process;
use crate::vm::command_line;
use crate::vm::look::{Vm, is_qemu};
use crate::vm::page::Missing;

/// The VM that a PID or the name of a VM stands for.
pub(crate) fn named(word: &str) -> Result<Vm, Failure> {
    if let Ok(pid) = word.parse() {
        // A VM may be called 7; the process goes before.
        if let Ok(process) = Process::new(pid) {
            return Ok(Vm::of(process));
        }
    }
    let is_meant =
        |process: &Process| command_line::of(&process.arguments()).is_some_and(|name| name == word);
    let processes = Process::all().map_err(no_proc)?;
    // Wrappers such as timeout carry QEMU's arguments too.
    let meant: Vec<Vm> = processes
        .into_iter()
        .filter(is_meant)
        .map(Vm::of)
        .filter(|vm| vm.is_pinned() || is_qemu(vm.process))
        .collect();
    let pids: Vec<String> = meant.iter().map(|vm| vm.process.pid.to_string()).collect();
    match (<[Vm; 1]>::try_from(meant), word.parse()) {
        (Ok([vm]), _) => Ok(vm),
        (Err(none), Ok(pid)) if none.is_empty() => {
            Err(Process::new(pid).err().unwrap_or_else(|| no_vm(word)))
        }
        (Err(none), _) if none.is_empty() => Err(no_vm(word)),
        _ => Err(Failure::new(format!("{} QEMUs are called {word:?}", pids.len()))
            .next(format!("name one by its PID: {}", pids.join(", ")))),
    }
}

fn no_vm(word: &str) -> Failure {
    Failure::new(format!("no QEMU is called {word:?}"))
        .next("`pinshim show` without a name lists the pinned VMs")
}

fn no_proc(error: std::io::Error) -> Failure {
    Failure::new(format!("/proc cannot be read: {error}"))
}

/// All QEMUs.
#[derive(Debug, Default)]
pub(crate) struct Everyone {
    /// Those with a page.
    pub(crate) pinned: Vec<Vm>,
    /// Those without one.
    pub(crate) not_pinned: Vec<Process>,
    /// Those that this user may not look into.
    pub(crate) unreadable: Vec<Process>,
    /// Those with something that is no sound page.
    pub(crate) bad: Vec<Vm>,
}

/// Looks for every QEMU. One with a page is found under any name.
pub(crate) fn everyone() -> Result<Everyone, Failure> {
    let mut everyone = Everyone::default();
    for process in Process::all().map_err(no_proc)? {
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
