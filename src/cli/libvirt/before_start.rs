//! What is wrong with a domain's placement, as far as it can be told before QEMU starts.

use crate::libvirt::domain_xml::Domain;
use crate::libvirt::faults::Faults;
use crate::libvirt::policy::{self, unknown_cpus};
use crate::sys::kernel::Kernel;
use pinning::{CpuSet, OnError, Policy, Role, Unmet, VcpuIndex};

/// The verdict on a domain's XML.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What keeps it from starting.
    pub(crate) faults: Faults,
    /// What does not, and should be known.
    pub(crate) warnings: Faults,
}

/// Judges what the XML says. A domain without a placement has faults only where something else stands in a namespace of
/// pinshim's.
pub(crate) fn judge_before_start(kernel: &dyn Kernel, domain: &Domain) -> Judged {
    let mut judged = Judged { faults: domain.faults.clone(), warnings: Faults::default() };
    if domain.placement.is_none() {
        return judged;
    }
    let parsed = policy::parse(domain, kernel);
    let of_values = if parsed.on_error == OnError::Exit { &mut judged.faults } else { &mut judged.warnings };
    of_values.extend(&parsed.faults);
    judged.warnings.extend(&parsed.warnings);
    if let Some(policy) = policy::of_its_own(domain, kernel) {
        judged.faults.extend(unknown_threads(domain, &policy));
        if domain.is_exclusive && policy.guest_cpus().is_empty() {
            judged
                .faults
                .add("exclusive keeps the CPUs of vCPUs and IOThreads, and <pin:placement> names none");
        }
        judged.warnings.extend(against_tuning(domain, &policy));
    }
    judged
}

/// The vCPUs and IOThreads that the placement names and the domain can never have, each a sentence.
fn unknown_threads(domain: &Domain, policy: &Policy) -> Vec<String> {
    // libvirt always says how many.
    let Some(vcpus) = domain.threads.vcpus() else { return Vec::new() };
    let iothreads = domain.threads.iothreads();
    let known: Vec<&[u8]> = iothreads.iter().map(String::as_bytes).collect();
    let sentence = |unmet: Unmet| match unmet {
        Unmet::Vcpus(first, last) => {
            let which = if first == last { format!("vCPU {first}") } else { format!("vCPUs {first}-{last}") };
            format!("<pin:placement> places {which}, and the domain has {}", vcpus.len())
        }
        Unmet::IoThread(id) => {
            let all = if iothreads.is_empty() { "none".to_owned() } else { iothreads.join(", ") };
            format!(
                "<pin:placement> places IOThread {id}, and the domain has {all}; *@CPUS places those that come later"
            )
        }
        // Nothing of the domain says how many vhost workers its QEMU will have.
        other @ (Unmet::VhostWorkers(..) | Unmet::Rule(_)) => other.to_string(),
    };
    let by_argument = |unmet: &Unmet| match unmet {
        Unmet::IoThread(id) => domain.threads.an_argument_names(id),
        Unmet::Vcpus(..) | Unmet::VhostWorkers(..) | Unmet::Rule(_) => false,
    };
    policy.unmet(&vcpus, &known).into_iter().filter(|unmet| !by_argument(unmet)).map(sentence).collect()
}

