//! `pinshim run`: starts a command with the library preloaded and its placement in the environment.
//!
//! It becomes that command by execve(2): no process of its own stays beside QEMU.

use crate::arguments::Run;
use crate::commands::{auto, dry_run, require};
use crate::output::exit_status::{NOT_EXECUTABLE, NOT_FOUND, OWN_FAILURE, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::preload::elf::Elf;
use crate::preload::launchers;
use crate::preload::library::{self, Preload};
use crate::preload::reach::{self, Unfit};
use crate::sys::host;
use crate::sys::kernel::Kernel;
use crate::vm::holder;
use pinning::{CpuSet, OnError, Policy, VARIABLES};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts the command in place of this one.
pub(crate) fn run(arguments: &Run, kernel: &dyn Kernel, output: &mut Output) -> Done {
    auto::check(arguments)?;
    let mut placement = arguments.variables();
    let mut leases = Vec::new();
    let mut reasons = Vec::new();
    // The CPUs that nobody else may have, as they were chosen or leased here.
    let mut own_cpus = CpuSet::new();
    if arguments.auto {
        let chosen = auto::choose(arguments, kernel, output)?;
        placement.extend(chosen.placement);
        leases = chosen.leases;
        reasons = chosen.reasons;
        own_cpus = chosen.cpus;
    }
    let environment = environment(std::env::vars_os(), &placement);
    if !Policy::names_placement(pairs(&environment)) {
        return Err(Failure::new("nothing says where the threads belong")
            .next("give --cpus SET or another of the options, or set one of the PIN_* variables")
            .status(OWN_FAILURE));
    }
    let host = host::here(kernel);
    let parsed = Policy::parse_with_nodes(pairs(&environment), &host, host::nodes(kernel).as_ref());
    if parsed.on_error == OnError::Exit || arguments.dry_run {
        for fault in &parsed.faults {
            output.note(fault);
        }
    }
    // When QEMU starts, the library says the warnings itself.
    if arguments.dry_run {
        for warning in &parsed.warnings {
            output.note(format_args!("warning: {warning}"));
        }
    }
    if !parsed.faults.is_empty() && parsed.on_error == OnError::Exit {
        return Ok(OWN_FAILURE);
    }
    let library = library::find().map_err(|failure| failure.status(OWN_FAILURE))?;
    let machine =
        Elf::read(&library).ok().flatten().map(|elf| elf.machine).ok_or_else(|| {
            Failure::new(format!("{} is no library", library.display())).status(OWN_FAILURE)
        })?;
    let name = arguments.command.first().cloned().unwrap_or_default();
    let path = reach::path_of(&name).map_err(unfit)?;
    reach::check(&path, machine).map_err(unfit)?;
    let target =
        environment.iter().find(|(name, _)| name == "PIN_TARGET").map(|(_, value)| value.as_os_str());
    let find = |word: &OsStr| reach::executable_of(word, machine);
    if let Some(doubt) = launchers::doubt(&arguments.command, target, find) {
        output.note(format_args!("warning: {doubt}"));
    }
    if let Some(policy) =
        parsed.policy.as_ref().filter(|_| arguments.exclusive && !arguments.dry_run && !arguments.auto)
    {
        own_cpus = policy.guest_cpus();
        leases = auto::lease(arguments, &own_cpus, kernel, output)?;
    }
    let named = parsed.policy.as_ref().map(Policy::named_cpus).unwrap_or_default();
    if let Some(leased) = holder::warning(kernel, &named.difference(&own_cpus)) {
        output.note(format_args!("warning: {leased}"));
    }
    let Preload { value: preload, behind } = library::first(std::env::var_os("LD_PRELOAD"), &library);
    if let Some(behind) = behind {
        output.note(format_args!(
            "{behind:?} must stay first in LD_PRELOAD, so threads may be created past the library"
        ));
    }
    if arguments.dry_run {
        let policy = parsed.policy.as_ref();
        for unmet in policy.map(|of| dry_run::unmet(of, &arguments.command, target)).unwrap_or_default() {
            output.note(format_args!("warning: {unmet}"));
        }
        let obeyed = obeyed(&environment);
        output.lines(dry_run::lines(&obeyed, &preload, &arguments.command, parsed.policy.as_ref(), &reasons));
        return Ok(SUCCESS);
    }
    if let Some(time) = arguments.require {
        require::begin(time)?;
    }
    let error = Command::new(&path)
        .arg0(&name)
        .args(arguments.command.iter().skip(1))
        .envs(placement)
        .envs(auto::hand_over(&leases)?)
        .env("LD_PRELOAD", preload)
        .exec();
    Err(Failure::new(format!("{} cannot be executed: {error}", path.display())).status(NOT_EXECUTABLE))
}

/// The inherited variables, with those of the options in their place.
fn environment(
    inherited: impl Iterator<Item = (OsString, OsString)>,
    placement: &[(&'static str, String)],
) -> Vec<(OsString, OsString)> {
    let given = |name: &OsString| placement.iter().any(|(given, _)| name == given);
    let given_here = placement.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    inherited.filter(|(name, _)| !given(name)).chain(given_here).collect()
}

/// Of an environment, the variables that the library reads.
fn obeyed(environment: &[(OsString, OsString)]) -> Vec<(&'static str, OsString)> {
    let value_of = |name: &str| environment.iter().find(|(known, _)| known == name);
    VARIABLES.iter().filter_map(|v| Some((v.name, value_of(v.name)?.1.clone()))).collect()
}

fn pairs(environment: &[(OsString, OsString)]) -> impl Iterator<Item = (&OsString, &OsString)> + Clone {
    environment.iter().map(|(name, value)| (name, value))
}

fn unfit(unfit: Unfit) -> Failure {
    match unfit {
        Unfit::NotFound(why) => Failure::new(why).status(NOT_FOUND),
        Unfit::NotExecutable(why) => Failure::new(why).status(NOT_EXECUTABLE),
        Unfit::OutOfReach(why) => Failure::new(why)
            .next("start QEMU itself with `pinshim run`, as the user that it is to run as")
            .status(OWN_FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_go_over_the_inherited_variables() {
        let inherited = [("A", "1"), ("PIN_CPUS", "0"), ("PIN_VHOST", "1")];
        let inherited = inherited.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let made = environment(inherited.into_iter(), &[("PIN_CPUS", "1".to_owned())]);
        let made: Vec<String> = made
            .iter()
            .map(|(name, value)| format!("{}={}", name.to_str().unwrap(), value.to_str().unwrap()))
            .collect();
        assert_eq!(made, ["A=1", "PIN_VHOST=1", "PIN_CPUS=1"]);
    }

    #[test]
    fn of_the_environment_the_variables_that_the_library_reads_are_printed() {
        let environment = [("PIN_LOG", "info"), ("A", "1"), ("PIN_CPUS", "1"), ("PIN_ROOT", "/pin")];
        let environment = environment.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let expected = [("PIN_CPUS", OsString::from("1")), ("PIN_LOG", OsString::from("info"))];
        assert_eq!(obeyed(&environment), expected);
    }
}
