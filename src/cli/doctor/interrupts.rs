//! Interrupts of devices that arrive on the CPUs: each stops the vCPU that runs there.
//!
//! Where an interrupt may arrive is in `smp_affinity_list` of its folder in /proc/irq, where the hardware really sends it in
//! `effective_affinity_list` (core-api/irq/irq-affinity of the kernel's Documentation; the second from Linux 4.15 on, and
//! not on all machines). Which device it is, and how often it arrived on which CPU, is in /proc/interrupts
//! (proc_interrupts(5)), which has lines for devices that somebody uses.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::subject::{NOWHERE, Subject};
use crate::doctor::words::named;
use crate::output::text::{count, cut};
use crate::sys::interrupts::Interrupts;
use crate::sys::kernel::Kernel;
use pinning::CpuSet;
use std::io;
use std::path::PathBuf;

const TOPIC: &str = "interrupts";

/// So many are named.
const NAMED: usize = 4;

/// So many numbers stand in a command.
const NUMBERS: usize = 64;

/// So many characters of the devices' names are said.
const NAME: usize = 40;

/// An interrupt that may arrive on the CPUs.
struct Interrupt {
    number: u32,
    /// Who has asked for it.
    name: String,
    /// Where it may arrive: the file, and the set in it.
    file: PathBuf,
    allowed: CpuSet,
    /// How often it has arrived on the CPUs since the host was started.
    times: u64,
    /// It arrives there now, and more often than once a minute.
    is_busy: bool,
}

/// Looks at every interrupt of a device's.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let counted = match Interrupts::read_hard(subject.kernel()) {
        Ok(counted) => counted,
        Err(error) => return vec![Finding::unread(TOPIC, "/proc/interrupts", &error)],
    };
    let minutes = minutes_since_start(subject.kernel());
    let mut unread = None;
    let mut there = Vec::new();
    for device in counted.of_devices(&subject.cpus) {
        match interrupt(subject, device, minutes) {
            Ok(interrupt) => there.extend(interrupt),
            Err((file, error)) => unread = unread.or(Some(Finding::unread(TOPIC, file, &error))),
        }
    }
    there.sort_by_key(|interrupt| std::cmp::Reverse(interrupt.times));
    let (busy, quiet): (Vec<Interrupt>, Vec<Interrupt>) =
        there.into_iter().partition(|interrupt| interrupt.is_busy);
    let mut findings = Vec::new();
    findings.extend(unread);
    findings.extend(said(subject, &busy, ["arrives on", "arrive on"]));
    findings.extend(said(subject, &quiet, ["may arrive on"; 2]));
    if findings.is_empty() {
        let what = format!("none of a device's may arrive on {}", named(&subject.cpus));
        findings.push(Finding::ok(TOPIC, what).read("/proc/irq/*/smp_affinity_list", "other CPUs"));
    }
    findings
}

fn said(subject: &Subject<'_, '_>, interrupts: &[Interrupt], [one, several]: [&str; 2]) -> Option<Finding> {
    let first = interrupts.first()?;
    let names: Vec<String> = interrupts
        .iter()
        .take(NAMED)
        .map(|interrupt| {
            let Interrupt { number, name, times, .. } = interrupt;
            match times {
                0 => format!("{number} {name}"),
                1 => format!("{number} {name} (once)"),
                _ => format!("{number} {name} ({times} times)"),
            }
        })
        .collect();
    let more = interrupts.len() - names.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let arrive = if interrupts.len() == 1 { one } else { several };
    let all = count(interrupts.len(), "IRQ");
    let what = format!("{all} {arrive} {}: {}{more}", named(&subject.cpus), names.join(", "));
    let to_do = subject.elsewhere().map_or(NOWHERE.to_owned(), |elsewhere| command(interrupts, &elsewhere));
    let finding = if first.is_busy {
        Finding::fix(TOPIC, what, to_do)
    } else {
        Finding::note(TOPIC, what).and_do(to_do)
    };
    Some(finding.read(&first.file, first.allowed.to_string()))
}

/// The command that sends them elsewhere.
fn command(interrupts: &[Interrupt], elsewhere: &CpuSet) -> String {
    let mut numbers: Vec<u32> = interrupts.iter().map(|interrupt| interrupt.number).collect();
    numbers.sort_unstable();
    let more = numbers.len().saturating_sub(NUMBERS);
    let words: Vec<String> = numbers.iter().take(NUMBERS).map(u32::to_string).collect();
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    format!(
        "as root: for irq in {}; do echo {elsewhere} > /proc/irq/$irq/smp_affinity_list; done{more}; one that refuses is \
         placed by the kernel: isolcpus=managed_irq,SET at boot",
        words.join(" ")
    )
}

