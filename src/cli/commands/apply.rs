//! `pinshim apply`: puts the threads of a running QEMU where they belong.

use crate::arguments::Apply;
use crate::commands::repair::Repair;
use crate::output::exit_status::{FAILED, NOT_PINNED, OFF};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::sys::cpuset;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::verdict::diagnosis;
use crate::vm::find::{self, is_qemu};
use crate::vm::look::{Ask, Look, Vm};
use crate::vm::page::Missing;
use pinning::{CpuSet, Host, Policy, Tid};
use std::process::ExitCode;

/// Puts the threads where the policy given on the command line says, or else the VM's own.
pub(crate) fn apply(arguments: &Apply, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let vm = find::named(kernel, &arguments.vm)?;
    let look = vm.look(&Ask::default())?;
    let variables = arguments.placement.variables();
    let policy = if variables.is_empty() {
        needs_own_policy(&vm, look)?;
        None
    } else {
        let Some(policy) = given_policy(&vm, &look, &variables, output)? else {
            return Ok(ExitCode::from(FAILED));
        };
        Some(policy)
    };
    let mut repair = Repair::new(&vm, arguments, policy.as_ref());
    let threads = repair.run(output)?;
    output.print(repair.summary(&threads));
    let Some(pause) = arguments.watch else {
        let is_done = repair.is_complete() || arguments.dry_run;
        return Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(OFF) });
    };
    loop {
        kernel.sleep(pause);
        match repair.run(output) {
            Err(_) if !vm.process.is_alive() => {
                output.note(vm.ended());
                return Ok(ExitCode::SUCCESS);
            }
            done => done?,
        };
    }
}

/// Fails for a VM that has no policy of its own.
fn needs_own_policy(vm: &Vm<'_>, look: Look) -> Result<(), Failure> {
    let Err(missing) = look.content else { return Ok(()) };
    let why = diagnosis::why_not_pinned(vm.process, &missing);
    let status = if missing == Missing::NotPermitted { FAILED } else { NOT_PINNED };
    Err(Failure::new(format!("process {} has no policy to apply: {why}", vm.process.shown()))
        .next("say where its threads belong, with --cpus and the like")
        .status(status))
}

/// The policy that was given on the command line; `None` if it is faulty, and then the faults have been said.
fn given_policy(
    vm: &Vm<'_>,
    look: &Look,
    variables: &[(&'static str, String)],
    output: &mut Output,
) -> Result<Option<Policy>, Failure> {
    if look.content.is_err() && !is_qemu(vm.process) {
        return Err(Failure::new(format!("process {} does not look like a QEMU", vm.process.shown()))
            .next("if it is one, name its executable in PIN_TARGET"));
    }
    // Threads that nothing names get the base set that QEMU has; without the library, its main thread's CPUs.
    let start = match &look.content {
        Ok(content) => content.snapshot.sets.first(),
        Err(_) => {
            let main_thread = look.threads.iter().find(|thread| thread.thread.tid == Tid(vm.process.pid));
            main_thread.map(|thread| &thread.thread.allowed)
        }
    };
    let host =
        Host { available: cpuset::available_to(vm.process), start: start.cloned().unwrap_or_default() };
    let parsed = Policy::parse(variables.iter().map(|(name, value)| (name, value)), &host);
    for fault in &parsed.faults {
        output.note(fault);
    }
    if !parsed.faults.is_empty() {
        say_whose_limit(vm.process, &host.available, output);
    }
    Ok(parsed.policy)
}

/// Names the cpuset, where one limits the process to fewer CPUs than are online.
fn say_whose_limit(process: Process<'_>, available: &CpuSet, output: &mut Output) {
    if *available == cpuset::online(process.kernel) {
        return;
    }
    if let Some(cpuset) = cpuset::of_thread(process, Tid(process.pid)) {
        output.note(format_args!(
            "process {} is limited to {available} by its cgroup ({})",
            process.shown(),
            cpuset.file.display()
        ));
    }
}
