//! Whether the process is there that pins for a VM from outside its sandbox.

use crate::sys::process::Process;
use crate::vm::look::Vm;
use pinning::BROKER_NAME;

/// Whether the broker that a VM's page names lives. The page names it by the id that QEMU sees, which in a container is another
/// one here.
pub(crate) fn lives(vm: &Vm<'_>, broker: u32) -> bool {
    let Ok(broker) = i32::try_from(broker) else { return false };
    let process = vm.process;
    let is_broker = |process: &Process<'_>| {
        process.arguments().first().is_some_and(|name| name == BROKER_NAME) && process.is_alive()
    };
    if process.inner_pid() == process.pid {
        return Process::new(process.kernel, broker).is_ok_and(|process| is_broker(&process));
    }
    let all = Process::all(process.kernel).unwrap_or_default();
    all.into_iter().any(|process| process.inner_pid() == broker && is_broker(&process))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::vm::find;
    use crate::vm::sample::web;

    #[test]
    fn a_broker_is_a_living_process_that_says_it_is_one() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &[BROKER_NAME]).thread(200, BROKER_NAME, "0");
        kernel.process(300, &["/bin/sh"]).thread(300, "sh", "0");
        let vm = find::named(&kernel, "web").unwrap();
        assert_eq!([200, 300, 400, u32::MAX].map(|pid| lives(&vm, pid)), [true, false, false, false]);
    }

    #[test]
    fn in_a_container_it_has_another_id_here() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.change(100, |thread| thread.inner = 1);
        kernel.process(200, &[BROKER_NAME]).thread(200, BROKER_NAME, "0");
        kernel.change(200, |thread| thread.inner = 7);
        let vm = find::all(&kernel).unwrap().into_vms().unwrap().pop().unwrap();
        assert_eq!([7, 200].map(|pid| lives(&vm, pid)), [true, false]);
    }
}
