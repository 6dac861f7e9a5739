//! From an environment to a policy.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::classes;
use super::parsed::{OnError, ParsedEnvironment};
use super::reader::EnvironmentReader;
use super::variables::{asks_for_placement, rank};
use crate::memory::NodeSet;
use crate::policy::{Host, IoThreadId, Manager, Policy, VcpuRange, VhostPlacement};

impl Policy {
    /// Parses an environment, as `std::env::vars_os` gives it.
    ///
    /// Every item of every variable is checked before anything is decided, so that a user sees all faults
    /// at once (of very many in one value the first). Of a name that is set twice the first counts, as for `getenv(3)`. No value, whatever its
    /// bytes, causes a panic.
    pub fn parse<I, N, V>(environment: I, host: &Host) -> ParsedEnvironment
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        Self::parse_with_nodes(environment, host, None)
    }

    /// The same where it is known which NUMA nodes there are (`nodes`), so that one which is not there is a fault.
    pub fn parse_with_nodes<I, N, V>(
        environment: I,
        host: &Host,
        nodes: Option<&NodeSet>,
    ) -> ParsedEnvironment
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let reader = EnvironmentReader::new(environment, host);
        if reader.names_placement() { parse(reader, nodes) } else { ParsedEnvironment::without_placement() }
    }

    /// Whether the environment has a variable that places threads, or a misspelt name of one. Cheap: no
    /// value is read.
    pub fn names_placement<I, N, V>(environment: I) -> bool
    where
        I: IntoIterator<Item = (N, V)>,
        N: AsRef<OsStr>,
    {
        environment.into_iter().any(|(name, _)| asks_for_placement(name.as_ref().as_bytes()))
    }
}

fn parse(mut reader: EnvironmentReader<'_>, nodes: Option<&NodeSet>) -> ParsedEnvironment {
    let on_error = reader.word("PIN_ERRORS", &[("exit", OnError::Exit), ("warn", OnError::Warn)]);
    let on_error = on_error.unwrap_or_default();
    let manager = reader.word("PIN_MANAGER", &[("libvirt", Manager::Libvirt)]);
    reader.absent_cpus_are_faults = manager.is_none();
    let watch = reader.seconds("PIN_WATCH");
    let names_threads = reader.word("PIN_NAMES", &[("on", true), ("off", false)]).unwrap_or(true);
    let log_filter = reader.log_filter().unwrap_or_else(|| "warn".to_owned());
    reader.target();
    reader.misspellings();

    // The base comes before every other set, so that its number is 0.
    let base = reader.base();
    let vcpus = reader.placement::<VcpuRange>("PIN_VCPUS");
    let all_vcpus = reader.union_of(vcpus.as_ref());
    let iothreads = reader.placement::<IoThreadId>("PIN_IOTHREADS");
    let emulator = reader.set("PIN_EMULATOR").unwrap_or(base);
    let workers = reader.set("PIN_WORKERS");
    let migration = reader.set("PIN_MIGRATION").unwrap_or(emulator);
    let vhost = reader.vhost().unwrap_or(VhostPlacement::All(emulator));
    let rules = reader.rules().unwrap_or_default();
    let classes = reader.classes();
    let memory = reader.memory_policy(nodes);
    let core_scheduling = reader.word("PIN_CORE", &[("vm", true), ("off", false)]).unwrap_or(false);

    let EnvironmentReader { sets, mut accepted, mut faults, warnings, .. } = reader;
    faults.sort_by_key(|fault| rank(fault.variable));
    accepted.sort_by_key(|(name, _)| rank(name));
    let mut policy = Policy {
        sets: sets.into_vec(),
        vcpus,
        all_vcpus,
        iothreads,
        emulator,
        workers,
        migration,
        vhost,
        rules,
        classes,
        memory,
        core_scheduling,
        manager,
        watch,
        names_threads,
        log_filter,
        entries: accepted.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    // Where QEMU does not start anyway, a variable that is wrong would only be the cause of another fault.
    if faults.is_empty() || on_error == OnError::Warn {
        if let Some(fault) = classes::that_would_hang(&policy) {
            policy.classes = None;
            policy.entries.retain(|(name, _)| name != classes::NAME);
            faults.push(fault);
            faults.sort_by_key(|fault| rank(fault.variable));
        }
    }
    let places = policy.entries.iter().any(|(name, _)| asks_for_placement(name.as_bytes()));
    let may_start = faults.is_empty() || on_error == OnError::Warn;
    ParsedEnvironment { policy: (places && may_start).then_some(policy), faults, warnings, on_error }
}
