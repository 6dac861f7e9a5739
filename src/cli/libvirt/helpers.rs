//! The helpers of a domain: swtpm, virtiofsd, passt and the like, processes of their own beside QEMU.
//!
//! libvirt starts them, and puts them into the cgroup of QEMU's threads that are neither vCPU nor IOThread
//! (qemuSetupCgroupForExtDevices in its src/qemu/qemu_cgroup.c). So they are told by that cgroup, which only root can put
//! a process into, never by their names or arguments. A child of QEMU's would be in there too; it is QEMU's user's like
//! QEMU itself. The broker is one, which runs QEMU's own executable and stays where it is.
//!
//! What a helper started before it was put there is in the cgroup of libvirt's daemon still, and is told by its parent. The
//! virtiofsd that is written in Rust (Debian 13's) does all its work in such a child.

use crate::sys::cgroup;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::thread_cgroup::EMULATOR;
use crate::sys::threads::{self, Migrations};
use crate::vm::look::Vm;
use crate::vm::put;
use pinning::CpuSet;
use std::collections::BTreeMap;

/// So many helpers are looked at. A domain has one for each of a few devices.
const HELPERS: usize = 64;

/// So many times they are looked at: a helper may create a thread just when its creator is moved.
const LOOKS: usize = 3;

/// Puts every thread of a domain's helpers on a set. The answer is how many were moved.
pub(crate) fn put_on(vm: &Vm<'_>, cpus: &CpuSet) -> usize {
    let mut moved = 0;
    for _ in 0..LOOKS {
        let found = find(vm);
        let now: usize = found.iter().map(|helper| put_threads(helper, cpus)).sum();
        if now == 0 {
            break;
        }
        moved += now;
    }
    moved
}

/// The helpers.
fn find<'k>(vm: &Vm<'k>) -> Vec<Vm<'k>> {
    let qemu = vm.process;
    let list = || cgroup::threads_beside(qemu.kernel, qemu.main_thread(), EMULATOR);
    let threads = list();
    if !threads.contains(&qemu.main_thread()) {
        return Vec::new();
    }
    let executable = |process: Process<'k>| process.kernel.read_link(process.file("exe")).ok();
    let of_qemu = executable(qemu);
    let others = threads.iter().filter_map(|tid| Process::of_thread(qemu.kernel, *tid));
    let others: BTreeMap<i32, Process<'k>> =
        others.filter(|process| process.pid != qemu.pid).map(|process| (process.pid, process)).collect();
    let helpers =
        others.into_values().filter(|process| executable(*process).is_some_and(|path| Some(path) != of_qemu));
    let held: Vec<Vm<'k>> = helpers.take(HELPERS).map(Vm::new).collect();
    // What is held on to is then a process that is in the cgroup, whoever had its id before.
    let threads = list();
    let mut found: Vec<Vm<'k>> =
        held.into_iter().filter(|helper| threads.contains(&helper.process.main_thread())).collect();
    add_children(qemu.kernel, &mut found);
    found
}

/// Adds the children of those that were found, and theirs.
fn add_children<'k>(kernel: &'k dyn Kernel, found: &mut Vec<Vm<'k>>) {
    let all = Process::all(kernel).unwrap_or_default();
    let parents: Vec<(Process<'k>, i32)> =
        all.into_iter().filter_map(|process| Some((process, threads::parent(process)?))).collect();
    let mut next = 0;
    while let Some(helper) = found.get(next) {
        let pid = helper.process.pid;
        let is_new = |process: &Process<'k>| found.iter().all(|one| one.process.pid != process.pid);
        let children = parents.iter().filter(|(process, parent)| *parent == pid && is_new(process));
        let held: Vec<Vm<'k>> = children
            .take(HELPERS.saturating_sub(found.len()))
            .map(|(process, _)| Vm::new(*process))
            .collect();
        // Whoever is held on to then: a child, now, of the helper that is still the same.
        let is_child = |child: &Vm<'k>| threads::parent(child.process) == Some(pid);
        let children: Vec<Vm<'k>> = held.into_iter().filter(is_child).collect();
        if helper.held.is_same() {
            found.extend(children);
        }
        next += 1;
    }
}

fn put_threads(helper: &Vm<'_>, cpus: &CpuSet) -> usize {
    let threads = threads::list(helper.process, Migrations::default()).unwrap_or_default();
    threads.iter().filter(|thread| thread.allowed != *cpus && put::put(helper, thread, cpus).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use crate::vm::sample::web;

    const LIST: &str = "/sys/fs/cgroup/web/emulator/cgroup.threads";

    /// The VM `web`, with its main thread in libvirt's cgroup, a helper of two threads, QEMU's broker, and a process that
    /// is none of the domain's.
    fn kernel() -> FakeKernel {
        let kernel = FakeKernel::new();
        let _ = web(&kernel).executable("/usr/bin/qemu").write("cgroup", "0::/web/emulator\n");
        kernel
            .process(200, &["swtpm"])
            .executable("/usr/bin/swtpm")
            .thread(200, "swtpm", "0-3")
            .thread(201, "x", "0-3");
        kernel.process(300, &["pinshim-broker"]).executable("/usr/bin/qemu").thread(300, "broker", "0-3");
        kernel.process(400, &["swtpm"]).executable("/usr/bin/swtpm").thread(400, "swtpm", "0-3");
        for pid in [100, 200, 300, 400] {
            let status = format!("Name:\tx\nState:\tS\nTgid:\t{pid}\nUid:\t0\t1000\t0\t0\nNSpid:\t{pid}\n");
            kernel.write(format!("/proc/{pid}/status"), status);
        }
        kernel.write("/proc/201/status", "Tgid:\t200\n");
        kernel.write(LIST, "100\n200\n201\n300\n99999\nx\n");
        kernel
    }

    fn moved(kernel: &FakeKernel) -> (usize, Vec<String>) {
        let vm = Vm::new(Process::new(kernel, 100).unwrap());
        (put_on(&vm, &cpus("1")), kernel.asked())
    }

    #[test]
    fn every_thread_of_a_helper_is_put_there_and_nobody_elses() {
        let kernel = kernel();
        assert_eq!(moved(&kernel), (2, vec!["200 on 1".to_owned(), "201 on 1".to_owned()]));
        assert_eq!(moved(&kernel), (0, Vec::new()), "they are there");
    }

    #[test]
    fn what_a_helper_started_before_it_was_put_there_is_put_there_too() {
        let kernel = kernel();
        for (pid, parent) in [(500, 200), (600, 500), (700, 300), (800, 400)] {
            kernel.process(pid, &["swtpm"]).executable("/usr/bin/swtpm").thread(pid, "swtpm", "0-3");
            kernel.change(pid, |thread| thread.parent = parent);
        }
        let expected: Vec<String> = [200, 201, 500, 600].iter().map(|tid| format!("{tid} on 1")).collect();
        assert_eq!(moved(&kernel), (4, expected), "neither the broker's child nor a stranger's");
        assert_eq!(moved(&kernel), (0, Vec::new()), "they are there");
    }

    #[test]
    fn where_libvirt_keeps_no_cgroup_for_qemu_nobody_is_moved() {
        let kernel = kernel();
        kernel.write("/proc/100/cgroup", "0::/user.slice\n");
        assert_eq!(moved(&kernel), (0, Vec::new()));
        // A list that does not have QEMU in it is not its cgroup's.
        kernel.write("/proc/100/cgroup", "0::/web/emulator\n");
        kernel.write(LIST, "200\n201\n");
        assert_eq!(moved(&kernel), (0, Vec::new()));
    }
}
