//! Waiting for VMs that are about to start, until their threads are in place.

use crate::sys::kernel::Kernel;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::watch;
use crate::vm::look::{Ask, Look, Vm};
use crate::vm::page::Missing;
use crate::vm::unmet::unmet;
use pinning::{RoleKind, Unmet, acts_in};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The time between two searches. One goes through all processes of the host.
const PAUSE: Duration = Duration::from_millis(50);

/// Finds something again and again until it is as it should be, at most for a time. The answer is what was found
/// last.
pub(crate) fn until<T>(
    kernel: &dyn Kernel,
    time: Duration,
    find: impl Fn() -> T,
    is_as_it_should: impl Fn(&T) -> bool,
) -> T {
    let end = kernel.now() + time;
    loop {
        let found = find();
        if is_as_it_should(&found) || kernel.now() >= end {
            return found;
        }
        kernel.sleep(PAUSE);
    }
}

/// Whether a VM has started and every thread of it is where it belongs, or more patience would not show that.
pub(crate) fn is_in_place(vm: &Vm<'_>) -> bool {
    if matches!(vm.page, Err(Missing::NotPermitted)) {
        return true;
    }
    let mut judge = Judge::default();
    let mut vcpus_in_place = || {
        let look = vm.look(&Ask::default()).ok()?;
        let verdicts = judge.judge(&look.threads);
        let is_open = |verdict: &Verdict| verdict.may_be_off() || *verdict == Verdict::NotPlacedYet;
        let is_good = has_started(vm, &look) && !verdicts.iter().any(is_open);
        is_good.then(|| look.threads.iter().filter(|thread| thread.role == RoleKind::Vcpu).count())
    };
    let Some(vcpus) = vcpus_in_place() else { return false };
    vm.process.kernel.sleep(watch::PAUSE);
    // QEMU creates its vCPUs one after the other.
    vcpus_in_place() == Some(vcpus)
}

/// Whether it has its vCPUs, and what its placement names. A placement may name a vCPU that is plugged in later:
/// that one is not waited for once there is another.
fn has_started(vm: &Vm<'_>, look: &Look) -> bool {
    let Ok(content) = &look.content else { return false };
    // Other programs that QEMU's project builds, and those that PIN_TARGET adds, have no vCPUs.
    let has_vcpus = acts_in(None, vm.process.executable_name().as_bytes());
    let is_there = |role| look.threads.iter().any(|thread| thread.role == role);
    let is_absent = |wish: &Unmet| matches!(wish, Unmet::IoThread(_));
    (!has_vcpus || is_there(RoleKind::Vcpu)) && !unmet(&content.policy, &look.threads).iter().any(is_absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Wanted;
    use crate::sys::fake::{FakeKernel, ms};
    use crate::vm::find;
    use crate::vm::sample::{WEB, threads_of_web, web};
    use pinning::status_page::State;
    use pinning::{Role, VcpuIndex};

    /// When the wait for `web` ended, and whether it was in place then. `None`: there was none.
    fn waited(kernel: &FakeKernel, time: u64) -> (u128, Option<bool>) {
        let find = || find::look_up(kernel, &Wanted::Word("web".to_owned())).unwrap();
        let found = until(kernel, ms(time), find, |found| found.as_ref().is_some_and(is_in_place));
        let end = kernel.now().as_millis();
        (end, found.map(|vm| is_in_place(&vm)))
    }

    #[test]
    fn a_vm_is_waited_for_until_its_vcpus_and_iothreads_are_there_and_placed() {
        let kernel = FakeKernel::new();
        // Before the library is there, a vCPU, an IOThread, and all of them where they belong.
        kernel.at(ms(100), |kernel| {
            kernel.process(100, &WEB).thread(100, "qemu-system-x86", "0-3");
        });
        kernel.at(ms(200), |kernel| {
            let vm = kernel.existing(100).page(&[("PIN_VCPUS", "1,2"), ("PIN_IOTHREADS", "io1@3")]);
            vm.lists(100, Role::Emulator, 0, "");
        });
        kernel.at(ms(300), |kernel| {
            let vm = kernel.existing(100).thread(101, "CPU 0/KVM", "0-3");
            vm.lists(101, Role::Vcpu(VcpuIndex(0)), 0, "CPU 0/KVM").state(101, State::Born);
        });
        kernel.at(ms(400), |kernel| {
            kernel.move_to(101, "1");
            kernel.existing(100).state(101, State::Placed);
        });
        kernel.at(ms(500), |kernel| {
            kernel.existing(100).thread(103, "IO io1", "3").lists(103, Role::IoThread(b"io1"), 0, "IO io1");
        });
        let (end, is_placed) = waited(&kernel, 10_000);
        assert!((500..700).contains(&end) && is_placed == Some(true), "{end} {is_placed:?}");
    }

    #[test]
    fn a_wait_ends_with_its_time_whatever_was_found() {
        assert_eq!(waited(&FakeKernel::new(), 1000), (1000, None));
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        assert_eq!(waited(&kernel, 1000), (1000, Some(false)), "without the library");
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.move_to(101, "0");
        assert_eq!(waited(&kernel, 1000), (1000, Some(false)), "off its set");
    }

    #[test]
    fn what_may_not_be_looked_into_is_not_waited_for() {
        let kernel = FakeKernel::new();
        web(&kernel).user(0);
        kernel.deny("/proc/100/fd");
        assert_eq!(waited(&kernel, 1000), (0, Some(true)));
    }
}
