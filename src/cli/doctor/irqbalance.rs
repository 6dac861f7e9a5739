//! Whether irqbalance sends interrupts to the CPUs, whatever was set by hand.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use crate::sys::host_tree::{HostTree, cpus_of_mask};
use pinning::CpuSet;

const TOPIC: &str = "irqbalance";

/// The variables that keep it off CPUs, as a list (from 1.8 on) and as a mask (irqbalance(1)).
const LIST: &str = "IRQBALANCE_BANNED_CPULIST";
const MASK: &str = "IRQBALANCE_BANNED_CPUS";

/// Where distributions keep them: Debian and SUSE, Red Hat.
const FILES: [&str; 2] = ["/etc/default/irqbalance", "/etc/sysconfig/irqbalance"];

/// CPUs that it leaves alone if neither variable is set (setup_banned_cpus in irqbalance's cputree.c).
const LEFT_ALONE: [&str; 2] = ["sys/devices/system/cpu/isolated", "sys/devices/system/cpu/nohz_full"];

/// Looks whether it runs, and which CPUs it was told to leave alone: by its environment, which its user and root may read,
/// else by its file.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(pid) = subject.host.irqbalance else {
        return vec![subject.unless_hidden(Finding::ok(TOPIC, "it does not run"))];
    };
    let environ = format!("/proc/{pid}/environ");
    let (file, text) = match read(subject.kernel(), &environ) {
        Reading::Text(text) => (environ, text.replace('\0', "\n")),
        Reading::Absent => return vec![Finding::ok(TOPIC, "it does not run")],
        Reading::Failed(error) => match configured(subject) {
            Some(configured) => configured,
            None => return vec![Finding::unread(TOPIC, environ, &error)],
        },
    };
    let (value, banned) = match banned(&text) {
        Some((variable, banned)) => (variable, banned),
        None => {
            let host = HostTree::here(subject.kernel());
            let left_alone = LEFT_ALONE.iter().fold(CpuSet::new(), |all, file| all.union(&host.cpus(file)));
            (format!("no {LIST}"), left_alone)
        }
    };
    let open = subject.cpus.difference(&banned);
    let finding = if open.is_empty() {
        Finding::ok(TOPIC, format!("it leaves {} alone", named(&subject.cpus)))
    } else {
        let what = format!("it runs (process {pid}), and may send interrupts to {}", named(&open));
        let config = FILES.iter().find(|file| !matches!(read(subject.kernel(), file), Reading::Absent));
        let to_do = format!(
            "as root: echo {LIST}={} >> {}; systemctl restart irqbalance",
            subject.cpus.union(&banned),
            config.unwrap_or(&FILES[0])
        );
        Finding::fix(TOPIC, what, to_do)
    };
    vec![finding.read(file, value)]
}

/// The file of the distribution's, if there is one.
fn configured(subject: &Subject<'_, '_>) -> Option<(String, String)> {
    FILES.iter().find_map(|file| match read(subject.kernel(), file) {
        Reading::Text(text) => Some(((*file).to_owned(), text)),
        _ => None,
    })
}

/// The CPUs that variables ban, with the words that say so. The list goes before the mask.
fn banned(text: &str) -> Option<(String, CpuSet)> {
    let value = |name: &str| {
        let mut lines = text.lines().map(|line| line.trim().strip_prefix("export ").unwrap_or(line.trim()));
        let value = lines.rfind(|line| line.starts_with(&format!("{name}=")))?;
        let value = value.split_once('=')?.1.trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    if let Some(list) = value(LIST) {
        let cpus = CpuSet::parse(&list, &CpuSet::new()).unwrap_or_default();
        return Some((format!("{LIST}={list}"), cpus));
    }
    let mask = value(MASK)?;
    let cpus = cpus_of_mask(mask.trim_start_matches("0x")).unwrap_or_default();
    Some((format!("{MASK}={mask}"), cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus;
    use crate::sys::fake::{FakeKernel, cpus};

    #[test]
    fn it_is_to_be_told_to_leave_the_cpus_alone() {
        let kernel = FakeKernel::new();
        let said = || said_of_cpus(&kernel, "1-2", examine).remove(0);
        assert_eq!(said(), "ok irqbalance: it does not run");
        let daemon = kernel.process(70, &["/usr/sbin/irqbalance"]).thread(70, "irqbalance", "0-3");
        daemon.write("comm", "irqbalance\n");
        let fix = "fix irqbalance: it runs (process 70), and may send interrupts to CPUs 1-2 (/proc/70/environ: no \
                   IRQBALANCE_BANNED_CPULIST) -> as root: echo IRQBALANCE_BANNED_CPULIST=1-2 >> /etc/default/irqbalance; \
                   systemctl restart irqbalance";
        assert_eq!(said(), fix);
        daemon.environment(&[(MASK, "00000002")]);
        kernel.write(FILES[1], "");
        assert!(said().contains("may send interrupts to CPU 2 ("), "{}", said());
        assert!(said().contains("IRQBALANCE_BANNED_CPULIST=1-2 >> /etc/sysconfig/irqbalance"), "{}", said());
        daemon.environment(&[(LIST, "1,2")]);
        let ok = "ok irqbalance: it leaves CPUs 1-2 alone (/proc/70/environ: IRQBALANCE_BANNED_CPULIST=1,2)";
        assert_eq!(said(), ok);
    }

    #[test]
    fn it_leaves_isolated_cpus_alone_unless_it_is_told_otherwise() {
        let kernel = FakeKernel::new();
        let daemon = kernel.process(70, &["/usr/sbin/irqbalance"]).thread(70, "irqbalance", "0-3");
        daemon.write("comm", "irqbalance\n");
        kernel.write("/sys/devices/system/cpu/isolated", "1\n");
        kernel.write("/sys/devices/system/cpu/nohz_full", "2\n");
        assert!(
            said_of_cpus(&kernel, "1-2", examine)[0].starts_with("ok irqbalance: it leaves CPUs 1-2 alone")
        );
        daemon.environment(&[(LIST, "3")]);
        assert!(said_of_cpus(&kernel, "1-2", examine)[0].starts_with("fix irqbalance: "));
    }

    #[test]
    fn who_may_not_read_its_environment_reads_its_file() {
        let kernel = FakeKernel::new();
        let daemon = kernel.process(70, &["/usr/sbin/irqbalance"]).thread(70, "irqbalance", "0-3");
        daemon.write("comm", "irqbalance\n");
        kernel.deny("/proc/70/environ");
        let said = || said_of_cpus(&kernel, "1-2", examine).remove(0);
        assert!(said().starts_with("note irqbalance: not known: it could not be read (/proc/70/environ: "));
        kernel.write(FILES[0], "#IRQBALANCE_BANNED_CPULIST=\nIRQBALANCE_BANNED_CPULIST=\"1-2\"\n");
        let ok = "ok irqbalance: it leaves CPUs 1-2 alone (/etc/default/irqbalance: IRQBALANCE_BANNED_CPULIST=1-2)";
        assert_eq!(said(), ok);
    }

    #[test]
    fn lists_and_masks_are_read() {
        let of = |text: &str| banned(text).map(|(_, cpus)| cpus);
        assert_eq!(of("IRQBALANCE_BANNED_CPUS=0x6"), Some(cpus("1-2")));
        assert_eq!(of("export IRQBALANCE_BANNED_CPULIST='1,3'"), Some(cpus("1,3")));
        for none in ["", "IRQBALANCE_BANNED_CPULIST=", "# IRQBALANCE_BANNED_CPULIST=1"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
