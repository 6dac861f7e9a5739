//! Whether anything else may run on the SMT siblings of the CPUs: it would have half of the vCPUs' cores.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, of_first, read};
use crate::doctor::shell;
use crate::doctor::subject::{NOWHERE, Subject};
use crate::doctor::words::named;
use pinning::{CpuSet, RoleKind};
use std::path::PathBuf;

const TOPIC: &str = "siblings";

/// Which CPUs are siblings says sysfs-devices-system-cpu of the kernel's Documentation/ABI/stable (core_cpus_list, before
/// Linux 5.3 thread_siblings_list).
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let topology = &subject.host.topology;
    let cores: Vec<u32> = subject.cpus.iter().filter_map(|cpu| Some(topology.get(cpu)?.core)).collect();
    let on_their_cores = topology.iter().filter(|(_, about)| cores.contains(&about.core)).map(|(cpu, _)| cpu);
    let siblings = on_their_cores.collect::<CpuSet>().difference(&subject.cpus);
    let finding = if topology.threads_per_core() < 2 {
        Finding::ok(TOPIC, "no core has more than one CPU that is online")
    } else if siblings.is_empty() {
        Finding::ok(TOPIC, format!("whole cores: {}", named(&subject.cpus)))
    } else {
        beside(subject, &siblings)
    };
    let (file, list) = list(subject);
    vec![match list {
        Reading::Text(list) => finding.read(file, list),
        Reading::Failed(error) => Finding::unread(TOPIC, file, &error),
        // A kernel without SMT has no such files.
        Reading::Absent => finding,
    }]
}

/// The file that lists the siblings of the first CPU.
fn list(subject: &Subject<'_, '_>) -> (PathBuf, Reading) {
    let files = ["topology/core_cpus_list", "topology/thread_siblings_list"];
    let mut readings = files.map(|file| of_first(&subject.cpus, file)).map(|file| {
        let reading = read(subject.kernel(), &file);
        (file, reading)
    });
    readings.sort_by_key(|(_, reading)| matches!(reading, Reading::Absent));
    let [first, _] = readings;
    first
}

