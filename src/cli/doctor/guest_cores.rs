//! Whether the guest sees which of its vCPUs share a core: its own scheduler fills whole cores first.

use crate::doctor::finding::Finding;
use crate::doctor::subject::Subject;
use crate::output::text::count;
use crate::vm::command_line::{Smp, has_topoext, smp, vcpus};
use pinning::CpuSet;
use planning::Topology;
use std::collections::BTreeMap;

const TOPIC: &str = "guest-cores";

/// A vCPU and the host's core that it runs on.
type OnCore = (u32, u32);

/// Compares QEMU's `-smp threads=` (qemu(1)), by which vCPUs in a row are siblings, with the cores of the host.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(seen) = subject.vm else { return Vec::new() };
    let arguments = seen.vm.process.arguments();
    if arguments.is_empty() || vcpus(&arguments).is_none() {
        let what = "not known: QEMU's arguments do not say here which vCPUs share a core (-readconfig, -machine smp.…)";
        let value = if arguments.is_empty() { "nothing" } else { "no -smp" };
        return vec![Finding::note(TOPIC, what).read(seen.vm.process.file("cmdline"), value)];
    }
    let smp = smp(&arguments).unwrap_or(Smp { vcpus: 1, threads: None });
    let threads = smp.threads.unwrap_or(1).max(1);
    let topology = &subject.host.topology;
    let Some(cores) = cores(subject, topology) else {
        let what = "vCPUs may take each other's place, so that the guest cannot know which share a core";
        return if threads > 1 {
            let to_do = "a CPU for each vCPU (pinshim plan chooses them), or -smp threads=1";
            vec![
                Finding::note(TOPIC, what).read(seen.vm.process.file("cmdline"), said(threads)).and_do(to_do),
            ]
        } else {
            Vec::new()
        };
    };
    let finding = match mismatch(&cores, threads) {
        Some(what) => {
            let most = most_on_a_core(&cores);
            let fits = if most == 1 || smp.vcpus % most != 0 {
                "-smp threads=1, or a core for each vCPU".to_owned()
            } else {
                let cores = smp.vcpus / most;
                format!(
                    "-smp {},sockets=1,cores={cores},threads={most}, with siblings next to each other",
                    smp.vcpus
                )
            };
            Finding::fix(TOPIC, what, format!("at its next start: {fits} (pinshim plan --format qemu)"))
        }
        None if threads > 1 && topology.is_amd() && !has_topoext(&arguments) => {
            let what = "the guest does not see its siblings: AMD's processors tell of them by topoext, which it has not";
            Finding::fix(TOPIC, what, "at its next start: -cpu host,topoext=on")
        }
        None => Finding::ok(TOPIC, "the guest sees which of its vCPUs share a core"),
    };
    vec![finding.read(seen.vm.process.file("cmdline"), said(threads))]
}

fn said(threads: u32) -> String {
    format!("-smp threads={threads}")
}

/// The vCPUs with their cores, in the order of the vCPUs; `None` where one has no index or may run on several cores, where
/// there is none, and where two share a CPU.
fn cores(subject: &Subject<'_, '_>, topology: &Topology) -> Option<Vec<OnCore>> {
    let mut cores: Vec<OnCore> = Vec::new();
    let mut taken = CpuSet::new();
    for vcpu in subject.vcpus() {
        let allowed = &vcpu.thread.allowed;
        if !taken.intersection(allowed).is_empty() {
            return None;
        }
        taken = taken.union(allowed);
        let core = topology.get(allowed.iter().next()?)?.core;
        if topology.spanned(allowed, |about| about.core) != 1 {
            return None;
        }
        cores.push((vcpu.index?, core));
    }
    cores.sort_unstable();
    (!cores.is_empty()).then_some(cores)
}

/// How many vCPUs are on the core that has most.
fn most_on_a_core(cores: &[OnCore]) -> u32 {
    let mut on: BTreeMap<u32, u32> = BTreeMap::new();
    cores.iter().for_each(|(_, core)| *on.entry(*core).or_default() += 1);
    on.into_values().max().unwrap_or(1)
}

