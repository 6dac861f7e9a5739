//! What the library adds to a VM's own memory, the broker's included, and to the disk.

use crate::report::{Report, side_by_side};
use harness::{Accel, LIBVIRT_SANDBOX, VmBuilder, brokers_of, kvm_missing, library};
use std::time::Duration;

const ROUNDS: usize = 5;

pub(crate) fn measure(report: &mut Report) {
    let what = "memory added (unique set size), broker included";
    let bytes = std::fs::metadata(library()).map_or(0, |file| file.len());
    report.at_most("the stripped library", bytes as f64 / 1048576.0, 1.0, " MiB");
    let accel = if kvm_missing().is_none() { Accel::Kvm } else { Accel::Tcg };
    let measure = |library| unique(accel, library).unwrap_or(f64::NAN);
    let (with, without) = side_by_side(ROUNDS, || measure(true), || measure(false));
    if !(with - without).is_finite() {
        return report.skipped(what, "QEMU could not be started");
    }
    report.at_most(what, (with - without) / 1024.0, 2.0, " MiB");
}

/// KiB that QEMU and its broker have to themselves: not files, which every VM shares; a page that the two
/// share is counted once.
fn unique(accel: Accel, library: bool) -> Option<f64> {
    let mut vm = VmBuilder::usual(accel).paused().sandbox(LIBVIRT_SANDBOX);
    vm = if library { vm.env("PIN_CPUS", "all") } else { vm.without_library() };
    let vm = vm.start()?;
    // Before the guest runs: how much of its memory a guest has touched is another question.
    std::thread::sleep(Duration::from_millis(500));
    let brokers = brokers_of(vm.pid());
    let total = own_kib(vm.pid()) + brokers.iter().map(|broker| own_kib(broker.pid)).sum::<f64>();
    vm.quit();
    Some(total)
}

fn own_kib(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let own = rollup.lines().filter(|line| line.starts_with("Pss_Anon:") || line.starts_with("Pss_Shmem:"));
    own.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum()
}
