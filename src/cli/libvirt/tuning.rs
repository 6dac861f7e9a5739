//! `<cputune>`: the CPUs that libvirt gives to threads, at the start or on `virsh vcpupin` and its like.

use pinning::CpuSet;

/// So many pins are kept: no domain has so many threads with one.
const PINS: usize = 8192;

/// A longer list of CPUs is not kept. libvirt's own sets end at CPU 16383.
pub(crate) const CPUSET_BYTES: usize = 64 << 10;

/// The pins of a domain, with their CPUs as libvirt writes them: numbers and ranges with commas between.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// By the vCPU's index.
    vcpus: Vec<(u32, String)>,
    /// By the IOThread's number: libvirt calls number 1 `iothread1`.
    iothreads: Vec<(u32, String)>,
    /// The emulator's threads.
    emulator: Option<String>,
}

impl Tuning {
    /// Takes an element of `<cputune>`.
    pub(crate) fn take(&mut self, kind: &str, attributes: &[(String, String)]) {
        let value = |name| attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        let Some(cpus) = value("cpuset").filter(|cpus| cpus.len() <= CPUSET_BYTES) else { return };
        let numbered = |name| value(name).and_then(|text| Some((text.parse().ok()?, cpus.clone())));
        match kind {
            "vcpupin" if self.vcpus.len() < PINS => self.vcpus.extend(numbered("vcpu")),
            "iothreadpin" if self.iothreads.len() < PINS => self.iothreads.extend(numbered("iothread")),
            "emulatorpin" => self.emulator = Some(cpus.clone()),
            _ => {}
        }
    }

    /// Every vCPU that has a pin, by its index, with its CPUs.
    pub(crate) fn vcpus(&self) -> impl Iterator<Item = (u32, CpuSet)> {
        all(&self.vcpus)
    }

    /// Every IOThread that has a pin, by its number, with its CPUs.
    pub(crate) fn iothreads(&self) -> impl Iterator<Item = (u32, CpuSet)> {
        all(&self.iothreads)
    }

    /// The CPUs that it gives to a vCPU, by its index.
    pub(crate) fn of_vcpu(&self, index: u32) -> Option<CpuSet> {
        of_number(&self.vcpus, index)
    }

    /// The CPUs that it gives to an IOThread, by the number in libvirt's name for it.
    pub(crate) fn of_iothread(&self, number: u32) -> Option<CpuSet> {
        of_number(&self.iothreads, number)
    }

    /// The CPUs that it gives to any other thread.
    pub(crate) fn of_emulator(&self) -> Option<CpuSet> {
        parse(self.emulator.as_deref()?)
    }
}

fn all(pins: &[(u32, String)]) -> impl Iterator<Item = (u32, CpuSet)> {
    pins.iter().filter_map(|(number, cpus)| Some((*number, parse(cpus)?)))
}

fn of_number(pins: &[(u32, String)], number: u32) -> Option<CpuSet> {
    pins.iter().find(|(pinned, _)| *pinned == number).and_then(|(_, cpus)| parse(cpus))
}

fn parse(cpus: &str) -> Option<CpuSet> {
    CpuSet::parse(cpus, &CpuSet::new()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuning(elements: &[(&str, &[(&str, &str)])]) -> Tuning {
        let mut tuning = Tuning::default();
        for (kind, attributes) in elements {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            tuning.take(kind, &attributes.iter().map(owned).collect::<Vec<_>>());
        }
        tuning
    }

    #[test]
    fn a_pin_gives_its_cpus_to_the_thread_that_it_names() {
        let tuning = tuning(&[
            ("vcpupin", &[("vcpu", "1"), ("cpuset", "0-2,^1")]),
            ("iothreadpin", &[("iothread", "2"), ("cpuset", "1")]),
            ("emulatorpin", &[("cpuset", "3")]),
            ("shares", &[]),
            ("vcpupin", &[("vcpu", "x"), ("cpuset", "1")]),
            ("vcpupin", &[("vcpu", "0")]),
        ]);
        let cpus = |mask| Some(CpuSet::from_words(&[mask]));
        assert_eq!((tuning.of_vcpu(1), tuning.of_vcpu(0)), (cpus(0b101), None));
        assert_eq!((tuning.of_iothread(2), tuning.of_iothread(1)), (cpus(0b10), None));
        assert_eq!(tuning.of_emulator(), cpus(0b1000));
    }

    #[test]
    fn pins_without_number_do_not_fill_the_memory() {
        let mut tuning = Tuning::default();
        let pin = [("vcpu".to_owned(), "0".to_owned()), ("cpuset".to_owned(), "0".to_owned())];
        (0..PINS + 9).for_each(|_| tuning.take("vcpupin", &pin));
        assert_eq!(tuning.vcpus.len(), PINS);
        let long = [("cpuset".to_owned(), "0,".repeat(CPUSET_BYTES))];
        tuning.take("emulatorpin", &long);
        assert_eq!(tuning.emulator, None);
    }
}
