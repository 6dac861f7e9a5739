//! Whether the library acts in the VM, and what stands in its way where it does not.

use crate::doctor::finding::Finding;
use crate::doctor::subject::Subject;
use crate::verdict::diagnosis::why_not_pinned;
use crate::vm::page::Missing;

const TOPIC: &str = "pinned";

/// Looks at the status page; without one for the reason: a QEMU that is static, setuid, confined, or that was started without
/// the library.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(seen) = subject.vm else { return Vec::new() };
    let (vm, pid) = (&seen.vm, seen.vm.process.pid);
    let missing = match &seen.look.content {
        Ok(_) => {
            let confined = match vm.process.confinement() {
                Some(profile) => format!(", confined by {profile}"),
                None => String::new(),
            };
            return vec![Finding::ok(TOPIC, format!("the library acts in it{confined}"))];
        }
        Err(missing) => missing,
    };
    let why = why_not_pinned(vm.process, missing);
    vec![match missing {
        Missing::NotPermitted => Finding::note(TOPIC, format!("not known: {why}")),
        _ => {
            let to_do = format!(
                "start it by pinshim run, or under libvirt: pinshim libvirt enable; now, for the threads that there are: \
                 pinshim apply {pid} --vcpus … --cpus …"
            );
            Finding::fix(TOPIC, format!("it is not: {why}"), to_do)
        }
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{threads_of_web, web};

    #[test]
    fn a_vm_under_the_library_is_as_it_should_be() {
        let kernel = FakeKernel::new();
        let vm = web(&kernel);
        assert_eq!(said(&kernel, examine), ["ok pinned: the library acts in it"]);
        let _ = vm.write("attr/current", "libvirt-1234 (enforce)\n");
        assert_eq!(
            said(&kernel, examine),
            ["ok pinned: the library acts in it, confined by libvirt-1234 (enforce)"]
        );
    }

    #[test]
    fn a_vm_without_the_library_is_told_why() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        let fix = &said(&kernel, examine)[0];
        let begin = "fix pinned: it is not: it was started without the library (LD_PRELOAD in /proc/100/environ does not \
                     name it) -> start it by pinshim run";
        assert!(fix.starts_with(begin), "{fix}");
        kernel.deny("/proc/100/fd");
        assert!(said(&kernel, examine)[0].starts_with("note pinned: not known: it has changed its user"));
    }
}
