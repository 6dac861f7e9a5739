//! Whether this host is a guest itself: then its CPUs are somebody else's vCPUs.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::subject::Subject;
use crate::sys::host_tree::HostTree;
use crate::sys::topology::CPUINFO;
use pinning::CpuId;

const TOPIC: &str = "steal";

/// Time in clock ticks by CPU; the eighth number is the time that a hypervisor gave to others (proc_stat(5)).
const STAT: &str = "/proc/stat";

/// Looks at the time that was stolen from the CPUs, and for the flag by which an x86 processor says that it is a vCPU
/// (CPUID leaf 1, `hypervisor` in /proc/cpuinfo).
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let text = match read(subject.kernel(), STAT) {
        Reading::Text(text) => text,
        Reading::Absent => return Vec::new(),
        Reading::Failed(error) => return vec![Finding::unread(TOPIC, STAT, &error)],
    };
    let (mut all, mut stolen) = (0u64, 0u64);
    for (cpu, times) in text.lines().filter_map(times) {
        if subject.cpus.contains(cpu) {
            // The last two are part of the first two.
            all = times.iter().take(8).fold(all, |all, time| all.saturating_add(*time));
            stolen = stolen.saturating_add(times.get(7).copied().unwrap_or(0));
        }
    }
    let flags = HostTree::here(subject.kernel()).first_value(CPUINFO, "flags").unwrap_or_default();
    let is_guest = flags.split(' ').any(|flag| flag == "hypervisor");
    if stolen == 0 && !is_guest {
        return vec![Finding::ok(TOPIC, "nobody takes time from these CPUs").read(STAT, "steal 0")];
    }
    let hundredths = u128::from(stolen) * 10_000 / u128::from(all.max(1));
    let what = format!(
        "this host is a guest itself: its hypervisor has given {}.{:02} % of these CPUs' time to others, and pinning here \
         does not pin there",
        hundredths / 100,
        hundredths % 100
    );
    let finding = Finding::note(TOPIC, what).read(STAT, format!("steal {stolen} of {all} ticks"));
    vec![finding.and_do("pin this host's own vCPUs on the machine below it")]
}

/// The times of a CPU's line, `cpu3 1 2 …`; `None` for another line.
fn times(line: &str) -> Option<(CpuId, Vec<u64>)> {
    let (name, times) = line.split_once(' ')?;
    let cpu = CpuId(name.strip_prefix("cpu")?.parse().ok()?);
    Some((cpu, times.split_whitespace().map_while(|time| time.parse().ok()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn time_that_was_stolen_is_noted() {
        let kernel = FakeKernel::new();
        assert_eq!(said(&kernel, "1", examine), [""; 0], "a kernel without the file");
        let stat =
            "cpu  200 0 0 0 0 0 0 40 0 0\ncpu0 100 0 0 0 0 0 0 0 50 0\ncpu1 60 0 0 0 0 0 0 40 9 9\nintr 7\n";
        kernel.write(STAT, stat);
        assert_eq!(
            said(&kernel, "0", examine),
            ["ok steal: nobody takes time from these CPUs (/proc/stat: steal 0)"]
        );
        let note = &said(&kernel, "0-1", examine)[0];
        assert!(
            note.starts_with("note steal: this host is a guest itself: its hypervisor has given 20.00 % of"),
            "{note}"
        );
        assert!(note.contains("(/proc/stat: steal 40 of 200 ticks)"), "{note}");
        kernel.write("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor lahf_lm\n\n");
        assert!(said(&kernel, "0", examine)[0].contains("has given 0.00 % of"));
        kernel.deny(STAT);
        assert!(said(&kernel, "0", examine)[0].starts_with("note steal: not known"));
    }
}
