//! How many interrupts each CPU has taken so far: `/proc/interrupts` and `/proc/softirqs` (proc_interrupts(5), proc_softirqs(5)).
//! Everyone may read them.

use crate::sys::kernel::Kernel;
use pinning::CpuId;
use std::collections::HashMap;

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
        Self::parse(&kernel.read_text("/proc/interrupts").unwrap_or_default())
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
    // Behind the counts stand the controller, the number there with how it is triggered, and the devices.
    let devices = words.and_then(|words| words.get(2..)).unwrap_or_default().join(" ");
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
