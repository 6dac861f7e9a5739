//! Sleep states from which the CPUs wake up slowly: an interrupt for the guest waits that long.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, of_cpu, read};
use crate::doctor::shell;
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use crate::sys::host_tree::{HostTree, cpu_folder};
use pinning::{CpuId, CpuSet};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

const TOPIC: &str = "idle-states";

/// Waking up in so many microseconds is fast.
const FAST: u64 = 10;

/// The latency that a CPU may need at most, in microseconds: `0` for any, `n/a` for none at all
/// (ABI/testing/sysfs-devices-power of the kernel's Documentation).
const LIMIT: &str = "power/pm_qos_resume_latency_us";

/// A state of a CPU's: where it says how long it takes to leave it, and how long that is in microseconds.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct State {
    latency: u64,
    name: String,
    file: PathBuf,
}

/// Looks at the slowest state that each CPU may take (admin-guide/pm/cpuidle of the kernel's Documentation).
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut slow: BTreeMap<(u64, String), (PathBuf, CpuSet)> = BTreeMap::new();
    let mut has_states = false;
    for cpu in subject.online().iter() {
        match slowest(subject, cpu, &mut has_states) {
            Ok(Some(state)) if state.latency > FAST => {
                let (_, cpus) =
                    slow.entry((state.latency, state.name)).or_insert_with(|| (state.file, CpuSet::new()));
                cpus.insert(cpu);
            }
            Ok(_) => {}
            Err((file, error)) => return vec![Finding::unread(TOPIC, file, &error)],
        }
    }
    let all = slow.values().fold(CpuSet::new(), |all, (_, cpus)| all.union(cpus));
    let Some(((latency, name), (file, cpus))) = slow.into_iter().next_back() else {
        let what = if has_states {
            "the CPUs wake up within 10 µs"
        } else {
            "this kernel puts the CPUs into no sleep state"
        };
        return vec![Finding::ok(TOPIC, what)];
    };
    let to_do = format!(
        "as root: for cpu in {}; do echo {FAST} > /sys/devices/system/cpu/cpu$cpu/{LIMIT}; done (costs power)",
        shell::each(&all)
    );
    let what = format!("{} may sleep in {name}, from which waking up takes {latency} µs", named(&cpus));
    vec![Finding::note(TOPIC, what).read(file, latency.to_string()).and_do(to_do)]
}

/// The state that takes longest to leave, of those that are not disabled and that the CPU's limit allows.
fn slowest(
    subject: &Subject<'_, '_>,
    cpu: CpuId,
    has_states: &mut bool,
) -> Result<Option<State>, (PathBuf, io::Error)> {
    let text = |file: PathBuf| match read(subject.kernel(), &file) {
        Reading::Text(text) => Ok(Some(text)),
        Reading::Absent => Ok(None),
        Reading::Failed(error) => Err((file, error)),
    };
    let limit = match text(of_cpu(cpu, LIMIT))?.as_deref() {
        Some("n/a") => 0,
        Some(limit) => limit.parse().ok().filter(|limit| *limit != 0).unwrap_or(u64::MAX),
        None => u64::MAX,
    };
    let mut slowest = None;
    for number in HostTree::here(subject.kernel()).numbered(cpu_folder(cpu).join("cpuidle"), "state") {
        *has_states = true;
        let of = |name: &str| of_cpu(cpu, &format!("cpuidle/state{number}/{name}"));
        let file = of("latency");
        let latency = text(file.clone())?.and_then(|latency| latency.parse().ok()).unwrap_or(0);
        let is_disabled = text(of("disable"))?.is_some_and(|disabled| disabled != "0");
        if !is_disabled && latency <= limit {
            let name = text(of("name"))?.unwrap_or_default();
            slowest = slowest.max(Some(State { latency, name, file }));
        }
    }
    Ok(slowest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::FakeKernel;

    fn host() -> FakeKernel {
        let kernel = FakeKernel::new();
        for cpu in 0..4 {
            for (number, (name, latency)) in [("POLL", 0), ("C1", 2), ("C6", 133)].into_iter().enumerate() {
                let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cpuidle/state{number}");
                kernel.write(format!("{folder}/name"), format!("{name}\n"));
                kernel.write(format!("{folder}/latency"), format!("{latency}\n"));
                kernel.write(format!("{folder}/disable"), "0\n");
            }
            kernel.write(format!("/sys/devices/system/cpu/cpu{cpu}/{LIMIT}"), "0\n");
        }
        kernel
    }

    #[test]
    fn a_state_that_is_slow_to_leave_is_noted() {
        let kernel = host();
        let note = "note idle-states: CPUs 1-2 may sleep in C6, from which waking up takes 133 µs \
                    (/sys/devices/system/cpu/cpu1/cpuidle/state2/latency: 133) -> as root: for cpu in 1 2; do echo 10 > \
                    /sys/devices/system/cpu/cpu$cpu/power/pm_qos_resume_latency_us; done (costs power)";
        assert_eq!(said(&kernel, "1-2", examine), [note]);
    }

    #[test]
    fn a_state_that_is_disabled_or_beyond_the_limit_is_not_taken() {
        let kernel = host();
        kernel.write("/sys/devices/system/cpu/cpu1/cpuidle/state2/disable", "1\n");
        kernel.write(format!("/sys/devices/system/cpu/cpu2/{LIMIT}"), "10\n");
        kernel.write(format!("/sys/devices/system/cpu/cpu3/{LIMIT}"), "n/a\n");
        assert_eq!(said(&kernel, "1-3", examine), ["ok idle-states: the CPUs wake up within 10 µs"]);
        assert!(said(&kernel, "0-3", examine)[0].starts_with("note idle-states: CPU 0 may sleep in C6"));
    }

    #[test]
    fn without_states_there_is_nothing_to_leave_and_some_cannot_be_read() {
        let ok = "ok idle-states: this kernel puts the CPUs into no sleep state";
        assert_eq!(said(&FakeKernel::new(), "1", examine), [ok]);
        let kernel = host();
        kernel.deny("/sys/devices/system/cpu/cpu1/cpuidle/state1/latency");
        assert!(said(&kernel, "1", examine)[0].starts_with("note idle-states: not known"));
    }
}
