//! How many interrupts each CPU has taken so far: `/proc/interrupts` and `/proc/softirqs` (proc_interrupts(5), proc_softirqs(5)).
//! Everyone may read them.

use crate::sys::kernel::Kernel;
use pinning::{CpuId, CpuSet};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// So much is read: a host with 512 CPUs and 4000 interrupts has less.
const BYTES: u64 = 64 << 20;

/// The counts of one of the two files at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interrupts {
    /// The CPUs in the order of the columns: one that is offline has none.
    cpus: Vec<u32>,
    /// What each row counts, and its numbers.
    rows: Vec<(String, Vec<u64>)>,
}

impl Interrupts {
    /// The interrupts of devices, and those that CPUs send each other.
    pub(crate) fn hard(kernel: &dyn Kernel) -> Self {
        Self::read_hard(kernel).unwrap_or_default()
    }

    /// The same.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read_hard(kernel: &dyn Kernel) -> io::Result<Self> {
        let mut text = Vec::new();
        let file = File::open(kernel.locate(Path::new("/proc/interrupts"))?)?;
        file.take(BYTES).read_to_end(&mut text)?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// The interrupts of devices: the number, the devices behind it, and how many these CPUs have taken so far.
    pub(crate) fn of_devices(&self, cpus: &CpuSet) -> impl Iterator<Item = (u32, &str, u64)> {
        self.rows.iter().filter_map(|(name, row)| {
            let (number, devices) = name.split_once(' ').unwrap_or((name, ""));
            let taken = self.cpus.iter().zip(row).filter(|(cpu, _)| cpus.contains(CpuId(**cpu)));
            let taken = taken.fold(0u64, |all, (_, taken)| all.saturating_add(*taken));
            Some((number.parse().ok()?, devices, taken))
        })
    }

    /// The kernel's own deferred work.
    pub(crate) fn soft(kernel: &dyn Kernel) -> Self {
        Self::parse(&kernel.read_text("/proc/softirqs").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default().split_whitespace();
        let cpus: Vec<u32> = header.filter_map(|name| name.strip_prefix("CPU")?.parse().ok()).collect();
        let row = |line: &str| {
            let (number, rest) = line.split_once(':')?;
            let words: Vec<&str> = rest.split_whitespace().collect();
            let counts: Vec<u64> =
                words.iter().take(cpus.len()).map_while(|word| word.parse().ok()).collect();
            // Some rows have one number for all CPUs.
            (counts.len() == cpus.len()).then(|| (name(number.trim(), words.get(cpus.len()..)), counts))
        };
        let rows = lines.filter_map(row).collect();
        Self { cpus, rows }
    }

    /// What a CPU has taken since an earlier moment, the most frequent first.
    pub(crate) fn since(&self, before: &Self, cpu: CpuId) -> Vec<(String, u64)> {
        let of = |interrupts: &Self, row: &[u64]| {
            let at = interrupts.cpus.iter().position(|known| *known == cpu.0)?;
            row.get(at).copied()
        };
        let earlier: HashMap<&str, u64> =
            before.rows.iter().filter_map(|(name, row)| Some((name.as_str(), of(before, row)?))).collect();
        let grown = self.rows.iter().filter_map(|(name, row)| {
            let more = of(self, row)?.checked_sub(earlier.get(name.as_str()).copied().unwrap_or(0))?;
            (more > 0).then(|| (name.clone(), more))
        });
        let mut grown: Vec<(String, u64)> = grown.collect();
        grown.sort_by_key(|(_, more)| std::cmp::Reverse(*more));
        grown
    }
}

/// What a row counts: its number with the devices behind it (`24 eth0-rx-1`), or a word (`LOC`, `NET_RX`).
fn name(number: &str, words: Option<&[&str]>) -> String {
    // Behind the counts stand the controller, the number there, how it is triggered (`6-edge`, on Arm `27 Level`), and the
    // devices.
    let words = words.unwrap_or_default();
    let is_how = |word: &&str| {
        let word = word.to_ascii_lowercase();
        ["edge", "level", "fasteoi"].iter().any(|how| word.ends_with(how))
    };
    let devices = words.iter().position(is_how).map_or(2, |at| at + 1);
    let devices = words.get(devices..).unwrap_or_default().join(" ");
    match number.parse::<u32>() {
        Ok(_) if !devices.is_empty() => format!("{number} {devices}"),
        _ => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: &str = "           CPU0       CPU2       \n  24:          5         70  PCI-MSI 524288-edge      eth0-rx-1\n \
                        25:          0          0  IO-APIC   6-edge\nLOC:        100        200   Local timer interrupts\n\
                        ERR:          9\n";

    #[test]
    fn what_a_cpu_has_taken_on_top_is_named_the_most_frequent_first() {
        let before = Interrupts::parse(HARD);
        let after = HARD.replace("         70", "         75").replace("        200", "        207");
        let after = Interrupts::parse(&after);
        let of = |cpu| after.since(&before, CpuId(cpu));
        assert_eq!(of(2), [("LOC".to_owned(), 7), ("24 eth0-rx-1".to_owned(), 5)]);
        assert_eq!([of(0), of(1)], [vec![], vec![]]);
    }

    #[test]
    fn devices_are_told_from_what_cpus_send_each_other() {
        let text = "  CPU0 CPU2\n 11:  5  7  GICv3  27 Level  arch_timer\n 16:  1  2  IR-IO-APIC  16-fasteoi  i801, \
                    ehci_hcd:usb1\n 17: 0 0  XIVE-IPI 3\n 18: 3 4 x y z\nNMI: 1 2 Non-maskable\nERR: 0\n";
        let interrupts = Interrupts::parse(text);
        let of = |cpu| {
            let cpus = [CpuId(cpu)].into_iter().collect();
            interrupts.of_devices(&cpus).map(|(_, _, taken)| taken).collect::<Vec<_>>()
        };
        assert_eq!([of(0), of(1), of(2)], [vec![5, 1, 0, 3], vec![0; 4], vec![7, 2, 0, 4]]);
        let all: Vec<(u32, &str)> =
            interrupts.of_devices(&CpuSet::new()).map(|(number, devices, _)| (number, devices)).collect();
        assert_eq!(all, [(11, "arch_timer"), (16, "i801, ehci_hcd:usb1"), (17, ""), (18, "z")]);
    }

    #[test]
    fn a_cpu_that_went_offline_moves_no_column() {
        let before = Interrupts::parse("  CPU0 CPU1 CPU2\n NET_RX: 1 2 3\n");
        let after = Interrupts::parse("  CPU0 CPU2\n NET_RX: 1 7\n");
        assert_eq!(after.since(&before, CpuId(2)), [("NET_RX".to_owned(), 4)]);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        for text in ["", "\n", "CPU0\n: \nx\nA: y\n", "CPU0\nA: 1 2"] {
            let interrupts = Interrupts::parse(text);
            assert!(interrupts.since(&interrupts, CpuId(0)).is_empty(), "{text}");
        }
    }
}
