//! `pinshim run --auto` and `--exclusive`: chooses CPUs for the VM that is started, and keeps them for it.

use crate::arguments::Run;
use crate::commands::waiting::{Busy, Waiting};
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
use crate::vm::occupied::Beside;
use crate::vm::{command_line, holder, occupied};
use pinning::CpuSet;
use planning::{Free, NoPlan, Plan, Reason, Request, Topology, plan};
use std::fs::File;

/// CPUs for a VM.
pub(crate) struct Chosen {
    /// The variables that say so.
    pub(crate) placement: Vec<(&'static str, String)>,
    /// All of them.
    pub(crate) cpus: CpuSet,
    /// Why these, in sentences.
    pub(crate) reasons: Vec<String>,
    /// Its leases, if they were asked for.
    pub(crate) leases: Vec<File>,
}

/// Refuses options that contradict each other, with what to do instead.
///
/// # Errors
/// In a sentence.
pub(crate) fn check(arguments: &Run) -> Result<(), Failure> {
    let placement = &arguments.placement;
    let named = [
        ("--cpus", &placement.cpus),
        ("--vcpus", &placement.vcpus),
        ("--iothreads", &placement.iothreads),
        ("--emulator", &placement.emulator),
    ];
    if let Some((option, _)) = named.iter().find(|(_, value)| arguments.auto && value.is_some()) {
        return Err(failure(format!("--auto chooses what {option} says")).next(
            "leave one of them out, or start from what `pinshim plan` chooses: \
             env $(pinshim plan --vcpus N --format env) pinshim run --exclusive …",
        ));
    }
    if arguments.wait.is_some() && !arguments.auto && !arguments.exclusive {
        return Err(failure(
            "--wait waits for CPUs that other VMs have, and without --exclusive or --auto none is refused",
        )
        .next("give --exclusive, or leave out --wait"));
    }
    Ok(())
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
    let mut waiting = Waiting::new(kernel, arguments.wait);
    let (plan, leases) = loop {
        let (none, beside) = match attempt(arguments, &host, &topology, &request).map_err(own)? {
            Ok(done) => break done,
            Err(tried) => tried,
        };
        if let Some(never) = never(&none, &topology, &beside.free, &request) {
            return Err(failure(never));
        }
        let busy = || Ok(Busy { why: none.to_string(), is_passing: beside.is_passing });
        if let Some(refused) = waiting.pause(busy, output).map_err(own)? {
            return Err(own(refused));
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
    let compromises = plan.reasons.iter().filter(|reason| reason.is_compromise()).map(Reason::to_string);
    let compromises: Vec<String> = compromises.collect();
    // In a dry run they are among the reasons.
    if !compromises.is_empty() && !arguments.dry_run {
        output.note(format_args!("the best CPUs that are free: {}", compromises.join("; ")));
    }
    Ok(Chosen {
        placement: present::variables(&plan),
        cpus: plan.cpus(),
        reasons: plan.reasons.iter().map(Reason::to_string).collect(),
        leases,
    })
}

/// Why it makes no sense to wait for other VMs, if so.
fn never(none: &NoPlan, topology: &Topology, free: &Free, request: &Request) -> Option<String> {
    if !matches!(none, NoPlan::Room { .. }) || free.taken.is_empty() {
        return Some(none.to_string());
    }
    let alone = Free { taken: Vec::new(), shared: Vec::new(), ..free.clone() };
    plan(topology, &alone, request).err().map(|never| format!("even without other VMs: {never}"))
}

/// One try, which leaves alone what others have leased.
#[allow(
    clippy::type_complexity,
    reason = "a plan with its leases, or none with what it was made of; used once"
)]
fn attempt(
    arguments: &Run,
    host: &HostTree<'_>,
    topology: &Topology,
    request: &Request,
) -> Result<Result<(Plan, Vec<File>), (NoPlan, Beside)>, Failure> {
    let kernel = host.kernel();
    if !arguments.exclusive {
        let beside = occupied::free(host, topology, &taken::of_user(kernel))?;
        let plan = plan(topology, &beside.free, request);
        return Ok(plan.map(|plan| (plan, Vec::new())).map_err(|none| (none, beside)));
    }
    // Nobody else plans or leases meanwhile, so that what is free is still free when it is leased.
    let folder = Folder::of_user(kernel)?;
    let mutex = folder.mutex(kernel)?;
    let mut leased = taken::leased(kernel, &folder, &mutex)?;
    leased.extend(taken::of_root(kernel));
    let beside = occupied::free(host, topology, &leased)?;
    let plan = match plan(topology, &beside.free, request) {
        Ok(plan) => plan,
        Err(none) => return Ok(Err((none, beside))),
    };
    if arguments.dry_run {
        return Ok(Ok((plan, Vec::new())));
    }
    let leases = folder.take(kernel, &plan.cpus(), &mutex)?;
    let leases = leases.map_err(|busy| Failure::new(format!("somebody has leased {busy} just now")))?;
    Ok(Ok((plan, leases)))
}

/// Leases the CPUs that a placement gives to the guest.
///
/// # Errors
/// Somebody has one of them, and goes on to have it while it is waited for.
pub(crate) fn lease(
    arguments: &Run,
    cpus: &CpuSet,
    kernel: &dyn Kernel,
    output: &mut Output,
) -> Result<Vec<File>, Failure> {
    if cpus.is_empty() {
        return Err(failure("--exclusive keeps the CPUs of vCPUs and IOThreads, and none is named")
            .next("give --vcpus, or --auto"));
    }
    let folder = Folder::of_user(kernel).map_err(own)?;
    let mut waiting = Waiting::new(kernel, arguments.wait);
    loop {
        let mutex = folder.mutex(kernel).map_err(own)?;
        let roots = taken::among(taken::of_root(kernel), cpus);
        let mut busy = cpus.clone();
        if roots.is_empty() {
            busy = match folder.take(kernel, cpus, &mutex).map_err(own)? {
                Ok(leases) => return Ok(leases),
                Err(busy) => busy,
            };
        }
        let who = || {
            let mut all = taken::among(taken::leased(kernel, &folder, &mutex)?, &busy);
            // Nobody else leases or plans until this is dropped.
            drop(mutex);
            all.extend(roots);
            let who = holder::sentences(kernel, &all).join("; ");
            Ok(Busy {
                why: if all.is_empty() { format!("somebody had leased {busy} a moment ago") } else { who },
                is_passing: all.iter().all(|leased| leased.is_passing(kernel)),
            })
        };
        if let Some(refused) = waiting.pause(who, output).map_err(own)? {
            return Err(own(refused));
        }
    }
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
