//! `pinshim plan`: chooses the CPUs of VMs, and says why these.

use crate::arguments::{Format, Plan as Arguments};
use crate::lease::taken;
use crate::output::exit_status::{FAILED, NO_ROOM, SUCCESS};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::present::plan as present;
use crate::sys::host_tree::HostTree;
use crate::sys::kernel::Kernel;
use crate::sys::{near, saved_host, topology};
use crate::vm::occupied;
use pinning::{CpuSet, Fault};
use planning::{Free, NoPlan, Plan, Request, Taken, Topology, plan};

/// Plans, or saves what a plan is made of.
pub(crate) fn plan_vms(arguments: &Arguments, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let tree = match &arguments.sysfs {
        Some(folder) => HostTree::copy(kernel, folder),
        None => HostTree::here(kernel),
    };
    let topology = topology::read(&tree);
    if topology.cpus().is_empty() {
        let what = match &arguments.sysfs {
            Some(folder) => format!(
                "{} is no copy of a host: there is no CPU in its sys/devices/system/cpu",
                folder.display()
            ),
            None => "/sys does not say which CPUs this host has".to_owned(),
        };
        return Err(Failure::new(what).next("`pinshim plan --save-host FOLDER` makes a copy"));
    }
    if let Some(folder) = &arguments.save_host {
        saved_host::save(&tree, folder).map_err(|error| {
            Failure::new(format!(
                "the copy of the host could not be written to {}: {error}",
                folder.display()
            ))
        })?;
        return Ok(SUCCESS);
    }
    let free = free(arguments, &tree, &topology)?;
    let request = request(arguments, &tree, &topology)?;
    let mut plans: Vec<Plan> = Vec::new();
    for number in 1..=arguments.vms {
        match plan(&topology, &free_beside(&free, &plans), &request) {
            Ok(plan) => plans.push(plan),
            Err(none) => {
                // A program that asks is told what the host is in any case.
                if arguments.format == Format::Json {
                    present::print_json(output, &[], &topology)?;
                }
                return Err(no_plan(&none, number, arguments.vms));
            }
        }
    }
    match arguments.format {
        Format::Table => output.lines(present::table(&plans, &topology, &free)),
        Format::Env => output.lines(present::environment(&plans)),
        Format::Libvirt => output.lines(present::libvirt(&plans)),
        Format::Qemu => output.lines(present::qemu(&plans)),
        Format::Json => present::print_json(output, &plans, &topology)?,
    }
    Ok(SUCCESS)
}

fn no_plan(none: &NoPlan, number: u32, vms: u32) -> Failure {
    let status = if matches!(none, NoPlan::Room { .. }) { NO_ROOM } else { FAILED };
    let which = if vms > 1 { format!("VM {number} of {vms}: ") } else { String::new() };
    Failure::new(format!("{which}{none}")).status(status)
}

/// What of the host may be used. Of a copy all of it: who runs there is not known.
fn free(arguments: &Arguments, tree: &HostTree<'_>, topology: &Topology) -> Result<Free, Failure> {
    let mut free = if arguments.sysfs.is_some() {
        Free { available: topology.cpus(), memory: topology::free_memory(tree), ..Free::default() }
    } else {
        occupied::free(tree, topology, &taken::of_user(tree.kernel()))?.free
    };
    if let Some(text) = &arguments.reserve {
        free.reserved = set("--reserve", text, &free.available)?;
    }
    Ok(free)
}

/// The same, less what VMs that are planned already have.
fn free_beside(free: &Free, plans: &[Plan]) -> Free {
    let mut free = free.clone();
    for (number, plan) in (1..).zip(plans) {
        free.taken.push(Taken { cpus: plan.cpus(), by: format!("VM {number}"), is_leased: false });
    }
    free
}

fn request(arguments: &Arguments, tree: &HostTree<'_>, topology: &Topology) -> Result<Request, Failure> {
    let near = match &arguments.near {
        None => None,
        Some(device) => Some(near::near(tree, device).ok_or_else(|| {
            Failure::new(format!(
                "--near {device}: there is no such device, or it is near no CPUs in particular"
            ))
            .next("name a PCI address such as 0000:03:00.0, a network interface or a disk")
        })?),
    };
    Ok(Request {
        vcpus: arguments.vcpus.unwrap_or(1),
        iothreads: arguments.iothreads,
        threads_per_core: arguments.threads_per_core,
        node: arguments.node,
        near: near.map(|near| near.intersection(&topology.cpus())),
        memory: arguments.memory,
    })
}

/// A set that an option names.
pub(crate) fn set(option: &'static str, text: &str, all: &CpuSet) -> Result<CpuSet, Failure> {
    CpuSet::parse(text, all).map_err(|mistakes| {
        let faults =
            mistakes.into_iter().map(|mistake| Fault { variable: option, value: text.to_owned(), mistake });
        Failure::new(faults.map(|fault| fault.to_string()).collect::<Vec<_>>().join("\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, from_words};
    use crate::output::transcript::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    /// A host with CPUs 0 to 3 that share one cache.
    fn host() -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.write("/sys/devices/system/cpu/online", "0-3\n");
        kernel
    }

    fn planned(kernel: &FakeKernel, words: &str) -> (u8, String) {
        let Command::Plan(arguments) = from_words(&format!("pinshim plan {words}")) else {
            panic!("{words}")
        };
        said(|output| plan_vms(&arguments, kernel, output))
    }

    #[test]
    fn vms_that_are_planned_together_have_nothing_in_common() {
        let both = planned(&host(), "--vcpus 1 --vms 2 --format env");
        assert_eq!(both, (0, "PIN_CPUS=0 PIN_VCPUS=1\nPIN_CPUS=3 PIN_VCPUS=2\n".to_owned()));
        let (status, text) = planned(&host(), "--vcpus 1 --vms 3");
        let expected = "2> pinshim: VM 3 of 3: no room for 1 vCPU (one a core) and a core for the emulator: that \
                        is 2 cores, none is free; VM 1 has 0-1; VM 2 has 2-3; no VM would fit\n";
        assert_eq!((status, text.as_str()), (1, expected));
    }

    #[test]
    fn what_runs_and_what_is_reserved_is_left_alone() {
        let kernel = host();
        web(&kernel);
        let (status, text) = planned(&kernel, "--vcpus 1 --reserve 0");
        let expected = "2> pinshim: no room for 1 vCPU (one a core) and a core for the emulator: that is 2 cores, none \
                        is free; web (PID 100) has 1-3; reserved: 0; no VM would fit\n";
        assert_eq!((status, text.as_str()), (1, expected));
        kernel.end_process(100);
        assert_eq!(planned(&kernel, "--vcpus 2 --reserve 0 --format env").1, "PIN_CPUS=3 PIN_VCPUS=1,2\n");
    }

    #[test]
    fn a_word_that_is_not_understood_is_named() {
        let kernel = host();
        for (words, expected) in [
            ("--vcpus 1 --reserve 9-x", "--reserve=9-x: column 1: 9-x is not a set of CPUs"),
            ("--vcpus 1 --near eth9", "--near eth9: there is no such device"),
            ("--vcpus 1 --node 7", "there is no NUMA node 7"),
            ("--vcpus 0", "0 vCPUs: a VM has 1 to 4096"),
            ("--vcpus 1 --sysfs /nowhere", "/nowhere is no copy of a host"),
        ] {
            let (status, text) = planned(&kernel, words);
            assert!(status == 2 && text.contains(expected), "{words}: {status} {text}");
        }
    }
}
