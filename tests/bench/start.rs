//! The time from QEMU's start to the guest's first output.

use crate::report::{Report, side_by_side};
use harness::{Accel, Bus, Drive, LIBVIRT_SANDBOX, VmBuilder, kvm_missing, until};
use std::time::Instant;

const ROUNDS: usize = 15;

pub(crate) fn measure(report: &mut Report) {
    let what = "QEMU's start to the guest's first output: shim / none";
    let accel = if kvm_missing().is_none() { Accel::Kvm } else { Accel::Tcg };
    let seconds = |library: bool| {
        let mut vm = VmBuilder::new(accel).smp("2").drive(Drive::new(Bus::Virtio)).sandbox(LIBVIRT_SANDBOX);
        vm = if library { vm.env("PIN_CPUS", "all") } else { vm.without_library() };
        let start = Instant::now();
        let vm = vm.start()?;
        until(30, "the guest's first word", || (!vm.serial().is_empty()).then_some(()));
        let elapsed = start.elapsed().as_secs_f64();
        vm.quit();
        Some(elapsed)
    };
    let measure = |library| seconds(library).unwrap_or(f64::NAN);
    let (without, with) = side_by_side(ROUNDS, || measure(false), || measure(true));
    if !(with / without).is_finite() {
        return report.skipped(what, "QEMU could not be started");
    }
    report.at_most(what, with / without, 1.02, "");
}
