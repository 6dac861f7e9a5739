//! `pinshim doctor` on this machine and on real guests: what works against pinning is found, the command that is given
//! mends it, and what is read is what the kernel says.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;

use harness::{
    Accel, Finished, NOBODY, Program, Scratch, TimeLimit, Vm, VmBuilder, command, hide_other_users,
    kvm_and_tcg, own_mounts_missing, pinshim, root_missing, skip, two_cpus,
};
use pinning::{CpuId, CpuSet};
use serde_json::Value;

/// A guest with one vCPU, on `vcpu`, and all else on `rest`.
fn guest(accel: Accel, vcpu: usize, rest: usize) -> Option<Vm> {
    let vm = VmBuilder::new(accel)
        .smp("1")
        .env("PIN_VCPUS", &vcpu.to_string())
        .env("PIN_CPUS", &rest.to_string())
        .start()?;
    vm.wait_visits(1);
    Some(vm)
}

/// What was found, as JSON, with the exit status.
fn found(words: &[&str]) -> (i32, Value) {
    parsed(&pinshim(&[&["doctor", "--json"], words].concat()))
}

fn parsed(finished: &Finished) -> (i32, Value) {
    let document: Value =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    assert_eq!(document["exit_status"], finished.code(), "{finished:?}");
    (finished.code(), document)
}

/// The findings about a topic, of the first that was examined.
fn about<'a>(document: &'a Value, topic: &str) -> Vec<&'a Value> {
    let findings = document["examined"][0]["findings"].as_array().unwrap();
    findings.iter().filter(|finding| finding["topic"] == topic).collect()
}

/// Whether all findings about a topic are of this grade.
#[track_caller]
fn all_are(document: &Value, topic: &str, grade: &str) {
    let findings = about(document, topic);
    assert!(
        !findings.is_empty() && findings.iter().all(|finding| finding["grade"] == grade),
        "{topic}: {findings:#?}"
    );
}

/// Does what a finding says, in a shell that has the command in its PATH.
fn done(command_line: &str) {
    let path = format!("{}:{}", command().parent().unwrap().display(), std::env::var("PATH").unwrap());
    Program::new("sh").env("PATH", path).args(["-c", command_line]).run().assert_clean();
}

fn taskset(tid: u32, cpu: usize) {
    Program::new("taskset").args(["-pc", &cpu.to_string(), &tid.to_string()]).run().assert_clean();
}

fn an_emulator_on_a_vcpus_cpu_is_found_and_the_command_mends_it(accel: Accel) {
    command();
    let _limit = TimeLimit::seconds(300);
    let Some(cpus) = two_cpus() else { return };
    let Some(vm) = guest(accel, cpus.second, cpus.first) else { return };
    let pid = vm.pid().to_string();
    let (_, apart) = found(&[&pid]);
    all_are(&apart, "own-threads", "ok");
    all_are(&apart, "vcpus", "ok");
    assert_eq!(apart["examined"][0]["cpus"], cpus.second.to_string());
    taskset(vm.pid(), cpus.second);
    let (status, together) = found(&[&pid]);
    assert_eq!(status, 1);
    all_are(&together, "own-threads", "fix");
    let finding = about(&together, "own-threads")[0];
    assert_eq!(finding["read"][0]["file"], format!("/proc/{pid}/task/{pid}/status"));
    assert_eq!(finding["read"][0]["value"], format!("Cpus_allowed_list {}", cpus.second));
    let to_do = finding["to_do"].as_str().unwrap();
    let now = to_do.strip_prefix("now: ").unwrap().split("; for good: ").next().unwrap();
    done(now);
    all_are(&found(&[&pid]).1, "own-threads", "ok");
}

kvm_and_tcg!(
    a_kvm_guests_emulator_on_a_vcpus_cpu_is_found_and_the_command_mends_it,
    a_tcg_guests_emulator_on_a_vcpus_cpu_is_found_and_the_command_mends_it,
    an_emulator_on_a_vcpus_cpu_is_found_and_the_command_mends_it
);

#[test]
fn a_second_vm_on_the_same_cpu_is_found_and_the_command_mends_it() {
    command();
    let _limit = TimeLimit::seconds(300);
    let Some(cpus) = two_cpus() else { return };
    let Some(one) = guest(Accel::Tcg, cpus.second, cpus.first) else { return };
    let Some(other) = guest(Accel::Tcg, cpus.second, cpus.first) else { return };
    let (pid, others) = (one.pid().to_string(), format!("(PID {})", other.pid()));
    // Other VMs may run on this machine meanwhile.
    let of_other = |document: &Value| -> Vec<Value> {
        let findings = about(document, "other-vms").into_iter();
        findings.filter(|finding| finding["what"].as_str().unwrap().contains(&others)).cloned().collect()
    };
    let (status, both) = found(&[&pid]);
    let findings = of_other(&both);
    assert_eq!((status, findings.len(), &findings[0]["grade"]), (1, 1, &"fix".into()), "{findings:#?}");
    done(findings[0]["to_do"].as_str().unwrap());
    assert_eq!(of_other(&found(&[&pid]).1), [] as [Value; 0]);
    // CPUs of a VM that is to be started.
    let (_, before) = found(&["--cpus", &cpus.first.to_string()]);
    assert_eq!(of_other(&before).len(), 1, "{before:#}");
}

