//! Whether the library and QEMU agree on which thread is which vCPU and IOThread.

use crate::output::failure::Failure;
use crate::sys::threads::Migrations;
use crate::verdict::watch;
use crate::vm::expected::Member;
use crate::vm::look::Vm;
use crate::vm::qmp::{self, Ids};
use pinning::RoleKind;
use std::path::Path;

/// Where QEMU's own answer differs from the library's. Asked again where it does: a vCPU may have been
/// plugged between the two.
pub(crate) fn differences(vm: &Vm<'_>, socket: &Path) -> Result<Vec<String>, Failure> {
    let mut differences = Vec::new();
    for _ in 0..3 {
        let ids = qmp::ask(socket)?;
        let look = vm.look(Migrations::Ignore, None, None)?;
        differences = compare(&ids, &look.members);
        if differences.is_empty() {
            break;
        }
        vm.process.kernel.sleep(watch::PAUSE);
    }
    Ok(differences)
}

fn compare(ids: &Ids, members: &[Member]) -> Vec<String> {
    let mut differences = Vec::new();
    let find = |tid| members.iter().find(|member| member.thread.inner == tid);
    let mut must_be = |tid: pinning::Tid, what: String, is_it: &dyn Fn(&Member) -> bool| match find(tid) {
        None => {
            differences.push(format!("QEMU says that thread {tid} is {what}, and there is no such thread"))
        }
        Some(member) if !is_it(member) => differences.push(format!(
            "QEMU says that thread {tid} is {what}, the library has it as {}",
            described(member)
        )),
        Some(_) => {}
    };
    for (index, tid) in &ids.vcpus {
        must_be(*tid, format!("vCPU {index}"), &|member| {
            member.role == RoleKind::Vcpu && member.index.is_none_or(|of| of == *index)
        });
    }
    for (id, tid) in &ids.iothreads {
        must_be(*tid, format!("IOThread {id}"), &|member| {
            // The register keeps the beginning of a long name.
            let named = member.name.strip_prefix("IO ").unwrap_or_default();
            member.role == RoleKind::IoThread && !named.is_empty() && id.starts_with(named)
        });
    }
    let is_known =
        |tid| ids.vcpus.iter().any(|(_, of)| *of == tid) || ids.iothreads.iter().any(|(_, of)| *of == tid);
    let unknown = members.iter().filter(|member| {
        matches!(member.role, RoleKind::Vcpu | RoleKind::IoThread) && !is_known(member.thread.inner)
    });
    differences.extend(unknown.map(|member| {
        format!("the library has thread {} as {}, QEMU does not", member.thread.inner, described(member))
    }));
    differences
}

fn described(member: &Member) -> String {
    match member.role {
        RoleKind::Vcpu => {
            format!("vCPU {}", member.index.map_or("of all".to_owned(), |index| index.to_string()))
        }
        RoleKind::IoThread => format!("IOThread {}", member.name.strip_prefix("IO ").unwrap_or(&member.name)),
        role => role.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::threads::Thread;
    use crate::vm::identify::Known;
    use pinning::{CpuId, CpuSet, Tid};
    use std::time::Duration;

    fn member(tid: i32, role: RoleKind, index: Option<u32>, name: &str) -> Member {
        Member {
            thread: Thread {
                tid: Tid(tid),
                inner: Tid(tid),
                started: 1,
                comm: Vec::new(),
                allowed: CpuSet::new(),
                last_cpu: CpuId(0),
                cpu_time: Duration::ZERO,
                switches: 0,
                migrations: None,
            },
            role,
            known: Known::Surely,
            index,
            name: name.to_owned(),
            expected: None,
            state: None,
            home_assumed: false,
        }
    }

    fn ids(vcpus: &[(u32, i32)], iothreads: &[(&str, i32)]) -> Ids {
        Ids {
            vcpus: vcpus.iter().map(|(index, tid)| (*index, Tid(*tid))).collect(),
            iothreads: iothreads.iter().map(|(id, tid)| ((*id).to_owned(), Tid(*tid))).collect(),
        }
    }

    fn library() -> [Member; 4] {
        [
            member(1, RoleKind::Emulator, None, "qemu"),
            member(2, RoleKind::Vcpu, Some(0), "CPU 0/KVM"),
            member(3, RoleKind::Vcpu, Some(1), "CPU 1/KVM"),
            member(4, RoleKind::IoThread, Some(0), "IO io1"),
        ]
    }

    #[test]
    fn who_agrees_with_qemu_is_not_mentioned() {
        assert!(compare(&ids(&[(0, 2), (1, 3)], &[("io1", 4)]), &library()).is_empty());
        let one_for_all = [member(2, RoleKind::Vcpu, None, "ALL CPUs/TCG")];
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
