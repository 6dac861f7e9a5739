//! How many VM exits a second there can be: each is an ioctl, which the library hooks.

use crate::report::{Report, side_by_side};
use harness::{Program, Scratch, command, kvm_missing, qemu, until};
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;
const SECONDS: f64 = 2.0;

pub(crate) fn measure(report: &mut Report, scratch: &Scratch) {
    let what = "VM exits a second: shim / none";
    if let Some(why) = kvm_missing() {
        return report.skipped(what, &why);
    }
    let qemu = match qemu() {
        Ok(qemu) => qemu,
        Err(why) => return report.skipped(what, &why),
    };
    let guest = assemble(scratch);
    let time = |beside| 1.0 / exits_a_second(scratch, &qemu, &guest, beside);
    let (without, with) = side_by_side(ROUNDS, || time(Beside::Nothing), || time(Beside::Library));
    report.at_least(what, without / with, 0.99, "");
    let (pinned, recorded) = side_by_side(ROUNDS, || time(Beside::Library), || time(Beside::Recorder));
    report.at_least("VM exits a second: while recorded / while not", pinned / recorded, 0.98, "");
}

/// What the VM runs with.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Library,
    /// The library, and `pinshim record`.
    Recorder,
}

fn assemble(scratch: &Scratch) -> std::path::PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/exits.s");
    let (object, sector) = (scratch.join("exits.o"), scratch.join("exits.bin"));
    Program::new("as").arg("--32").arg(source).arg("-o").arg(&object).run().assert_clean();
    Program::new("ld")
        .args(["-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "start", "-o"])
        .args([&sector, &object])
        .run()
        .assert_clean();
    sector
}

fn exits_a_second(scratch: &Scratch, qemu: &Path, guest: &Path, beside: Beside) -> f64 {
    let serial = scratch.join("exits.serial");
    let _ = std::fs::remove_file(&serial);
    let mut program = Program::new(qemu)
        .args(["-accel", "kvm", "-display", "none", "-monitor", "none", "-nodefaults", "-boot", "c"])
        .arg("-serial")
        .arg(format!("file:{}", serial.display()))
        .arg("-drive")
        .arg(format!("file={},format=raw,if=ide,snapshot=on", guest.display()))
        // Both sides on one CPU, so that the scheduler has no say in the difference.
        .affinity(&[harness::cpus_of("self")[0]]);
    if beside != Beside::Nothing {
        program = program.with_library().env("PIN_CPUS", harness::cpus_of("self")[0].to_string());
    }
    let process = program.start();
    let dots = || std::fs::metadata(&serial).map_or(0, |file| file.len());
    until(20, "the guest to run", || (dots() > 0).then_some(()));
    let recorder = (beside == Beside::Recorder).then(|| {
        let file = scratch.join("exits.json");
        let recorder = Program::new(command()).args(["record", &process.pid().to_string(), "-o"]).arg(file);
        let recorder = recorder.start();
        // Its beginning, with a look at every thread, is not what is measured.
        std::thread::sleep(Duration::from_millis(500));
        recorder
    });
    let (before, start) = (dots(), Instant::now());
    std::thread::sleep(Duration::from_secs_f64(SECONDS));
    let rate = (dots() - before) as f64 / start.elapsed().as_secs_f64();
    for ended in recorder.into_iter().chain([process]) {
        ended.kill();
        ended.wait();
    }
    rate * 2000.0
}
