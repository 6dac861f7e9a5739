//! The placement that does what `<cputune>` does: the pins of vCPUs, IOThreads and the emulator.

use crate::libvirt::tuning::Tuning;
use pinning::CpuSet;

/// What a domain has, as far as pins are about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Threads {
    /// How many vCPUs it may have.
    pub(crate) vcpus: u32,
    /// How many IOThreads it has.
    pub(crate) iothreads: u32,
    /// `<vcpu cpuset=…>`: the CPUs of every thread without a pin.
    pub(crate) cpuset: Option<CpuSet>,
}

/// The variables. Empty: nothing is pinned.
///
/// A vCPU or an IOThread without a pin may run on the CPUs of `<vcpu cpuset=…>`, or on all, whatever the emulator's are
/// (qemuProcessSetupPid in libvirt's src/qemu/qemu_process.c). The worker threads that do an IOThread's disk I/O are the
/// emulator's for libvirt.
pub(crate) fn placement(tuning: &Tuning, threads: &Threads) -> Vec<(String, String)> {
    let others = threads.cpuset.as_ref().map_or("[all]".to_owned(), bracketed);
    let map = |pins: Vec<(String, String)>, all: u32| {
        let is_whole = pins.len() as u64 >= u64::from(all);
        let entries = pins.into_iter().map(|(who, cpus)| format!("{who}@{cpus}"));
        let rest = (!is_whole).then(|| format!("*@{others}"));
        entries.chain(rest).collect::<Vec<_>>().join(",")
    };
    let vcpus: Vec<_> = tuning.vcpus().map(|(index, cpus)| (index.to_string(), bracketed(&cpus))).collect();
    let iothreads: Vec<_> =
        tuning.iothreads().map(|(number, cpus)| (format!("iothread{number}"), bracketed(&cpus))).collect();
    let emulator = tuning.of_emulator().or_else(|| threads.cpuset.clone()).map(|cpus| cpus.to_string());
    if vcpus.is_empty() && iothreads.is_empty() && emulator.is_none() {
        return Vec::new();
    }
    let has_iothreads = !iothreads.is_empty() || threads.iothreads > 0;
    let all = [
        ("PIN_VCPUS", Some(map(vcpus, threads.vcpus))),
        ("PIN_IOTHREADS", has_iothreads.then(|| map(iothreads, threads.iothreads))),
        ("PIN_EMULATOR", emulator.clone()),
        ("PIN_WORKERS", emulator),
    ];
    let named = |(name, value): (&str, Option<String>)| {
        Some((name.to_owned(), value.filter(|value| !value.is_empty())?))
    };
    all.into_iter().filter_map(named).collect()
}

/// A set as a placement has it: several CPUs stand in brackets.
fn bracketed(cpus: &CpuSet) -> String {
    let list = cpus.to_string();
    if list.contains([',', '-']) { format!("[{list}]") } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinning::{Host, Policy};

    /// The placement of these pins, as the attributes `NAME=VALUE`.
    fn of(pins: &[(&str, &str, &str)], threads: &Threads) -> Vec<String> {
        let mut tuning = Tuning::default();
        for (kind, number, cpus) in pins {
            let name = kind.trim_end_matches("pin");
            let attributes = [(name, number), ("cpuset", cpus)];
            let owned = attributes.map(|(name, value)| (name.to_owned(), (*value).to_owned()));
            tuning.take(kind, &owned);
        }
        let placement = placement(&tuning, threads);
        let pairs = placement.iter().map(|(name, value)| (name, value));
        let eight = CpuSet::from_words(&[0xff]);
        let parsed = Policy::parse(pairs, &Host { available: eight.clone(), start: eight });
        assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
        placement.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn threads(vcpus: u32, iothreads: u32) -> Threads {
        Threads { vcpus, iothreads, cpuset: None }
    }

    #[test]
    fn each_pin_becomes_an_entry() {
        let pins = [
            ("vcpupin", "0", "2"),
            ("vcpupin", "1", "4-6,^5"),
            ("iothreadpin", "1", "3"),
            ("emulatorpin", "", "0-1"),
        ];
        let expected =
            ["PIN_VCPUS=0@2,1@[4,6]", "PIN_IOTHREADS=iothread1@3", "PIN_EMULATOR=0-1", "PIN_WORKERS=0-1"];
        assert_eq!(of(&pins, &threads(2, 1)), expected);
    }

    #[test]
    fn threads_without_a_pin_get_what_libvirt_gives_them() {
        let pins = [("vcpupin", "0", "2"), ("iothreadpin", "2", "3")];
        assert_eq!(of(&pins, &threads(2, 2)), ["PIN_VCPUS=0@2,*@[all]", "PIN_IOTHREADS=iothread2@3,*@[all]"]);
        let cpuset = CpuSet::parse("0-3", &CpuSet::new()).ok();
        let expected = [
            "PIN_VCPUS=0@2,*@[0-3]",
            "PIN_IOTHREADS=iothread2@3,*@[0-3]",
            "PIN_EMULATOR=0-3",
            "PIN_WORKERS=0-3",
        ];
        assert_eq!(of(&pins, &Threads { cpuset, ..threads(2, 2) }), expected);
        let emulator = [("emulatorpin", "", "1")];
        assert_eq!(of(&emulator, &threads(1, 0)), ["PIN_VCPUS=*@[all]", "PIN_EMULATOR=1", "PIN_WORKERS=1"]);
    }

    #[test]
    fn where_nothing_is_pinned_there_is_no_placement() {
        assert_eq!(of(&[], &threads(2, 1)), [""; 0]);
    }
}
