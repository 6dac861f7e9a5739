//! What `pinshim run --dry-run` prints: a shell command that does the same, and the set of each role.
//!
//! All of it may be given to a shell: what is not the command is a comment. IOThreads are named as far as QEMU's
//! arguments name them. The sets of all others follow from the policy alone.

use crate::commands::shell;
use crate::vm::command_line;
use pinning::{Policy, Role, SetId, VCPU_LIMIT, VcpuIndex};
use std::ffi::{OsStr, OsString};

/// The lines that are printed. `variables` are all that the library would read.
pub(crate) fn lines(
    variables: &[(&'static str, OsString)],
    preload: &OsStr,
    command: &[OsString],
    policy: Option<&Policy>,
) -> Vec<String> {
    let rows = policy.map(|policy| rows(policy, command)).unwrap_or_default();
    let rows = rows.into_iter().map(|(who, set)| format!("#   {who:<28}  {set}"));
    let preload = [("LD_PRELOAD", preload.to_owned())];
    let line = shell::line(variables.iter().chain(&preload), command);
    [line].into_iter().chain(rows).collect()
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
    rows.push(("vhost".to_owned(), list(policy.vhost())));
    let rules = policy.entries().iter().find(|(name, _)| name == "PIN_THREADS");
    rows.extend(rules.map(|(_, rules)| ("by name, before all others".to_owned(), rules.clone())));
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

    #[test]
    fn every_role_is_there() {
        let all = CpuSet::from_words(&[0xff]);
        let host = Host { available: all.clone(), start: all };
        let environment = [
            ("PIN_CPUS", "7"),
            ("PIN_VCPUS", "1,2,2"),
            ("PIN_IOTHREADS", "b@3,*@4"),
            ("PIN_THREADS", "x*@0"),
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
        ];
        assert_eq!(rows, expected);
    }
}
