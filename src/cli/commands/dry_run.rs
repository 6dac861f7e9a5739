//! What `pinshim run --dry-run` prints: a shell command that does the same, and the set of each role.
//!
//! All of it may be given to a shell: what is not the command is a comment. IOThreads are named as far as QEMU's
//! arguments name them. The sets of all others follow from the policy alone.

use crate::commands::shell;
use crate::output::text::count;
use crate::vm::command_line;
use pinning::{Policy, Role, SetId, Unmet, VCPU_LIMIT, VcpuIndex, acts_in};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The lines that are printed. `variables` are all that the library would read, `reasons` why `--auto` has chosen so.
pub(crate) fn lines(
    variables: &[(&'static str, OsString)],
    preload: &OsStr,
    command: &[OsString],
    policy: Option<&Policy>,
    reasons: &[String],
) -> Vec<String> {
    let mut rows = policy.map(|policy| rows(policy, command)).unwrap_or_default();
    let why = |(number, reason): (usize, &String)| {
        (if number == 0 { "why" } else { "" }.to_owned(), reason.clone())
    };
    rows.extend(reasons.iter().enumerate().map(why));
    let rows = rows.into_iter().map(|(who, set)| format!("#   {who:<28}  {set}"));
    let target = variables.iter().find(|(name, _)| *name == "PIN_TARGET").map(|(_, value)| value.as_os_str());
    let not_known = (!shows_qemu(command, target)).then(|| NOT_KNOWN.to_owned());
    let preload = [("LD_PRELOAD", preload.to_owned())];
    let line = shell::line(variables.iter().chain(&preload), command);
    [line].into_iter().chain(rows).chain(not_known).collect()
}

/// What is said of a script, whose QEMU has arguments that are not seen.
const NOT_KNOWN: &str = "#   COMMAND names no QEMU: which vCPUs and IOThreads its VM has is not known here";

/// Whether one of the words of a command names a QEMU, so that the words after it are its arguments.
fn shows_qemu(command: &[OsString], target: Option<&OsStr>) -> bool {
    let name = |word: &OsString| Path::new(word).file_name().map(OsStr::to_owned);
    command.iter().filter_map(name).any(|name| acts_in(target.map(OsStr::as_bytes), name.as_bytes()))
}

/// The names of the placement that no vCPU and no IOThread in QEMU's arguments has, each a sentence. None where the
/// arguments are not seen.
pub(crate) fn unmet(policy: &Policy, command: &[OsString], target: Option<&OsStr>) -> Vec<String> {
    if !shows_qemu(command, target) {
        return Vec::new();
    }
    let limit = command_line::vcpus(command);
    let vcpus: Vec<u32> = (0..limit.unwrap_or(0)).collect();
    let ids = command_line::iothreads(command);
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
    let unmet = policy.unmet(&vcpus, &ids).into_iter().filter_map(|wish| match &wish {
        Unmet::Vcpus(..) => {
            limit.map(|limit| format!("{wish}: -smp gives the VM {}", count(limit as usize, "vCPU")))
        }
        _ => Some(format!("{wish} among the -object arguments")),
    });
    unmet.collect()
}

/// Each role with its set.
fn rows(policy: &Policy, command: &[OsString]) -> Vec<(String, String)> {
    let emulator = policy.emulator();
    let list = |id: SetId| policy.set(id).to_string();
    let mut rows = vec![("emulator, main loop".to_owned(), list(emulator))];
    rows.extend(runs(policy, "vCPU", VCPU_LIMIT, |index| {
        policy.cpus_for(Role::Vcpu(VcpuIndex(index)), 0, emulator)
    }));
    let ids = command_line::iothreads(command);
    for (order, id) in (0u32..).zip(&ids) {
        let set = policy.cpus_for(Role::IoThread(id.as_bytes()), order, emulator);
        rows.push((format!("IOThread {id}"), list(set)));
    }
    // One that a script creates, or that is plugged in later. In a map the order does not matter.
    for id in policy.named_iothreads().filter(|named| ids.iter().all(|id| id != named)) {
        let set = policy.cpus_for(Role::IoThread(id.as_bytes()), 0, emulator);
        rows.push((format!("IOThread {id}"), list(set)));
    }
    // The empty id stands for every IOThread that no entry names: no object of QEMU has it.
    let others =
        runs(policy, "IOThread number", 1024, |order| policy.cpus_for(Role::IoThread(b""), order, emulator));
    match others.as_slice() {
        [(_, set)] => rows.push(("IOThreads not named".to_owned(), set.clone())),
        _ => rows.extend(others),
    }
    let workers = policy.workers().map_or("as the thread they work for".to_owned(), list);
    rows.push(("workers".to_owned(), workers));
    rows.push(("migration".to_owned(), list(policy.cpus_for(Role::Migration, 0, emulator))));
    let workers = runs(policy, "vhost worker", VCPU_LIMIT, |order| policy.vhost(order));
    match workers.as_slice() {
        [(_, set)] => rows.push(("vhost".to_owned(), set.clone())),
        _ => rows.extend(workers),
    }
    let rules = policy.entries().iter().find(|(name, _)| name == "PIN_THREADS");
    rows.extend(rules.map(|(_, rules)| ("by name, before all others".to_owned(), rules.clone())));
    let classes = policy.entries().iter().find(|(name, _)| name == "PIN_SCHED");
    rows.extend(classes.map(|(_, classes)| ("scheduling classes".to_owned(), classes.clone())));
    rows.extend(policy.memory().map(|memory| ("memory of QEMU itself".to_owned(), memory.to_string())));
    let own_cores = "SMT siblings run this VM or others, not both at a time";
    rows.extend(policy.core_scheduling().then(|| ("core scheduling".to_owned(), own_cores.to_owned())));
    rows
}

/// Consecutive numbers with the same set make one row: `vCPU 0-3`.
fn runs(policy: &Policy, noun: &str, limit: u32, set: impl Fn(u32) -> SetId) -> Vec<(String, String)> {
    let mut runs: Vec<(u32, u32, SetId)> = Vec::new();
    for number in 0..limit {
        let id = set(number);
        match runs.last_mut() {
            Some((_, last, of)) if *of == id => *last = number,
            _ => runs.push((number, number, id)),
        }
    }
    let name = |first: u32, last: u32| match (first, last) {
        (0, last) if last == limit - 1 => format!("every {noun}"),
        (first, last) if last == limit - 1 => format!("{noun} {first} and on"),
        (first, last) if first == last => format!("{noun} {first}"),
        (first, last) => format!("{noun} {first}-{last}"),
    };
    runs.into_iter().map(|(first, last, id)| (name(first, last), policy.set(id).to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinning::{CpuSet, Host};

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn policy(environment: &[(&str, &str)]) -> Policy {
        let all = CpuSet::from_words(&[0xff]);
        let host = Host { available: all.clone(), start: all };
        Policy::parse(environment.iter().copied(), &host).policy.unwrap()
    }

    #[test]
    fn what_the_arguments_do_not_show_is_said_and_not_left_out() {
        let policy = policy(&[("PIN_IOTHREADS", "io1@3,io2@4")]);
        let of = |command: &[&str]| lines(&[], OsStr::new("l"), &words(command), Some(&policy), &[]);
        let json = of(&["qemu-system-x86_64", "-object", r#"{"qom-type":"iothread","id":"io1"}"#]);
        let row = |lines: &[String], id: &str| {
            lines.iter().any(|line| line.starts_with(&format!("#   IOThread {id} ")))
        };
        assert!(row(&json, "io1") && row(&json, "io2") && !json.contains(&NOT_KNOWN.to_owned()), "{json:?}");
        let script = of(&["./start-vm.sh"]);
        assert!(row(&script, "io1") && row(&script, "io2"), "{script:?}");
        assert_eq!(script.last().unwrap(), NOT_KNOWN);
    }

    #[test]
    fn names_that_the_arguments_do_not_create_are_wishes_unmet() {
        let policy = policy(&[("PIN_IOTHREADS", "io1@3,fre@4"), ("PIN_VCPUS", "0@1,7@1")]);
        let of = |command: &[&str]| unmet(&policy, &words(command), None);
        let said = [
            "PIN_VCPUS places vCPU 7, and there is no such vCPU: -smp gives the VM 2 vCPUs",
            "PIN_IOTHREADS places fre, and there is no such IOThread among the -object arguments",
        ];
        let qemu = ["/usr/bin/qemu-system-x86_64", "-smp", "2", "-object", "iothread,id=io1"];
        assert_eq!(of(&qemu), said);
        assert_eq!(of(&[&["timeout", "9"], &qemu[..]].concat()), said);
        assert_eq!(of(&["./start-vm.sh"]), [""; 0]);
    }

    #[test]
    fn every_role_is_there() {
        let all = CpuSet::from_words(&[0xff]);
        let host = Host { available: all.clone(), start: all };
        let environment = [
            ("PIN_CPUS", "7"),
            ("PIN_VCPUS", "1,2,2"),
            ("PIN_IOTHREADS", "b@3,*@4"),
            ("PIN_THREADS", "x*@0"),
            ("PIN_SCHED", "vcpus@rr:1,workers@batch"),
            ("PIN_MEMORY", "preferred:0,1"),
            ("PIN_CORE", "vm"),
        ];
        let policy = Policy::parse(environment, &host).policy.unwrap();
        let command = words(&["qemu", "-object", "iothread,id=a", "-object", "iothread,id=b,poll-max-ns=0"]);
        let rows: Vec<String> =
            rows(&policy, &command).iter().map(|(who, set)| format!("{who}: {set}")).collect();
        let expected = [
            "emulator, main loop: 7",
            "vCPU 0: 1",
            "vCPU 1-2: 2",
            "vCPU 3 and on: 7",
            "IOThread a: 4",
            "IOThread b: 3",
            "IOThreads not named: 4",
            "workers: as the thread they work for",
            "migration: 7",
            "vhost: 7",
            "by name, before all others: x*@0",
            "scheduling classes: vcpus@rr:1,workers@batch",
            "memory of QEMU itself: preferred:0-1",
            "core scheduling: SMT siblings run this VM or others, not both at a time",
        ];
        assert_eq!(rows, expected);
    }
}
