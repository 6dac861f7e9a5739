//! Whether somebody else has leased the CPUs (`run --exclusive`).

use crate::doctor::finding::Finding;
use crate::doctor::subject::Subject;
use crate::doctor::words::named;
use crate::output::text::count;
use crate::vm::holder;
use pinning::CpuSet;

const TOPIC: &str = "leases";

/// Looks at the leases that bind this user's VMs: the user's own, and root's. A CPU can be leased twice, in root's folder
/// and in another user's.
pub(crate) fn examine(subject: &Subject<'_, '_>) -> Vec<Finding> {
    vec![of_user(subject)]
}

fn of_user(subject: &Subject<'_, '_>) -> Finding {
    let leased = match &subject.host.leases {
        Ok(leased) => leased,
        Err(failure) => return Finding::note(TOPIC, format!("not known: {failure}")),
    };
    let own = subject.vm.map(|seen| seen.vm.process.pid);
    let shared = |cpus: &CpuSet| cpus.intersection(&subject.cpus);
    let others = leased.iter().filter(|leased| leased.pid != own || own.is_none());
    let mut taken = others.filter(|leased| !shared(&leased.cpus).is_empty());
    if let Some(first) = taken.next() {
        let by = holder::title(subject.kernel(), first);
        let more = taken.count();
        let more = if more == 0 { String::new() } else { format!(", and {} more", count(more, "other")) };
        let what = format!("{by} has leased {}{more}", named(&shared(&first.cpus)));
        return Finding::fix(
            TOPIC,
            what,
            "choose other CPUs: pinshim plan leaves leased ones alone; pinshim show --leases",
        );
    }
    let own = leased.iter().filter(|leased| leased.pid == own && own.is_some());
    let own = own.fold(CpuSet::new(), |all, leased| all.union(&leased.cpus)).intersection(&subject.cpus);
    match own.is_empty() {
        true => Finding::ok(TOPIC, format!("nobody has leased {}", named(&subject.cpus))),
        false => {
            Finding::ok(TOPIC, format!("the VM has leased {}, and nobody else any of its CPUs", named(&own)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::sample::{said, said_of_cpus};
    use crate::sys::fake::FakeKernel;
    use crate::sys::kernel::Kernel;
    use crate::vm::sample::web;
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};

    const FOLDER: &str = "/run/pinshim/leases";

    /// Has a process lease a CPU of root's, for as long as the answer lives.
    fn lease(kernel: &FakeKernel, cpu: u32, pid: i32) -> fs::File {
        let folder = kernel.path(FOLDER);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
        let path = folder.join(format!("cpu{cpu}"));
        let file = fs::File::create(&path).unwrap();
        assert!(crate::sys::linux::try_lock(&file).unwrap());
        symlink(path, kernel.path(format!("/proc/{pid}/fd/{}", 300 + cpu))).unwrap();
        file
    }

    #[test]
    fn a_cpu_that_another_process_has_leased_is_named() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        if kernel.user() == 0 {
            web(&kernel);
            kernel.process(200, &["/usr/bin/qemu-system-x86_64"]).thread(200, "q", "3");
            assert_eq!(said(&kernel, examine), ["ok leases: nobody has leased CPUs 1-2"]);
            assert!(!kernel.path("/run").exists(), "looking makes no folder");
            let _own = lease(&kernel, 1, 100);
            assert_eq!(
                said(&kernel, examine),
                ["ok leases: the VM has leased CPU 1, and nobody else any of its CPUs"]
            );
            let _other = lease(&kernel, 2, 200);
            assert!(said(&kernel, examine)[0].starts_with(
                "fix leases: qemu-system-x86_64 (PID 200, user alice) has leased CPU 2 -> choose other"
            ));
            assert!(
                said_of_cpus(&kernel, "1", examine)[0]
                    .starts_with("fix leases: web (PID 100, user alice) has leased CPU 1")
            );
        }
    }

    #[test]
    fn a_folder_that_others_may_use_says_nothing() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        if kernel.user() == 0 {
            kernel.write(format!("{FOLDER}/lock"), "");
            fs::set_permissions(kernel.path(FOLDER), fs::Permissions::from_mode(0o777)).unwrap();
            let said = said_of_cpus(&kernel, "1", examine);
            assert!(said[0].starts_with("note leases: not known: the folder for leases, "), "{said:?}");
        }
    }
}
