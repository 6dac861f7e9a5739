//! VMs and threads for tests.

use crate::sys::fake::{FakeKernel, FakeProcess, cpus};
use crate::sys::threads::Thread;
use crate::vm::class::ThreadClass;
use crate::vm::expected::VmThread;
use crate::vm::identify::Evidence;
use pinning::{Class, CpuId, Role, RoleKind, Tid, VcpuIndex};
use std::time::Duration;

/// The arguments of a QEMU that runs the VM `web`.
pub(crate) const WEB: [&str; 3] = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on"];

/// The VM `web` under the library, process 100: vCPU 0 on CPU 1, vCPU 1 on 2, IOThread io1 on 3, all else on
/// 0. Every thread is where it belongs.
pub(crate) fn web(kernel: &FakeKernel) -> FakeProcess<'_> {
    web_with(kernel, &[])
}

/// The same with further variables.
pub(crate) fn web_with<'k>(kernel: &'k FakeKernel, further: &[(&str, &str)]) -> FakeProcess<'k> {
    let placement = [("PIN_VCPUS", "1,2"), ("PIN_IOTHREADS", "io1@3"), ("PIN_EMULATOR", "0")];
    listed(threads_of_web(kernel).page(&[&placement, further].concat()), Role::IoThread(b"io1"), "IO io1")
}

/// The same with this placement, and a thread of a library's in the place of the IOThread's.
pub(crate) fn web_with_a_librarys_thread<'k>(
    kernel: &'k FakeKernel,
    placement: &[(&str, &str)],
) -> FakeProcess<'k> {
    let web = listed(threads_of_web(kernel).page(placement), Role::Emulator, "");
    kernel.move_to(103, "0");
    web
}

/// Lists the threads of `web`, of which 103 is this one.
fn listed<'k>(web: FakeProcess<'k>, role: Role<'_>, name: &str) -> FakeProcess<'k> {
    web.lists(100, Role::Emulator, 0, "")
        .lists(101, Role::Vcpu(VcpuIndex(0)), 0, "CPU 0/KVM")
        .lists(102, Role::Vcpu(VcpuIndex(1)), 0, "CPU 1/KVM")
        .lists(103, role, 0, name)
        .lists(104, Role::Worker, 0, "worker")
}

/// The same process without the library.
pub(crate) fn threads_of_web(kernel: &FakeKernel) -> FakeProcess<'_> {
    kernel
        .process(100, &WEB)
        .thread(100, "qemu-system-x86", "0")
        .thread(101, "CPU 0/KVM", "1")
        .thread(102, "CPU 1/KVM", "2")
        .thread(103, "IO io1", "3")
        .thread(104, "worker", "0")
}

/// A thread that may run on CPU 0, which ran there last.
pub(crate) fn thread(tid: i32, comm: &str) -> Thread {
    Thread {
        tid: Tid(tid),
        inner: Tid(tid),
        started: u64::from(tid.unsigned_abs()),
        comm: comm.as_bytes().to_vec(),
        allowed: cpus("0"),
        last_cpu: CpuId(0),
        runs: true,
        class: Some(Class::USUAL),
        cpu_time: Duration::ZERO,
        switches: 0,
        migrations: None,
        schedstat: None,
    }
}

/// The same with a role, and without an entry in the register or a set.
pub(crate) fn vm_thread(tid: i32, role: RoleKind, name: &str) -> VmThread {
    VmThread {
        thread: thread(tid, name),
        role,
        evidence: Evidence::Certain,
        index: None,
        name: name.to_owned(),
        expected: None,
        state: None,
        class: ThreadClass::default(),
        home_assumed: false,
        may_be: Vec::new(),
        held_by: None,
        delay: None,
    }
}
