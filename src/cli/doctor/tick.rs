//! The kernel's timer tick and its deferred frees (RCU callbacks) on the CPUs.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, read};
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use pinning::{CpuId, CpuSet};

/// CPUs without a tick while one thread runs there ("nohz_full=" in timers/no_hz of the kernel's Documentation).
const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";

/// What the kernel was started with.
const CMDLINE: &str = "/proc/cmdline";

/// Looks at both. `nohz_full=` keeps the callbacks off too, as `rcu_nocbs=` does (admin-guide/kernel-parameters).
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let (tick, tickless) = tick(subject);
    let callbacks = callbacks(subject, &tickless);
    vec![tick, callbacks]
}

fn tick(subject: &Subject<'_, '_>) -> (Finding, CpuSet) {
    const TOPIC: &str = "tick";
    let text = match read(subject.kernel(), NOHZ_FULL) {
        Reading::Text(text) => text,
        Reading::Absent => {
            let what = "a timer stops each vCPU many times a second, which this kernel cannot leave out (CONFIG_NO_HZ_FULL)";
            return (Finding::note(TOPIC, what).read(NOHZ_FULL, "no such file"), CpuSet::new());
        }
        Reading::Failed(error) => return (Finding::unread(TOPIC, NOHZ_FULL, &error), CpuSet::new()),
    };
    // Without any it is `(null)`.
    let tickless = CpuSet::parse(&text, &CpuSet::new()).unwrap_or_default();
    let ticking = subject.cpus.difference(&tickless);
    let finding = if ticking.is_empty() {
        Finding::ok(TOPIC, format!("no tick on {} while one thread runs there", named(&subject.cpus)))
    } else {
        let what = format!("a timer stops each vCPU on {} many times a second", named(&ticking));
        Finding::note(TOPIC, what).and_do(format!("at boot: nohz_full={}", subject.cpus))
    };
    (finding.read(NOHZ_FULL, if text.is_empty() { "none".to_owned() } else { text }), tickless)
}

fn callbacks(subject: &Subject<'_, '_>, tickless: &CpuSet) -> Finding {
    const TOPIC: &str = "rcu";
    let text = match read(subject.kernel(), CMDLINE) {
        Reading::Text(text) => text,
        Reading::Absent => String::new(),
        Reading::Failed(error) => return Finding::unread(TOPIC, CMDLINE, &error),
    };
    let (word, kept_off) = nocbs(&text, &subject.host.online);
    let there = subject.cpus.difference(&kept_off.union(tickless));
    let finding = if there.is_empty() {
        Finding::ok(
            TOPIC,
            format!("the kernel frees memory (RCU callbacks) elsewhere than on {}", named(&subject.cpus)),
        )
    } else {
        let what =
            format!("the kernel frees memory (RCU callbacks) on {}, between the vCPU's turns", named(&there));
        Finding::note(TOPIC, what).and_do(format!("at boot: rcu_nocbs={}", subject.cpus))
    };
    match word {
        None if there.is_empty() => finding.read(NOHZ_FULL, tickless.to_string()),
        word => finding.read(CMDLINE, word.unwrap_or("no rcu_nocbs=")),
    }
}

/// The kernel's parameter, and the CPUs that it names: without a value all of them.
fn nocbs<'a>(cmdline: &'a str, online: &CpuSet) -> (Option<&'a str>, CpuSet) {
    let words = cmdline.split_whitespace().take_while(|word| *word != "--");
    let Some(word) = words.filter(|word| *word == "rcu_nocbs" || word.starts_with("rcu_nocbs=")).last()
    else {
        return (None, CpuSet::new());
    };
    let list = word.strip_prefix("rcu_nocbs=").unwrap_or("all");
    // `N` is the last CPU (admin-guide/kernel-parameters, "cpu lists").
    let last = online.iter().last().unwrap_or(CpuId(0)).0.to_string();
    let items: Vec<String> = list
        .split(',')
        .map(|item| {
            let ends: Vec<&str> =
                item.split('-').map(|end| if end == "N" { last.as_str() } else { end }).collect();
            ends.join("-")
        })
        .collect();
    (Some(word), CpuSet::parse(&items.join(","), online).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus as said;
    use crate::sys::fake::{FakeKernel, cpus};

    #[test]
    fn a_tick_is_noted_unless_the_kernel_was_started_without_it() {
        let kernel = FakeKernel::new();
        let of = || said(&kernel, "1-2", examine).remove(0);
        assert!(
            of().starts_with(
                "note tick: a timer stops each vCPU many times a second, which this kernel cannot"
            )
        );
        kernel.write(NOHZ_FULL, "(null)\n");
        let note = format!(
            "note tick: a timer stops each vCPU on CPUs 1-2 many times a second ({NOHZ_FULL}: (null)) -> at boot: \
                    nohz_full=1-2"
        );
        assert_eq!(of(), note);
        kernel.write(NOHZ_FULL, "1-3\n");
        assert_eq!(
            of(),
            format!("ok tick: no tick on CPUs 1-2 while one thread runs there ({NOHZ_FULL}: 1-3)")
        );
        kernel.deny(NOHZ_FULL);
        assert!(of().starts_with("note tick: not known"));
    }

    #[test]
    fn callbacks_are_kept_off_by_either_parameter() {
        let kernel = FakeKernel::new();
        let of = || said(&kernel, "1-2", examine).remove(1);
        kernel.write(CMDLINE, "ro quiet rcu_nocbs=0-1\n");
        let note = "note rcu: the kernel frees memory (RCU callbacks) on CPU 2, between the vCPU's turns (/proc/cmdline: \
                    rcu_nocbs=0-1) -> at boot: rcu_nocbs=1-2";
        assert_eq!(of(), note);
        kernel.write(NOHZ_FULL, "2\n");
        assert!(of().starts_with("ok rcu: "));
        kernel.write(CMDLINE, "ro\n");
        kernel.write(NOHZ_FULL, "1-3\n");
        assert!(of().starts_with("ok rcu: ") && of().ends_with(&format!("({NOHZ_FULL}: 1-3)")), "{}", of());
        kernel.write(NOHZ_FULL, "2\n");
        assert!(of().contains("on CPU 1, between the vCPU's turns (/proc/cmdline: no rcu_nocbs=)"));
        kernel.deny(CMDLINE);
        assert!(of().starts_with("note rcu: not known"));
    }

    #[test]
    fn the_last_of_several_parameters_counts_and_n_is_the_last_cpu() {
        let of = |cmdline: &str| nocbs(cmdline, &cpus("0-7")).1;
        assert_eq!(of("rcu_nocbs=1 x rcu_nocbs=4-N"), cpus("4-7"));
        assert_eq!(of("rcu_nocbs"), cpus("0-7"));
        assert_eq!(of("rcu_nocbs=all"), cpus("0-7"));
        assert_eq!(of("quiet -- rcu_nocbs=1"), CpuSet::new());
        assert_eq!(of("rcu_nocb_poll"), CpuSet::new());
    }
}
