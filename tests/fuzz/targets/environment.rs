//! Environments: one variable, or several.

use super::{hosts, policy};
use pinning::VARIABLES;

/// A placement of vCPUs and of IOThreads, and a list under a manager.
pub(crate) fn placement(data: &[u8]) {
    let (host, text) = hosts::choose(data);
    for name in ["PIN_VCPUS", "PIN_IOTHREADS"] {
        let one = (name.to_owned(), text.to_vec());
        // What is right without a manager has no warning and is right with one.
        let alone = policy::check(std::slice::from_ref(&one), &host);
        let managed = policy::check(&[one, ("PIN_MANAGER".to_owned(), b"libvirt".to_vec())], &host);
        assert!(alone.faults.is_empty() == alone.policy.is_some() && alone.warnings.is_empty());
        assert!(alone.policy.is_none() || (managed.policy.is_some() && managed.warnings.is_empty()));
    }
}

/// Rules.
pub(crate) fn rules(data: &[u8]) {
    let (host, text) = hosts::choose(data);
    let parsed = policy::check(&[("PIN_THREADS".to_owned(), text.to_vec())], &host);
    assert!(parsed.faults.is_empty() == parsed.policy.is_some());
}

/// Scheduling classes, with CPUs that real-time ones have alone and without.
pub(crate) fn classes(data: &[u8]) {
    let (host, text) = hosts::choose(data);
    let classes = ("PIN_SCHED".to_owned(), text.to_vec());
    let alone = policy::check(std::slice::from_ref(&classes), &host);
    assert!(alone.faults.is_empty() == alone.policy.is_some());
    let places =
        [("PIN_VCPUS", "0-1"), ("PIN_IOTHREADS", "io1@2"), ("PIN_WORKERS", "3"), ("PIN_EMULATOR", "3")];
    let places = places.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    // A variable that would hang QEMU, or makes no sense, does not count.
    let warn = [("PIN_ERRORS".to_owned(), b"warn".to_vec())];
    let all = [&places[..], &warn, &[classes]].concat();
    let placed = policy::check(&all, &host);
    assert!(placed.policy.is_none_or(|policy| !policy.has_classes() || alone.faults.iter().all(is_of_cpus)));
}

/// Whether a fault of `PIN_SCHED` is about where the threads run.
fn is_of_cpus(fault: &pinning::Fault) -> bool {
    fault.to_string().contains(" real-time class")
}

/// Any pairs: each ends at a NUL; its first byte chooses a variable that there is, or the pair has a name of
/// its own before a `=`.
pub(crate) fn run(data: &[u8]) {
    let (host, data) = hosts::choose(data);
    let pair = |bytes: &[u8]| {
        let (choice, rest) = bytes.split_first()?;
        if let Some(variable) = VARIABLES.get(usize::from(choice.wrapping_sub(b'A'))) {
            return Some((variable.name.to_owned(), rest.to_vec()));
        }
        let at = rest.iter().position(|byte| *byte == b'=')?;
        Some((String::from_utf8_lossy(&rest[..at]).into_owned(), rest[at + 1..].to_vec()))
    };
    let environment: Vec<(String, Vec<u8>)> = data.split(|byte| *byte == 0).filter_map(pair).collect();
    policy::check(&environment, &host);
}