/// The interrupts of devices that may arrive on a CPU, by the kernel's own files.
fn interrupts_on(cpu: usize) -> BTreeSet<u32> {
    let all = fs::read_to_string("/proc/interrupts").unwrap();
    let numbers = all.lines().filter_map(|line| line.split_once(':')?.0.trim().parse::<u32>().ok());
    let may = |number: &u32| {
        let list = fs::read_to_string(format!("/proc/irq/{number}/smp_affinity_list")).unwrap_or_default();
        let set = CpuSet::parse(list.trim(), &CpuSet::new()).unwrap_or_default();
        set.contains(CpuId(u32::try_from(cpu).unwrap()))
    };
    numbers.filter(may).collect()
}

#[test]
fn the_interrupts_that_may_arrive_on_a_cpu_are_those_of_the_kernels_files() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let (_, document) = found(&["--cpus", &cpus.second.to_string()]);
    let commands = about(&document, "interrupts").into_iter().filter_map(|finding| finding["to_do"].as_str());
    let named: BTreeSet<u32> = commands
        .filter_map(|command| command.strip_prefix("as root: for irq in ")?.split_once(';'))
        .flat_map(|(numbers, _)| numbers.split(' ').map(|number| number.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    let expected = interrupts_on(cpus.second);
    if expected.is_empty() {
        all_are(&document, "interrupts", "ok");
    }
    // So many are named in a command.
    if expected.len() <= 64 {
        assert_eq!(named, expected);
    }
}

#[test]
fn an_ordinary_user_is_told_the_same_of_its_own_vm_and_what_it_may_not_read() {
    command();
    let _limit = TimeLimit::seconds(300);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let builder = VmBuilder::new(Accel::Tcg).smp("1").env("PIN_CPUS", &cpus.first.to_string());
    let Some(own) = builder.env("PIN_VCPUS", &cpus.second.to_string()).user(NOBODY).start() else { return };
    let Some(roots) = guest(Accel::Tcg, cpus.second, cpus.first) else { return };
    own.wait_visits(1);
    let scratch = Scratch::new();
    let copy = scratch.copy(command());
    let as_nobody = |words: &[&str]| {
        parsed(&Program::new(&copy).args([&["doctor", "--json"], words].concat()).user(NOBODY).run())
    };
    let (status, document) = as_nobody(&[&own.pid().to_string()]);
    assert_eq!(status, 1, "root's VM is on the same CPU");
    all_are(&document, "own-threads", "ok");
    let others = about(&document, "other-vms");
    let of_root = format!("(PID {}, user root)", roots.pid());
    assert!(others.iter().any(|finding| finding["what"].as_str().unwrap().contains(&of_root)), "{others:#?}");
    // Where the threads of root's VM may run is no secret; what else of it is, is said.
    let (_, hidden) = as_nobody(&[&roots.pid().to_string()]);
    assert_eq!(hidden["examined"][0]["cpus"], cpus.second.to_string());
    all_are(&hidden, "own-threads", "ok");
}

#[test]
fn what_is_hidden_from_a_user_is_said_to_be_so() {
    command();
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing().or_else(own_mounts_missing) {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let scratch = Scratch::new();
    let copy = scratch.copy(command());
    let (second, words) = (cpus.second.to_string(), ["doctor", "--json", "--cpus"]);
    let hidden = Program::new(&copy).args([&words[..], &[&second]].concat()).user(NOBODY);
    let (_, document) = parsed(&hidden.before_exec(hide_other_users).run());
    for topic in ["other-vms", "kernel-threads", "irqbalance"] {
        all_are(&document, topic, "note");
        assert_eq!(about(&document, topic)[0]["read"][0]["value"], "hidepid=invisible", "{topic}");
    }
}

#[test]
fn what_was_read_is_what_the_files_say() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let (_, document) = found(&["--cpus", &cpus.second.to_string()]);
    let findings = document["examined"][0]["findings"].as_array().unwrap();
    let mut compared = 0;
    for read in findings.iter().flat_map(|finding| finding["read"].as_array().unwrap()) {
        let (file, value) = (read["file"].as_str().unwrap(), read["value"].as_str().unwrap());
        if !file.starts_with("/sys/") && !file.starts_with("/proc/sys/") {
            continue;
        }
        let says = match fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => "none".to_owned(),
            Ok(text) => text.trim().to_owned(),
            Err(_) if value.starts_with("no such ") => value.to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(value, says, "{file}");
        compared += 1;
    }
    assert!(compared >= 3, "{document:#}");
}

#[test]
fn the_text_has_a_line_for_each_finding_and_a_count() {
    command();
    let _limit = TimeLimit::seconds(60);
    let Some(cpus) = two_cpus() else { return };
    let cpu = cpus.second.to_string();
    let text = pinshim(&["doctor", "--cpus", &cpu]);
    text.assert_stderr_empty();
    let lines: Vec<&str> = text.stdout.lines().collect();
    let (first, rest) = lines.split_first().unwrap();
    let (last, findings) = rest.split_last().unwrap();
    assert_eq!(*first, format!("CPU {cpu}"));
    let count = |grade: &str| findings.iter().filter(|line| line.split(' ').next() == Some(grade)).count();
    let (fixes, notes, oks) = (count("fix"), count("note"), count("ok"));
    assert_eq!(fixes + notes + oks, findings.len(), "{text:?}");
    let noun = if notes == 1 { "note" } else { "notes" };
    assert_eq!(*last, format!("{fixes} to fix, {notes} {noun}, {oks} ok"));
    assert_eq!(text.code(), i32::from(fixes > 0));
    for (words, says) in
        [(["--cpus", "4095"], "this host has no CPU 4095"), (["--cpus", "x"], "--cpus=x: column 1")]
    {
        let refused = pinshim(&[&["doctor"], &words[..]].concat());
        assert!(refused.code() == 2 && refused.stderr.contains(says), "{refused:?}");
    }
}
