//! `scripts/demo`: where the threads of a VM are with the library, and without it.
//!
//! What it says of each thread is computed from what it read in `/proc`, and from nothing else; the last line is from
//! `pinshim record` (`exact`). `pictures` makes those of the README.

mod exact;
mod pictures;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use exact::{Recorded, Recorder};
use harness::{
    Accel, Expected, Observation, Observer, Rule, TimeLimit, VmBuilder, judge, kvm_missing, library, two_cpus,
};

/// How long each of the two runs takes, in seconds, unless the command line says otherwise.
const SECONDS: u64 = 15;

/// Where the pictures go.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (seconds, pictures) = match arguments.as_slice() {
        [] => (SECONDS, None),
        ["--record"] => (SECONDS, Some(FOLDER)),
        ["--record", folder] => (SECONDS, Some(*folder)),
        [text] => match text.parse() {
            Ok(seconds) => (seconds, None),
            Err(e) => return usage(&format!("the length of a run, in seconds: {e}")),
        },
        _ => return usage("too many arguments"),
    };
    let _limit = TimeLimit::seconds(4 * seconds + 300);
    let Some(cpus) = two_cpus() else { return ExitCode::FAILURE };
    let accel = match kvm_missing() {
        None => {
            println!("The guest runs under KVM.");
            Accel::Kvm
        }
        Some(why) => {
            println!("The guest runs under TCG: {why}.");
            Accel::Tcg
        }
    };
    if let Some(folder) = pictures {
        return match pictures::make(Path::new(folder), accel, cpus) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let cpu = cpus.second;
    let cpu_text = cpu.to_string();

    println!("\nPIN_CPUS={cpu} LD_PRELOAD={} qemu-system-x86_64 …", library().display());
    let pinned = VmBuilder::usual(accel).env("PIN_CPUS", &cpu_text);
    let Some((with, recorded)) = run(pinned, seconds) else { return ExitCode::FAILURE };
    println!("\nThe same without the library:");
    // QEMU names its threads only when asked to; the library does it unasked.
    let plain = VmBuilder::usual(accel).without_library().debug_threads(true);
    let Some((without, _)) = run(plain, seconds) else { return ExitCode::FAILURE };

    // Every creator is on the set, so that no look at any thread may show another.
    let offences = judge(&with, Rule::Strict, |_| Expected::cpu(cpu));
    for offence in &offences {
        println!("{offence}");
    }
    println!("\n{}", verdict(&with, &without, cpu));
    let is_none_off = match &recorded {
        Ok(recorded) => {
            println!("{}", recorded.line(cpu));
            recorded.shows_none_off()
        }
        Err(why) => {
            println!("Not every switch was recorded: {why}");
            true
        }
    };
    if offences.is_empty() && is_none_off { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("{why}\nscripts/demo [SECONDS]\nscripts/demo --record [FOLDER]");
    ExitCode::from(2)
}

/// Looks at a VM for some time, and has it recorded.
fn run(vm: VmBuilder, seconds: u64) -> Option<(Observation, Result<Recorded, String>)> {
    let mut vm = vm.start()?;
    let observer = Observer::start(vm.pid());
    let recorder = Recorder::start(vm.pid());
    // The BIOS takes its time on a busy machine.
    vm.wait_visits(1);
    // Three bursts of disk traffic, so that workers come, beside what the guest does.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(seconds) / 3);
        vm.burst_of(4);
    }
    let recorded = recorder.finish();
    let seen = observer.finish();
    let serial = vm.serial();
    // What stands after the last line's end is only half printed.
    let line = serial.rsplit_once("\r\n").and_then(|(done, _)| done.lines().next_back()).unwrap_or("nothing");
    print_table(&seen);
    println!("{} looks; the guest has computed {line}", seen.looks);
    vm.quit();
    Some((seen, recorded))
}

fn print_table(seen: &Observation) {
    println!("{:>8}  {:<16} {:<12} LAST RAN ON", "THREAD", "NAME", "MAY RUN ON");
    for thread in seen.threads.values() {
        let mut allowed: Vec<_> = thread.runs.iter().map(|r| r.allowed.as_str()).collect();
        allowed.dedup();
        let ran = cpus_run_on(seen, thread.tid);
        println!("{:>8}  {:<16} {:<12} {}", thread.tid, thread.name(), allowed.join(", then "), ran);
    }
}

fn cpus_run_on(seen: &Observation, tid: u32) -> String {
    let mut cpus: Vec<_> =
        seen.threads.values().filter(|t| t.tid == tid).flat_map(|t| &t.runs).map(|r| r.last_cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn verdict(with: &Observation, without: &Observation, cpu: usize) -> String {
    let off = |seen: &Observation| {
        let expected = cpu.to_string();
        let stray = |run: &harness::Run| -> bool { run.allowed != expected || run.last_cpu != cpu };
        seen.threads.values().filter(|t| t.runs.iter().any(stray)).count()
    };
    let ran_elsewhere = |seen: &Observation| {
        seen.threads.values().filter(|t| t.runs.iter().any(|r| r.last_cpu != cpu)).count()
    };
    format!(
        "With the library {} of {} threads were ever off CPU {cpu}; without it {} of {} could leave it, and {} did.",
        off(with),
        with.count(),
        off(without),
        without.count(),
        ran_elsewhere(without)
    )
}