fn beside(subject: &Subject<'_, '_>, siblings: &CpuSet) -> Finding {
    let may = |cpus: &CpuSet| !cpus.intersection(siblings).is_empty();
    let own = subject.vm.map(|seen| seen.where_may_run(|role| role != RoleKind::Vcpu));
    let own = own.filter(may).map(|_| "the VM's own other threads".to_owned());
    let others = subject.others().filter(|other| may(&other.where_may_run(|_| true)));
    let who: Vec<String> = own.into_iter().chain(others.map(|other| other.vm.title())).collect();
    let is_core_scheduled = subject
        .vm
        .is_some_and(|seen| seen.look.content.as_ref().is_ok_and(|content| content.policy.core_scheduling()));
    let topology = &subject.host.topology;
    let are_isolated = siblings.iter().all(|cpu| topology.get(cpu).is_some_and(|about| about.is_isolated));
    match who.split_first() {
        Some((first, more)) => {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more VMs", more.len()) };
            let what =
                format!("{first}{more} may run on {}, the SMT siblings of {}", named(siblings), subject.cpus);
            let to_do = match subject.elsewhere().map(|cpus| cpus.difference(siblings)) {
                Some(cpus) if !cpus.is_empty() => {
                    format!(
                        "leave {} to nobody, or to the VM's vCPUs: others can go to {cpus}",
                        named(siblings)
                    )
                }
                _ => NOWHERE.to_owned(),
            };
            Finding::fix(TOPIC, what, to_do)
        }
        None if is_core_scheduled => Finding::ok(
            TOPIC,
            format!("while the VM runs, nothing else runs on {} (PIN_CORE=vm)", named(siblings)),
        ),
        None if are_isolated => Finding::ok(
            TOPIC,
            format!("their siblings are isolated, and no VM has them: {}", named(siblings)),
        ),
        None => {
            let what =
                format!("any program may run on {}, the SMT siblings of {}", named(siblings), subject.cpus);
            let to_do = format!(
                "start the VM with PIN_CORE=vm; or leave them idle, as root: for cpu in {}; do echo 0 > \
                 /sys/devices/system/cpu/cpu$cpu/online; done",
                shell::each(siblings)
            );
            Finding::note(TOPIC, what).and_do(to_do)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus, smt};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{web, web_with};

    const READ: &str = "(/sys/devices/system/cpu/cpu1/topology/core_cpus_list: 0-1)";

    #[test]
    fn a_core_of_one_cpu_has_no_siblings() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(said(&kernel, examine), ["ok siblings: no core has more than one CPU that is online"]);
    }

    #[test]
    fn the_emulator_on_a_sibling_is_to_be_moved() {
        let kernel = FakeKernel::new();
        smt(&kernel, ["0-1", "0-1", "2-3", "2-3"]);
        web(&kernel);
        let fix = "fix siblings: the VM's own other threads may run on CPUs 0,3, the SMT siblings of 1-2 \
                   (/sys/devices/system/cpu/cpu1/topology/core_cpus_list: 0-1) -> ";
        assert_eq!(said(&kernel, examine), [format!("{fix}{NOWHERE}")]);
    }

    #[test]
    fn another_vm_on_a_sibling_is_to_be_moved() {
        let kernel = FakeKernel::new();
        smt(&kernel, ["0-1", "0-1", "2-3", "2-3"]);
        kernel.process(200, &["/usr/bin/qemu-system-x86_64", "-name", "db"]).thread(200, "q", "0");
        let fix = format!(
            "fix siblings: db (PID 200) may run on CPU 0, the SMT siblings of 1 {READ} -> leave CPU 0 to nobody, or to the VM's \
             vCPUs: others can go to 2-3"
        );
        assert_eq!(said_of_cpus(&kernel, "1", examine), [fix]);
        let whole = format!("ok siblings: whole cores: CPUs 0-1 {}", READ.replace("cpu1", "cpu0"));
        assert_eq!(said_of_cpus(&kernel, "0-1", examine), [whole]);
    }

    #[test]
    fn a_sibling_that_is_free_may_be_taken_by_any_program_unless_it_is_kept_free() {
        let kernel = FakeKernel::new();
        smt(&kernel, ["0-1", "0-1", "2-3", "2-3"]);
        let note = &said_of_cpus(&kernel, "1", examine)[0];
        assert!(
            note.starts_with("note siblings: any program may run on CPU 0, the SMT siblings of 1"),
            "{note}"
        );
        assert!(
            note.contains("for cpu in 0; do echo 0 > /sys/devices/system/cpu/cpu$cpu/online; done"),
            "{note}"
        );
        kernel.write("/sys/devices/system/cpu/isolated", "0\n");
        assert!(
            said_of_cpus(&kernel, "1", examine)[0]
                .starts_with("ok siblings: their siblings are isolated, and no VM has them: CPU 0")
        );
    }

    #[test]
    fn core_scheduling_keeps_programs_off_the_siblings() {
        let kernel = FakeKernel::new();
        smt(&kernel, ["0", "1,3", "2", "1,3"]);
        web_with(&kernel, &[("PIN_CORE", "vm")]);
        kernel.move_to(103, "0");
        assert_eq!(
            said(&kernel, examine)[0].split(" (/sys").next().unwrap(),
            "ok siblings: while the VM runs, nothing else runs on CPU 3 (PIN_CORE=vm)"
        );
    }

    #[test]
    fn a_list_that_cannot_be_read_is_said_to_be_so() {
        let kernel = FakeKernel::new();
        smt(&kernel, ["0-1", "0-1", "2-3", "2-3"]);
        kernel.deny("/sys/devices/system/cpu/cpu1/topology");
        assert!(
            said_of_cpus(&kernel, "1", examine)[0]
                .starts_with("note siblings: not known: it could not be read")
        );
    }
}