/// What the guest does not see as it is, in a sentence.
fn mismatch(cores: &[OnCore], threads: u32) -> Option<String> {
    let of_guest = |vcpu: u32| vcpu / threads;
    let mut apart = cores.windows(2).filter(|pair| match pair {
        [(one, on), (other, elsewhere)] => of_guest(*one) == of_guest(*other) && on != elsewhere,
        _ => false,
    });
    if let Some([(one, _), (other, _)]) = apart.next() {
        let more = apart.count();
        let more = if more == 0 { String::new() } else { format!(", and {more} more pairs") };
        return Some(format!(
            "the guest takes vCPUs {one} and {other} for siblings, and they are on different cores{more}"
        ));
    }
    let mut first_on: BTreeMap<u32, u32> = BTreeMap::new();
    let mut unseen = Vec::new();
    for (vcpu, core) in cores {
        let first = *first_on.entry(*core).or_insert(*vcpu);
        if of_guest(first) != of_guest(*vcpu) {
            unseen.push((first, *vcpu));
        }
    }
    let (one, other) = unseen.first()?;
    let more = unseen.len() - 1;
    let more = if more == 0 { String::new() } else { format!(", and of {} more", count(more, "vCPU")) };
    Some(format!("the guest does not know that vCPUs {one} and {other} share a core{more}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said as said_of, smt};
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    /// What is said of the VM `web` with this `-smp`, on cores of these CPUs.
    fn said(smp: &str, siblings: [&str; 4], change: impl Fn(&FakeKernel)) -> Vec<String> {
        let kernel = FakeKernel::new();
        smt(&kernel, siblings);
        let vm = web(&kernel);
        let _ = vm.write("cmdline", format!("/usr/bin/qemu-system-x86_64\0-name\0web\0-smp\0{smp}\0"));
        change(&kernel);
        said_of(&kernel, examine)
    }

    const PAIR: [&str; 4] = ["0", "1-2", "1-2", "3"];
    const NONE: [&str; 4] = ["0", "1", "2", "3"];

    #[test]
    fn a_guest_that_sees_its_cores_as_they_are_is_as_it_should_be() {
        let ok = |threads: u32| {
            format!(
                "ok guest-cores: the guest sees which of its vCPUs share a core (/proc/100/cmdline: -smp threads={threads})"
            )
        };
        assert_eq!(said("2", NONE, |_| {}), [ok(1)]);
        assert_eq!(said("2,threads=2", PAIR, |_| {}), [ok(2)]);
    }

    #[test]
    fn siblings_that_the_guest_takes_for_cores_are_named_and_the_other_way_round() {
        let fix = &said("2", PAIR, |_| {})[0];
        let expected = "fix guest-cores: the guest does not know that vCPUs 0 and 1 share a core (/proc/100/cmdline: -smp \
                        threads=1) -> at its next start: -smp 2,sockets=1,cores=1,threads=2, with siblings next to each \
                        other (pinshim plan --format qemu)";
        assert_eq!(fix, expected);
        let fix = &said("2,threads=2", NONE, |_| {})[0];
        let begin =
            "fix guest-cores: the guest takes vCPUs 0 and 1 for siblings, and they are on different cores (";
        assert!(
            fix.starts_with(begin) && fix.contains("-> at its next start: -smp threads=1, or a core"),
            "{fix}"
        );
    }

    #[test]
    fn on_amds_processors_siblings_take_topoext() {
        let amd = |kernel: &FakeKernel| kernel.write("/proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
        let fix = &said("2,threads=2", PAIR, amd)[0];
        assert!(fix.ends_with("-> at its next start: -cpu host,topoext=on"), "{fix}");
        assert!(said("2", NONE, amd)[0].starts_with("ok guest-cores"));
    }

    #[test]
    fn arguments_that_do_not_say_it_here_are_noted() {
        let elsewhere = |kernel: &FakeKernel| {
            kernel.write("/proc/100/cmdline", "/usr/bin/qemu-system-x86_64\0-readconfig\0f\0")
        };
        assert!(
            said("2", PAIR, elsewhere)[0]
                .starts_with("note guest-cores: not known: QEMU's arguments do not say")
        );
        let hidden = |kernel: &FakeKernel| kernel.deny("/proc/100/cmdline");
        assert!(said("2", PAIR, hidden)[0].ends_with("(/proc/100/cmdline: nothing)"));
    }

    #[test]
    fn vcpus_that_go_from_core_to_core_have_no_siblings() {
        let anywhere = |kernel: &FakeKernel| kernel.move_to(101, "1-3");
        assert_eq!(said("2", PAIR, anywhere), [""; 0]);
        assert_eq!(said("2", PAIR, |kernel| kernel.move_to(101, "2")), [""; 0], "on one CPU");
        assert!(
            said("2,threads=2", PAIR, anywhere)[0].starts_with("note guest-cores: vCPUs may take each other")
        );
    }
}