/// The threads to which `<cputune>` leaves none of the CPUs of the placement, each a sentence.
fn against_tuning(domain: &Domain, policy: &Policy) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut compare = |who: String, element: &str, role: Option<(Role<'_>, u32)>, pinned: &CpuSet| {
        let set =
            role.map_or(policy.emulator(), |(role, order)| policy.cpus_for(role, order, policy.emulator()));
        let belongs = policy.set(set);
        if *belongs != unknown_cpus() && belongs.intersection(pinned).is_empty() {
            sentences.push(format!(
                "{who} belongs on {belongs}, and <{element}> of <cputune> leaves it only {pinned}: it is going to run there"
            ));
        }
    };
    for (index, pinned) in domain.tuning.vcpus() {
        compare(format!("vCPU {index}"), "vcpupin", Some((Role::Vcpu(VcpuIndex(index)), 0)), &pinned);
    }
    let iothreads = domain.threads.iothreads();
    for (number, pinned) in domain.tuning.iothreads() {
        let id = format!("iothread{number}");
        let order = iothreads.iter().position(|known| *known == id).unwrap_or_default();
        let role = Role::IoThread(id.as_bytes());
        compare(id.clone(), "iothreadpin", Some((role, u32::try_from(order).unwrap_or(0))), &pinned);
    }
    if let Some(pinned) = domain.tuning.of_emulator() {
        compare("the emulator".to_owned(), "emulatorpin", None, &pinned);
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;

    /// The faults and the warnings of a domain with three vCPUs, IOThreads 1 and 4, and this in it.
    fn judged(attributes: &str, more: &str) -> (Vec<String>, Vec<String>) {
        let xml = format!(
            "<domain><uuid>7430d5d9-a334-461e-af4e-526061963a0d</uuid><vcpu current='2'>3</vcpu>\
             <iothreads>2</iothreads><iothreadids><iothread id='4'/></iothreadids>{more}<metadata>\
             <pin:placement xmlns:pin='urn:pinshim:domain:1' {attributes}/></metadata></domain>"
        );
        let kernel = FakeKernel::new();
        let judged = judge_before_start(&kernel, &Domain::read(xml.as_bytes()).unwrap());
        (judged.faults.lines(), judged.warnings.lines())
    }

    fn fine() -> (Vec<String>, Vec<String>) {
        (Vec::new(), Vec::new())
    }

    #[test]
    fn threads_that_the_domain_cannot_have_are_faults() {
        assert_eq!(judged("vcpus='0@0,2@1' iothreads='iothread1@0,iothread4@1'", ""), fine());
        assert_eq!(judged("vcpus='*@0' iothreads='*@0'", ""), fine());
        assert_eq!(judged("vcpus='0,1,2,3'", ""), fine());
        let (faults, _) = judged("vcpus='5@0,2-4@[1]' iothreads='iothread9@1'", "");
        let expected = [
            "<pin:placement> places vCPUs 3-4, and the domain has 3",
            "<pin:placement> places vCPU 5, and the domain has 3",
            "<pin:placement> places IOThread iothread9, and the domain has iothread1, iothread4; *@CPUS places those \
             that come later",
        ];
        assert_eq!(faults, expected);
        let argument = "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg value='-object'/>\
                        <q:arg value='iothread,id=mine'/></q:commandline>";
        assert_eq!(judged("iothreads='mine@1'", argument), fine());
        assert_eq!(judged("iothreads='min@1'", argument).0.len(), 1);
    }

    #[test]
    fn a_pin_of_libvirts_that_leaves_no_cpu_of_the_placement_is_told_with_both_numbers() {
        let tuning = "<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='2-3'/>\
                      <iothreadpin iothread='4' cpuset='1'/><emulatorpin cpuset='3'/></cputune>";
        let (faults, warnings) = judged("vcpus='*@1' iothreads='0,2' emulator='0'", tuning);
        let leaves = |who: &str, on: &str, element: &str, only: &str| {
            format!(
                "{who} belongs on {on}, and <{element}> of <cputune> leaves it only {only}: it is going to run there"
            )
        };
        let expected = [
            leaves("vCPU 1", "1", "vcpupin", "2-3"),
            leaves("iothread4", "2", "iothreadpin", "1"),
            leaves("the emulator", "0", "emulatorpin", "3"),
        ];
        assert_eq!((faults, warnings), (Vec::new(), expected.to_vec()));
        // Where QEMU's own CPUs are libvirt's choice, nothing is against it.
        assert_eq!(judged("vcpus='0@1,1@[2-3]'", tuning), fine());
        assert_eq!(judged("vcpus='0@1,1@[1-2]'", tuning), fine());
    }

    #[test]
    fn what_is_to_be_exclusive_has_to_be_named() {
        assert_eq!(judged("vcpus='*@1' emulator='0' exclusive='yes'", ""), fine());
        let (faults, _) = judged("cpus='1' exclusive='yes'", "");
        assert_eq!(
            faults,
            ["exclusive keeps the CPUs of vCPUs and IOThreads, and <pin:placement> names none"]
        );
    }

    #[test]
    fn a_number_in_place_of_an_iothreads_id_is_told_which_id_it_has() {
        let (faults, _) = judged("iothreads='4@1'", "");
        assert!(
            faults[0].contains("4 is not the id of an IOThread") && faults[0].contains("iothread4"),
            "{faults:?}"
        );
    }
}
