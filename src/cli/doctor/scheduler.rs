//! Whether a scheduler that somebody has loaded decides when a vCPU runs.

use crate::doctor::finding::Finding;
use crate::doctor::reading::{Reading, of_file, read};
use crate::doctor::subject::Subject;
use crate::output::text::cut;

const TOPIC: &str = "scheduler";

/// Whether a BPF scheduler is loaded, and what it is called (scheduler/sched-ext of the kernel's Documentation; Linux 6.12).
const STATE: &str = "/sys/kernel/sched_ext/state";
const NAME: &str = "/sys/kernel/sched_ext/root/ops";

/// A scheduler may call itself anything: so many characters are said.
const CHARACTERS: usize = 64;

/// Looks for one. It keeps to affinities, and decides in which order ordinary threads run.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let own = Finding::ok(TOPIC, "the kernel's own");
    let finding = of_file(subject.kernel(), TOPIC, STATE, Some(own.clone()), |state| {
        if state == "disabled" {
            return own;
        }
        let name = match read(subject.kernel(), NAME) {
            Reading::Text(name) => format!(" {}", cut(&name, CHARACTERS)),
            _ => String::new(),
        };
        let what =
            format!("a loaded scheduler{name} decides when vCPUs run, beside everything else on their CPUs");
        let to_do = "end it (its program, or the service scx), or give the vCPUs a real-time class: PIN_SCHED=vcpus@fifo:1";
        Finding::note(TOPIC, what).and_do(to_do)
    });
    Vec::from_iter(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said_of_cpus;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn a_loaded_scheduler_is_named() {
        let kernel = FakeKernel::new();
        let said = || said_of_cpus(&kernel, "1", examine).remove(0);
        assert_eq!(said(), "ok scheduler: the kernel's own");
        kernel.write(STATE, "disabled\n");
        assert_eq!(said(), format!("ok scheduler: the kernel's own ({STATE}: disabled)"));
        kernel.write(STATE, "enabled\n");
        assert!(said().starts_with("note scheduler: a loaded scheduler decides when"));
        kernel.write(NAME, "lavd_1.0\n");
        assert!(said().starts_with("note scheduler: a loaded scheduler lavd_1.0 decides when"));
        kernel.deny(STATE);
        assert!(said().starts_with("note scheduler: not known"));
    }
}
