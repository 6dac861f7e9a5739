//! Whether the library and QEMU agree on which thread is which vCPU and IOThread.

use crate::output::failure::Failure;
use crate::output::text::count;
use crate::verdict::watch;
use crate::vm::expected::VmThread;
use crate::vm::look::{Ask, Vm};
use crate::vm::qmp::{self, Ids};
use pinning::RoleKind;
use std::path::Path;

/// So many differences are named.
const NAMED: usize = 50;

/// How what is compared with the library's register (QEMU's own answer, the names in the policy) agrees with it.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Where they differ, each a sentence.
    pub(crate) differences: Vec<String>,
    /// What was not compared, because nobody can tell it: each a sentence.
    pub(crate) not_told: Vec<String>,
}

/// QEMU's own answer, and how the library's register agrees with it. Both are asked again where they differ: a vCPU
/// may have been plugged in between.
pub(crate) fn compared(vm: &Vm<'_>, socket: &Path) -> Result<(Ids, Comparison), Failure> {
    let mut differences = Vec::new();
    let mut ids = Ids::default();
    for _ in 0..3 {
        ids = qmp::ask(socket)?;
        let look = vm.look(&Ask::default())?;
        differences = compare(&ids, &look.threads);
        if differences.is_empty() {
            break;
        }
        vm.process.kernel.sleep(watch::PAUSE);
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    if more > 0 {
        differences.push(format!("{} more", count(more, "difference")));
    }
    let not_told = Vec::from_iter(ids.not_told());
    Ok((ids, Comparison { differences, not_told }))
}

fn compare(ids: &Ids, threads: &[VmThread]) -> Vec<String> {
    let mut differences = Vec::new();
    let find = |tid| threads.iter().find(|vm_thread| vm_thread.thread.inner == tid);
    let mut must_be = |tid: pinning::Tid, what: String, is_it: &dyn Fn(&VmThread) -> bool| match find(tid) {
        None => {
            differences.push(format!("QEMU says that thread {tid} is {what}, and there is no such thread"))
        }
        Some(vm_thread) if !is_it(vm_thread) => differences.push(format!(
            "QEMU says that thread {tid} is {what}, the library has it as {}",
            described(vm_thread)
        )),
        Some(_) => {}
    };
    for (index, tid) in &ids.vcpus {
        must_be(*tid, format!("vCPU {index}"), &|vm_thread| {
            vm_thread.role == RoleKind::Vcpu && vm_thread.index.is_none_or(|of| of == *index)
        });
    }
    for (id, tid) in &ids.iothreads {
        must_be(*tid, format!("IOThread {id}"), &|vm_thread| {
            // The register keeps the beginning of a long name.
            let named = vm_thread.name.strip_prefix("IO ").unwrap_or_default();
            vm_thread.role == RoleKind::IoThread && !named.is_empty() && id.starts_with(named)
        });
    }
    let is_known =
        |tid| ids.vcpus.iter().any(|(_, of)| *of == tid) || ids.iothreads.iter().any(|(_, of)| *of == tid);
    let unknown =
        threads.iter().filter(|vm_thread| ids.tell(vm_thread.role) && !is_known(vm_thread.thread.inner));
    differences.extend(unknown.map(|vm_thread| {
        format!(
            "the library has thread {} as {}, QEMU does not",
            vm_thread.thread.inner,
            described(vm_thread)
        )
    }));
    differences
}

fn described(vm_thread: &VmThread) -> String {
    match vm_thread.role {
        RoleKind::Vcpu => {
            format!("vCPU {}", vm_thread.index.map_or("of all".to_owned(), |index| index.to_string()))
        }
        RoleKind::IoThread => {
            format!("IOThread {}", vm_thread.name.strip_prefix("IO ").unwrap_or(&vm_thread.name))
        }
        role => role.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::sample;
    use pinning::Tid;

    fn vm_thread(tid: i32, role: RoleKind, index: Option<u32>, name: &str) -> VmThread {
        VmThread { index, ..sample::vm_thread(tid, role, name) }
    }

    fn ids(vcpus: &[(u32, i32)], iothreads: &[(&str, i32)]) -> Ids {
        Ids {
            vcpus: vcpus.iter().map(|(index, tid)| (*index, Tid(*tid))).collect(),
            iothreads: iothreads.iter().map(|(id, tid)| ((*id).to_owned(), Tid(*tid))).collect(),
            lacks: Vec::new(),
        }
    }

    #[test]
    fn what_the_monitor_cannot_tell_is_not_held_against_the_library() {
        let lacks = Ids { lacks: vec!["query-cpus-fast", "query-iothreads"], ..Ids::default() };
        assert_eq!(compare(&lacks, &library()), [""; 0]);
        let lacks = Ids { lacks: vec!["query-cpus-fast"], ..Ids::default() };
        assert_eq!(compare(&lacks, &library()), ["the library has thread 4 as IOThread io1, QEMU does not"]);
    }

    fn library() -> [VmThread; 4] {
        [
            vm_thread(1, RoleKind::Emulator, None, "qemu"),
            vm_thread(2, RoleKind::Vcpu, Some(0), "CPU 0/KVM"),
            vm_thread(3, RoleKind::Vcpu, Some(1), "CPU 1/KVM"),
            vm_thread(4, RoleKind::IoThread, Some(0), "IO io1"),
        ]
    }

    #[test]
    fn threads_on_which_both_agree_are_not_mentioned() {
        assert!(compare(&ids(&[(0, 2), (1, 3)], &[("io1", 4)]), &library()).is_empty());
        let one_for_all = [vm_thread(2, RoleKind::Vcpu, None, "ALL CPUs/TCG")];
        assert!(compare(&ids(&[(0, 2), (1, 2)], &[]), &one_for_all).is_empty());
    }

    #[test]
    fn every_difference_is_mentioned() {
        let differences = compare(&ids(&[(1, 2), (0, 3)], &[("io2", 4)]), &library());
        let expected = [
            "QEMU says that thread 2 is vCPU 1, the library has it as vCPU 0",
            "QEMU says that thread 3 is vCPU 0, the library has it as vCPU 1",
            "QEMU says that thread 4 is IOThread io2, the library has it as IOThread io1",
        ];
        assert_eq!(differences, expected);
        let differences = compare(&ids(&[(0, 2), (1, 1), (2, 9)], &[]), &library());
        let expected = [
            "QEMU says that thread 1 is vCPU 1, the library has it as emulator",
            "QEMU says that thread 9 is vCPU 2, and there is no such thread",
            "the library has thread 3 as vCPU 1, QEMU does not",
            "the library has thread 4 as IOThread io1, QEMU does not",
        ];
        assert_eq!(differences, expected);
    }
}
