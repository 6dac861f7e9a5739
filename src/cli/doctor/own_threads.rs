//! Whether vCPUs have their CPUs for themselves within the VM.

use crate::doctor::finding::Finding;
use crate::doctor::subject::{NOWHERE, Subject, by_whom};
use crate::output::text::count;
use crate::vm::expected::VmThread;
use pinning::{CpuSet, RoleKind};
use std::collections::BTreeMap;

const TOPIC: &str = "own-threads";

/// So many vCPUs are named in a command.
const VCPUS: usize = 32;

/// Looks at the VM's threads: those that are no vCPUs, then the vCPUs beside one another.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(seen) = subject.vm else { return Vec::new() };
    if subject.vcpus().next().is_none() {
        let why = "no thread is known to be a vCPU, so all of them are taken for vCPUs";
        return vec![
            Finding::note(TOPIC, why)
                .read(seen.vm.process.file("task/*/comm"), "no CPU N/KVM or CPU N/TCG")
                .and_do("start QEMU under pinshim, or with -name NAME,debug-threads=on"),
        ];
    }
    vec![others(subject), among_themselves(subject)]
}

/// The VM's threads that are no vCPUs and may run on a vCPU's CPU.
fn others(subject: &Subject<'_, '_>) -> Finding {
    let is_other = |thread: &&VmThread| thread.role != RoleKind::Vcpu;
    let may = |thread: &&VmThread| !thread.thread.allowed.intersection(&subject.cpus).is_empty();
    let guests: Vec<&VmThread> = subject.threads().iter().filter(is_other).filter(may).collect();
    let Some(first) = guests.first() else {
        return Finding::ok(
            TOPIC,
            format!("no other thread of the VM may run on its vCPUs' CPUs ({})", subject.cpus),
        );
    };
    let mut roles: BTreeMap<String, usize> = BTreeMap::new();
    guests.iter().for_each(|thread| *roles.entry(thread.role.to_string()).or_default() += 1);
    let roles: Vec<String> = roles.into_iter().map(|(role, number)| format!("{number} {role}")).collect();
    let shared = guests.iter().fold(CpuSet::new(), |all, thread| all.union(&thread.thread.allowed));
    let what = format!(
        "{} of the VM may run on vCPUs' CPUs ({}): {}",
        count(guests.len(), "other thread"),
        shared.intersection(&subject.cpus),
        roles.join(", ")
    );
    Finding::fix(TOPIC, what, apart(subject)).read_affinity(status(subject, first), &first.thread.allowed)
}

/// Where a thread may run is read there.
fn status(subject: &Subject<'_, '_>, thread: &VmThread) -> String {
    let pid = subject.vm.map_or(0, |seen| seen.vm.process.pid);
    format!("/proc/{pid}/task/{}/status", thread.thread.tid)
}

/// The command that leaves the vCPUs where they are and moves all other threads elsewhere.
fn apart(subject: &Subject<'_, '_>) -> String {
    let (Some(seen), Some(elsewhere)) = (subject.vm, subject.elsewhere()) else { return NOWHERE.to_owned() };
    let pid = seen.vm.process.pid;
    let vcpus: Option<Vec<String>> =
        subject.vcpus().map(|vcpu| Some(format!("{}@[{}]", vcpu.index?, vcpu.thread.allowed))).collect();
    match vcpus.filter(|vcpus| vcpus.len() <= VCPUS) {
        Some(vcpus) => format!(
            "now: {}pinshim apply {pid} --cpus {elsewhere} --vcpus '{}'; for good: start it with PIN_EMULATOR={elsewhere}",
            by_whom(subject.kernel(), seen.vm.owner),
            vcpus.join(",")
        ),
        None => format!("start it with PIN_EMULATOR={elsewhere}"),
    }
}

/// The vCPUs that may run on one another's CPUs.
fn among_themselves(subject: &Subject<'_, '_>) -> Finding {
    const TOPIC: &str = "vcpus";
    let vcpus: Vec<&VmThread> = subject.vcpus().collect();
    let mut seen = CpuSet::new();
    let mut shared = CpuSet::new();
    for vcpu in &vcpus {
        shared = shared.union(&seen.intersection(&vcpu.thread.allowed));
        seen = seen.union(&vcpu.thread.allowed);
    }
    let all = count(vcpus.len(), "vCPU");
    if shared.is_empty() {
        return Finding::ok(TOPIC, format!("{all}, each with CPUs of its own: {seen}"));
    }
    let first = vcpus.iter().find(|vcpu| !vcpu.thread.allowed.intersection(&shared).is_empty());
    let finding = if vcpus.len() > seen.len() {
        let what = format!("{all} share {}: {seen}", count(seen.len(), "CPU"));
        Finding::fix(
            TOPIC,
            what,
            format!("pinshim plan --vcpus {} says which CPUs to give them", vcpus.len()),
        )
    } else {
        let what = format!("{all} may run on one another's CPUs: {shared}");
        let each: Vec<String> = seen.iter().take(vcpus.len()).map(|cpu| cpu.to_string()).collect();
        Finding::note(TOPIC, what).and_do(format!("a CPU for each: PIN_VCPUS={}", each.join(",")))
    };
    match first {
        Some(first) => finding.read_affinity(status(subject, first), &first.thread.allowed),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{threads_of_web, web};

    #[test]
    fn another_thread_on_a_vcpus_cpu_is_to_be_moved() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let ok = "ok own-threads: no other thread of the VM may run on its vCPUs' CPUs (1-2)";
        assert_eq!(said(&kernel, examine)[0], ok);
        kernel.move_to(100, "0-1");
        kernel.move_to(104, "2");
        let fix = "fix own-threads: 2 other threads of the VM may run on vCPUs' CPUs (1-2): 1 emulator, 1 worker \
                   (/proc/100/task/100/status: Cpus_allowed_list 0-1) -> now: pinshim apply 100 --cpus 0,3 --vcpus \
                   '0@[1],1@[2]'; for good: start it with PIN_EMULATOR=0,3";
        assert_eq!(said(&kernel, examine)[0], fix);
    }

    #[test]
    fn where_vcpus_have_all_cpus_nothing_can_be_moved() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "0-1");
        kernel.move_to(102, "2-3");
        let fix = &said(&kernel, examine)[0];
        assert!(fix.starts_with("fix own-threads: 3 other") && fix.ends_with(NOWHERE), "{fix}");
    }

    #[test]
    fn vcpus_on_one_anothers_cpus_are_said_to_be_so() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let of = |first: &str, second: &str| {
            kernel.move_to(101, first);
            kernel.move_to(102, second);
            said(&kernel, examine).remove(1)
        };
        assert_eq!(of("1", "2"), "ok vcpus: 2 vCPUs, each with CPUs of its own: 1-2");
        let note = "note vcpus: 2 vCPUs may run on one another's CPUs: 1-2 (/proc/100/task/101/status: \
                    Cpus_allowed_list 1-2) -> a CPU for each: PIN_VCPUS=1,2";
        assert_eq!(of("1-2", "1-2"), note);
        let fix = "fix vcpus: 2 vCPUs share 1 CPU: 1 (/proc/100/task/101/status: Cpus_allowed_list 1) -> pinshim plan \
                   --vcpus 2 says which CPUs to give them";
        assert_eq!(of("1", "1"), fix);
    }

    #[test]
    fn without_names_and_without_a_page_nobody_knows_the_vcpus() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        kernel.end(101);
        kernel.end(102);
        assert!(said(&kernel, examine)[0].starts_with("note own-threads: no thread is known to be a vCPU"));
    }
}
