//! The policy of a status page of layout 1, which libraries wrote that are older than this command.
//!
//! Such a page does not say which CPUs were available to QEMU when the policy was read, and what `all` stands
//! for in a variable depends on it. So the host is guessed, until the sets that the variables make are those
//! of the page.

use pinning::status_page::Snapshot;
use pinning::{CpuSet, Host, Policy};

/// So many of the page's sets are tried as what was available.
const SETS_TRIED: usize = 16;

/// The policy that the page's variables make on some host. `None` if its sets are those of the page on no
/// host that was tried.
///
/// The first guess is the union of the page's sets, as a CPU that is in no set made no difference to any;
/// then what is available now; then each of the page's sets. Under a manager a CPU that is not available is
/// no fault, so the variables are parsed as if there were one: that also keeps CPUs that a set names and then
/// leaves out, as in `5,^5`.
pub(crate) fn policy_of(snapshot: &Snapshot, available_now: impl FnOnce() -> CpuSet) -> Option<Policy> {
    let union = snapshot.sets.iter().fold(CpuSet::new(), |union, set| union.union(set));
    let start = snapshot.sets.first()?;
    let manager = ("PIN_MANAGER".to_owned(), "libvirt".to_owned());
    let parse = |available: CpuSet| {
        let host = Host { available, start: start.clone() };
        let variables = snapshot.environment.iter().chain([&manager]);
        let policy = Policy::parse(variables.map(|(name, value)| (name, value)), &host).policy?;
        (policy.sets() == snapshot.sets).then_some(policy)
    };
    let sets = snapshot.sets.iter().take(SETS_TRIED);
    parse(union).or_else(|| parse(available_now())).or_else(|| sets.cloned().find_map(parse))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(environment: &[(&str, &str)], host: &Host) -> Snapshot {
        let policy = Policy::parse(environment.iter().copied(), host).policy.unwrap();
        Snapshot {
            owner: 7,
            broker: None,
            settled: false,
            sandboxed: false,
            threads_may_be_unseen: false,
            start_class: None,
            sets: policy.sets().to_vec(),
            host: None,
            environment: policy.entries().to_vec(),
            threads: Vec::new(),
            memory: Default::default(),
            core: Default::default(),
            counters: Default::default(),
        }
    }

    #[test]
    fn the_policy_is_made_again_without_knowing_the_host() {
        let host = Host { available: CpuSet::from_words(&[0xff]), start: CpuSet::from_words(&[0x3]) };
        for environment in [
            &[("PIN_CPUS", "1")][..],
            &[("PIN_CPUS", "all,^3")],
            &[("PIN_CPUS", "5,^5,0")],
            &[("PIN_VCPUS", "*@[all,^0-1]"), ("PIN_EMULATOR", "0")],
            &[("PIN_VCPUS", "2,[3-4]"), ("PIN_IOTHREADS", "io1@5,*@6"), ("PIN_THREADS", "worker@[0,1]")],
            &[("PIN_EMULATOR", "0x6"), ("PIN_MANAGER", "libvirt")],
            &[("PIN_MANAGER", "libvirt"), ("PIN_CPUS", "1,40"), ("PIN_WORKERS", "all")],
        ] {
            let snapshot = snapshot(environment, &host);
            let policy = policy_of(&snapshot, CpuSet::new).unwrap_or_else(|| panic!("{environment:?}"));
            assert_eq!(policy.entries().first(), snapshot.environment.first());
        }
    }

    #[test]
    fn sets_that_are_not_those_of_the_variables_are_not_believed() {
        let host = Host { available: CpuSet::from_words(&[3]), start: CpuSet::from_words(&[3]) };
        let mut snapshot = snapshot(&[("PIN_CPUS", "1")], &host);
        snapshot.sets = vec![CpuSet::from_words(&[1])];
        assert!(policy_of(&snapshot, CpuSet::new).is_none());
    }
}
