//! The vCPUs and IOThreads that a domain has, or may get.

use crate::libvirt::tuning::CPUSET_BYTES;
use pinning::CpuSet;

/// More vCPUs and IOThreads than this are not counted: no policy can name them.
const THREADS: u32 = 8192;

/// So many arguments of QEMU's own are kept, and so many bytes of each.
const ARGUMENTS: usize = 64;
const ARGUMENT_BYTES: usize = 1000;

/// The threads of a domain that have numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnThreads {
    /// The text of `<vcpu>`: the most that it may get.
    vcpus: String,
    /// `<vcpu cpuset=…>`, as libvirt writes it.
    cpuset: String,
    /// The text of `<iothreads>`.
    iothreads: String,
    /// The numbers of `<iothreadids>`.
    numbers: Vec<u32>,
    /// The `<qemu:arg>` that may make an IOThread.
    arguments: Vec<String>,
}

impl OwnThreads {
    /// Takes the attributes of `<vcpu>`.
    pub(crate) fn take_cpuset(&mut self, attributes: &[(String, String)]) {
        let cpuset = attributes.iter().find(|(name, _)| name == "cpuset").map(|(_, cpus)| cpus);
        self.cpuset = cpuset.filter(|cpus| cpus.len() <= CPUSET_BYTES).cloned().unwrap_or_default();
    }

    /// Takes text of `<vcpu>`.
    pub(crate) fn take_vcpus(&mut self, text: &str) {
        take(&mut self.vcpus, text);
    }

    /// Takes text of `<iothreads>`.
    pub(crate) fn take_iothreads(&mut self, text: &str) {
        take(&mut self.iothreads, text);
    }

    /// Takes an `<iothread>` of `<iothreadids>`.
    pub(crate) fn take_iothread(&mut self, attributes: &[(String, String)]) {
        let number: Option<u32> =
            attributes.iter().find(|(name, _)| name == "id").and_then(|(_, id)| id.parse().ok());
        if self.numbers.len() < THREADS as usize {
            self.numbers.extend(number);
        }
    }

    /// Takes a `<qemu:arg>`.
    pub(crate) fn take_argument(&mut self, attributes: &[(String, String)]) {
        let value = attributes.iter().find(|(name, _)| name == "value").map(|(_, value)| value);
        let is_meant = |value: &&String| value.contains("iothread") && value.len() <= ARGUMENT_BYTES;
        if self.arguments.len() < ARGUMENTS {
            self.arguments.extend(value.filter(is_meant).cloned());
        }
    }

    /// The indices of the vCPUs that it may get; `None` where that is not said.
    pub(crate) fn vcpus(&self) -> Option<Vec<u32>> {
        let count: u32 = self.vcpus.trim().parse().ok()?;
        Some((0..count.min(THREADS)).collect())
    }

    /// The CPUs of every thread without a pin, if the domain names some.
    pub(crate) fn cpuset(&self) -> Option<CpuSet> {
        CpuSet::parse(&self.cpuset, &CpuSet::new()).ok().filter(|cpus| !cpus.is_empty())
    }

    /// QEMU's ids of the IOThreads that libvirt makes at the start, in their order: of those that have no number libvirt
    /// gives each the lowest that is free (virDomainIOThreadIDDefArrayInit in libvirt's src/conf/domain_conf.c).
    pub(crate) fn iothreads(&self) -> Vec<String> {
        let count: u32 = self.iothreads.trim().parse().unwrap_or(0);
        let mut numbers = self.numbers.clone();
        let missing = (count.min(THREADS) as usize).saturating_sub(numbers.len());
        let free: Vec<u32> = (1..=THREADS).filter(|number| !numbers.contains(number)).take(missing).collect();
        numbers.extend(free);
        numbers.sort_unstable();
        numbers.iter().map(|number| format!("iothread{number}")).collect()
    }

    /// Whether one of QEMU's own arguments makes an IOThread with this id, as far as that can be seen.
    pub(crate) fn an_argument_names(&self, id: &str) -> bool {
        let named = format!("id={id}");
        let json = format!("\"{id}\"");
        self.arguments
            .iter()
            .any(|argument| argument.split(',').any(|part| part == named) || argument.contains(&json))
    }
}

/// Takes text that is a number, and not much more of a longer one.
fn take(into: &mut String, text: &str) {
    if into.len() + text.len() <= 64 {
        into.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iothreads_without_a_number_get_the_lowest_that_is_free() {
        let threads = |count: &str, numbers: &[u32]| {
            let threads = OwnThreads {
                iothreads: count.to_owned(),
                numbers: numbers.to_vec(),
                ..OwnThreads::default()
            };
            threads.iothreads().join(" ")
        };
        assert_eq!(threads("", &[]), "");
        assert_eq!(threads(" 2 ", &[]), "iothread1 iothread2");
        assert_eq!(threads("3", &[2, 9]), "iothread1 iothread2 iothread9");
        assert_eq!(threads("1", &[2, 9]), "iothread2 iothread9");
    }

    #[test]
    fn no_number_fills_the_memory() {
        let mut threads = OwnThreads::default();
        threads.take_vcpus("4294967295");
        threads.take_iothreads("4294967295");
        assert_eq!((threads.vcpus().unwrap().len(), threads.iothreads().len()), (8192, 8192));
        let argument = [("value".to_owned(), "iothread,id=a".to_owned())];
        (0..1000).for_each(|_| threads.take_argument(&argument));
        assert_eq!(threads.arguments.len(), ARGUMENTS);
        threads.take_vcpus(&"0".repeat(1000));
        assert_eq!(threads.vcpus.len(), 10);
    }
}
