//! `pinshim run --auto` and `--exclusive`: chooses CPUs for the VM that is started, and keeps them for it.

use crate::arguments::Run;
use crate::lease::folder::Folder;
use crate::lease::leave_open::leave_open;
use crate::lease::taken;
use crate::output::exit_status::OWN_FAILURE;
use crate::output::failure::Failure;
use crate::output::print::Output;
use crate::present::plan as present;
use crate::sys::host_tree::HostTree;
use crate::sys::kernel::Kernel;
use crate::sys::topology;
use crate::vm::{command_line, occupied};
use pinning::CpuSet;
use planning::{NoPlan, Plan, Request, Topology, plan};
use std::fs::File;
use std::time::Duration;

/// How long to wait before it is tried again whether there is room.
const PAUSE: Duration = Duration::from_millis(200);

/// CPUs for a VM.
pub(crate) struct Chosen {
    /// The variables that say so.
    pub(crate) placement: Vec<(&'static str, String)>,
    /// Its leases, if they were asked for.
    pub(crate) leases: Vec<File>,
}

/// Chooses CPUs for the VM that a command starts.
///
/// # Errors
/// The command does not say how many vCPUs the VM has, there is no room, or the leases cannot be had.
pub(crate) fn choose(arguments: &Run, kernel: &dyn Kernel, output: &mut Output) -> Result<Chosen, Failure> {
    let smp = command_line::smp(&arguments.command).ok_or_else(|| {
        failure("--auto counts the vCPUs of QEMU's -smp, and there is none in COMMAND")
            .next("give -smp to QEMU here, or choose with `pinshim plan --vcpus N`")
    })?;
    let iothreads = command_line::iothreads(&arguments.command).len();
    let request = Request {
        vcpus: smp.vcpus,
        iothreads: u32::try_from(iothreads).unwrap_or(u32::MAX),
        ..Request::default()
    };
    let host = HostTree::here(kernel);
    let topology = topology::read(&host);
    let until = kernel.now() + arguments.wait.unwrap_or_default();
    let (plan, leases) = loop {
        match attempt(arguments, &host, &topology, &request).map_err(own)? {
            Ok(done) => break done,
            Err(NoPlan::Room { .. }) if kernel.now() < until => kernel.sleep(PAUSE),
            Err(none) => return Err(failure(none.to_string())),
        }
    };
    if smp.threads.unwrap_or(1) != plan.guest.threads {
        output.note(format_args!(
            "the guest does not see which vCPUs share a core: the one that fits is -smp {}",
            plan.guest
        ));
    }
    if plan.needs_topoext && !command_line::has_topoext(&arguments.command) {
        output.note("AMD's processors show the guest siblings only with topoext: -cpu host,topoext=on");
    }
    Ok(Chosen { placement: present::variables(&plan), leases })
}

/// One try, which leaves alone what others have leased.
fn attempt(
    arguments: &Run,
    host: &HostTree<'_>,
    topology: &Topology,
    request: &Request,
) -> Result<Result<(Plan, Vec<File>), NoPlan>, Failure> {
    let kernel = host.kernel();
    if !arguments.exclusive {
        let free = occupied::free(host, topology, &taken::of_user(kernel))?;
        return Ok(plan(topology, &free, request).map(|plan| (plan, Vec::new())));
    }
    // Nobody else plans or leases meanwhile, so that what is free is still free when it is leased.
    let folder = Folder::of_user(kernel)?;
    let mutex = folder.mutex(kernel)?;
    let free = occupied::free(host, topology, &taken::leased(kernel, &folder, &mutex)?)?;
    let plan = match plan(topology, &free, request) {
        Ok(plan) => plan,
        Err(none) => return Ok(Err(none)),
    };
    if arguments.dry_run {
        return Ok(Ok((plan, Vec::new())));
    }
    let leases = folder.take(kernel, &plan.cpus(), &mutex)?.map_err(|busy| is_leased(&busy, None))?;
    Ok(Ok((plan, leases)))
}

/// Leases the CPUs that a placement gives to the guest.
///
/// # Errors
/// Somebody has one of them, and goes on to have it while it is waited for.
pub(crate) fn lease(arguments: &Run, cpus: &CpuSet, kernel: &dyn Kernel) -> Result<Vec<File>, Failure> {
    if cpus.is_empty() {
        return Err(failure("--exclusive keeps the CPUs of vCPUs and IOThreads, and none is named")
            .next("give --vcpus, or --auto"));
    }
    let folder = Folder::of_user(kernel).map_err(own)?;
    let until = kernel.now() + arguments.wait.unwrap_or_default();
    loop {
        let mutex = folder.mutex(kernel).map_err(own)?;
        let busy = match folder.take(kernel, cpus, &mutex).map_err(own)? {
            Ok(leases) => return Ok(leases),
            Err(busy) => busy,
        };
        if kernel.now() >= until {
            let leased = taken::leased(kernel, &folder, &mutex).map_err(own)?;
            let holder = leased.iter().find(|leased| !leased.cpus.intersection(&busy).is_empty());
            return Err(is_leased(&busy, holder.and_then(|holder| holder.pid)));
        }
        drop(mutex);
        kernel.sleep(PAUSE);
    }
}

fn is_leased(busy: &CpuSet, pid: Option<i32>) -> Failure {
    let by = pid.map_or("another VM".to_owned(), |pid| format!("process {pid}"));
    failure(format!("{by} has leased {busy}")).next("choose other CPUs, or wait for them with --wait SECONDS")
}

/// Leaves leases open for the program that takes this process's place, and the variable that names them.
///
/// # Errors
/// A descriptor cannot be kept open.
pub(crate) fn hand_over(leases: &[File]) -> Result<Option<(&'static str, String)>, Failure> {
    leave_open(leases).map_err(|error| failure(format!("the leases cannot be kept: {error}")))
}

fn failure(what: impl Into<String>) -> Failure {
    own(Failure::new(what))
}

/// The same failure, as `run` ends with it.
fn own(failure: Failure) -> Failure {
    failure.status(OWN_FAILURE)
}
