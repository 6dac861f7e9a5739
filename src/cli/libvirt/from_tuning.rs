//! The placement that does what `<cputune>` does: the pins of vCPUs, IOThreads and the emulator.

use crate::libvirt::own_threads::OwnThreads;
use crate::libvirt::tuning::Tuning;
use pinning::CpuSet;

/// The variables. Empty: nothing is pinned.
///
/// A vCPU or an IOThread without a pin may run on the CPUs of `<vcpu cpuset=…>`, or on all, whatever the emulator's are
/// (qemuProcessSetupPid in libvirt's src/qemu/qemu_process.c). The worker threads that do an IOThread's disk I/O are the
/// emulator's for libvirt.
pub(crate) fn placement(tuning: &Tuning, threads: &OwnThreads) -> Vec<(String, String)> {
    let cpuset = threads.cpuset();
    let others = cpuset.as_ref().map_or("[all]".to_owned(), bracketed);
    let map = |pins: Vec<(String, String)>, all: usize| {
        let is_whole = pins.len() >= all;
        let entries = pins.into_iter().map(|(who, cpus)| format!("{who}@{cpus}"));
        let rest = (!is_whole).then(|| format!("*@{others}"));
        entries.chain(rest).collect::<Vec<_>>().join(",")
    };
    let vcpus: Vec<_> = tuning.vcpus().map(|(index, cpus)| (index.to_string(), bracketed(&cpus))).collect();
    let iothreads: Vec<_> =
        tuning.iothreads().map(|(number, cpus)| (format!("iothread{number}"), bracketed(&cpus))).collect();
    let emulator = tuning.of_emulator().or(cpuset).map(|cpus| cpus.to_string());
    if vcpus.is_empty() && iothreads.is_empty() && emulator.is_none() {
        return Vec::new();
    }
    let (all_vcpus, all_iothreads) = (threads.vcpus().unwrap_or_default().len(), threads.iothreads().len());
    let has_iothreads = !iothreads.is_empty() || all_iothreads > 0;
    let all = [
        ("PIN_VCPUS", Some(map(vcpus, all_vcpus))),
        ("PIN_IOTHREADS", has_iothreads.then(|| map(iothreads, all_iothreads))),
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
    fn of(pins: &[(&str, &str, &str)], threads: &OwnThreads) -> Vec<String> {
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

    fn threads(vcpus: u32, iothreads: u32) -> OwnThreads {
        let mut threads = OwnThreads::default();
        threads.take_vcpus(&vcpus.to_string());
        threads.take_iothreads(&iothreads.to_string());
        threads
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
        let mut within = threads(2, 2);
        within.take_cpuset(&[("cpuset".to_owned(), "0-3".to_owned())]);
        let expected = [
            "PIN_VCPUS=0@2,*@[0-3]",
            "PIN_IOTHREADS=iothread2@3,*@[0-3]",
            "PIN_EMULATOR=0-3",
            "PIN_WORKERS=0-3",
        ];
        assert_eq!(of(&pins, &within), expected);
        let emulator = [("emulatorpin", "", "1")];
        assert_eq!(of(&emulator, &threads(1, 0)), ["PIN_VCPUS=*@[all]", "PIN_EMULATOR=1", "PIN_WORKERS=1"]);
    }

    #[test]
    fn where_nothing_is_pinned_there_is_no_placement() {
        assert_eq!(of(&[], &threads(2, 1)), [""; 0]);
    }
}