/// An interrupt, if it may arrive on the CPUs.
fn interrupt(
    subject: &Subject<'_, '_>,
    (number, devices, times): (u32, &str, u64),
    minutes: u64,
) -> Result<Option<Interrupt>, (PathBuf, io::Error)> {
    let folder = PathBuf::from(format!("/proc/irq/{number}"));
    let set = |text: &str| CpuSet::parse(text, &CpuSet::new()).unwrap_or_default();
    let file = folder.join("smp_affinity_list");
    let allowed = match read(subject.kernel(), &file) {
        Reading::Text(text) => set(&text),
        Reading::Absent => return Ok(None),
        Reading::Failed(error) => return Err((file, error)),
    };
    // Where it is sent to; of all that are allowed where the kernel does not say.
    let sent = match read(subject.kernel(), folder.join("effective_affinity_list")) {
        Reading::Text(text) if !text.is_empty() => set(&text),
        _ => allowed.clone(),
    };
    let is_there = |cpus: &CpuSet| !cpus.intersection(&subject.cpus).is_empty();
    // One that was moved away is still said to be sent there until it arrives the next time.
    if !is_there(&allowed) {
        return Ok(None);
    }
    let is_busy = is_there(&sent) && times > minutes;
    let name = cut(devices, NAME).into_owned();
    Ok(Some(Interrupt { number, name, file, allowed, times, is_busy }))
}

/// For how many minutes the host has run (proc_uptime(5)).
fn minutes_since_start(kernel: &dyn Kernel) -> u64 {
    let uptime = kernel.read_text("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
    seconds.unwrap_or(0) / 60
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::FakeKernel;

    const INTERRUPTS: &str = "           CPU0       CPU1       CPU2       CPU3       \n \
         24:          1          3          0          0  IO-APIC   5-edge      ACPI:Ged\n \
         36:          0    6219815          0          0  PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0\n \
         41:      19455          0          0          0  PCI-MSIX-0000:00:04.0   1-edge      virtio3-rx\n\
         NMI:          0         99          0          0   Non-maskable interrupts\n\
         ERR:          0\n";

    /// A host that has run for two hours, with these lists for its three interrupts.
    fn host(lists: [(&str, &str); 3]) -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.write("/proc/interrupts", INTERRUPTS);
        kernel.write("/proc/uptime", "7200.10 1.00\n");
        for (number, (allowed, effective)) in [24, 36, 41].into_iter().zip(lists) {
            kernel.write(format!("/proc/irq/{number}/smp_affinity_list"), format!("{allowed}\n"));
            if !effective.is_empty() {
                kernel.write(format!("/proc/irq/{number}/effective_affinity_list"), format!("{effective}\n"));
            }
        }
        kernel
    }

    #[test]
    fn interrupts_that_arrive_there_are_to_be_sent_elsewhere() {
        let kernel = host([("0-3", "1"), ("0-3", "1"), ("0-3", "0")]);
        let fix = "fix interrupts: 1 IRQ arrives on CPU 1: 36 virtio1-req.0 (6219815 times) (/proc/irq/36/smp_affinity_list: \
                   0-3) -> as root: for irq in 36; do echo 0,2-3 > /proc/irq/$irq/smp_affinity_list; done; one that \
                   refuses is placed by the kernel: isolcpus=managed_irq,SET at boot";
        let note = "note interrupts: 2 IRQs may arrive on CPU 1: 24 ACPI:Ged (3 times), 41 virtio3-rx \
                    (/proc/irq/24/smp_affinity_list: 0-3) -> as root: for irq in 24 41; do echo 0,2-3 > \
                    /proc/irq/$irq/smp_affinity_list; done; one that refuses is placed by the kernel: \
                    isolcpus=managed_irq,SET at boot";
        assert_eq!(said(&kernel, "1", examine), [fix, note]);
    }

    #[test]
    fn interrupts_that_are_kept_elsewhere_are_as_they_should_be() {
        let kernel = host([("0", "1"), ("0,2-3", "0"), ("0", "")]);
        let ok = "ok interrupts: none of a device's may arrive on CPU 1 (/proc/irq/*/smp_affinity_list: other CPUs)";
        assert_eq!(said(&kernel, "1", examine), [ok]);
    }

    #[test]
    fn a_kernel_that_does_not_say_where_it_sends_them_sends_them_where_they_may_arrive() {
        let kernel = host([("0", ""), ("0-1", ""), ("0", "")]);
        assert!(said(&kernel, "1", examine)[0].starts_with("fix interrupts: 1 IRQ arrives on CPU 1: 36 "));
    }

    #[test]
    fn where_vcpus_have_all_cpus_interrupts_cannot_go_elsewhere() {
        let kernel = host([("0", ""), ("0-1", ""), ("0", "")]);
        assert!(said(&kernel, "0-3", examine)[0].ends_with(NOWHERE));
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let kernel = host([("0", "0"), ("0-1", ""), ("0", "")]);
        kernel.deny("/proc/irq/36");
        let note = "note interrupts: not known: it could not be read (/proc/irq/36/smp_affinity_list: permission \
                    denied) -> root may read it: sudo pinshim doctor";
        assert_eq!(said(&kernel, "1", examine), [note]);
        kernel.deny("/proc/interrupts");
        assert!(said(&kernel, "1", examine)[0].contains("(/proc/interrupts: permission denied)"));
    }

    #[test]
    fn a_long_name_is_cut() {
        let kernel = host([("0", "0"), ("0-1", ""), ("0", "")]);
        kernel
            .write("/proc/interrupts", format!("  CPU0 CPU1\n 36: 0 0 PCI-MSI 1-edge {}\n", "y".repeat(99)));
        assert!(
            said(&kernel, "1", examine)[0]
                .contains(&format!(" on CPU 1: 36 {}… (/proc/irq", "y".repeat(NAME)))
        );
    }
}
