//! `scripts/demo --record`: the pictures of the README.
//!
//! A guest computes Fibonacci numbers and uses its disks, with the library and without it; and its workers come and go.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use harness::{Accel, Program, TwoCpus, Vm, VmBuilder, command};

/// How long a picture's recording takes, in seconds.
const SECONDS: u64 = 30;

/// How long the one with workers takes, in seconds.
const WITH_WORKERS: u64 = 60;

/// For how long the guest is halted, in seconds: a worker ends after ten seconds without work (QEMU's util/thread-pool.c).
const HALTED: u64 = 13;

/// Makes the pictures in a folder. `Err`: why they could not be made.
pub(crate) fn make(folder: &Path, accel: Accel, cpus: TwoCpus) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let start = |vm: VmBuilder| vm.start().ok_or("the VM could not be started");
    let usual = || VmBuilder::usual(accel).name("fibonacci").debug_threads(true);
    let one = cpus.second.to_string();
    let mut pinned = start(usual().env("PIN_CPUS", &one))?;
    record(&mut pinned, folder, "pinned", SECONDS, |vm| burst(vm, 3))?;
    pinned.quit();
    let mut plain = start(usual().without_library())?;
    record(&mut plain, folder, "unpinned", SECONDS, |vm| burst(vm, 3))?;
    plain.quit();
    let roles = [("PIN_VCPUS", &one), ("PIN_CPUS", &cpus.first.to_string())];
    let mut workers = start(roles.into_iter().fold(usual(), |vm, (name, value)| vm.env(name, value)))?;
    record(&mut workers, folder, "workers", WITH_WORKERS, |vm| {
        for _ in 0..3 {
            burst(vm, 3);
            sleep(Duration::from_secs(2));
            vm.pause(Duration::from_secs(HALTED));
        }
    })?;
    workers.quit();
    Ok(())
}

/// After so many seconds, has all disks read with many requests at once.
fn burst(vm: &mut Vm, after: u64) {
    sleep(Duration::from_secs(after));
    vm.burst_of(4);
}

/// Records a VM as a picture, while something happens to it.
fn record(
    vm: &mut Vm,
    folder: &Path,
    name: &str,
    seconds: u64,
    happens: impl FnOnce(&mut Vm),
) -> Result<(), String> {
    // The BIOS takes its time on a busy machine.
    vm.wait_visits(1);
    let file = folder.join(format!("{name}.svg"));
    let recorder = Program::new(command())
        .args(["record", &vm.pid().to_string(), "--for", &seconds.to_string(), "-o"])
        .arg(&file)
        .start();
    happens(vm);
    let finished = recorder.wait();
    let picture = fs::read_to_string(&file).map_err(|_| format!("{name}: {}", finished.stderr.trim()))?;
    fs::write(&file, anonymous(&picture)).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// A picture that does not name the host, and of its kernel only the version.
fn anonymous(picture: &str) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let (host, kernel) = (read("/proc/sys/kernel/hostname"), read("/proc/sys/kernel/osrelease"));
    let version = kernel.split('-').next().unwrap_or_default();
    picture.replace(&format!("host {host}, Linux {kernel}"), &format!("host demo, Linux {version}"))
}
