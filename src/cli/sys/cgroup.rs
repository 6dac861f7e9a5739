//! Where cgroups are, and moving a thread into another one, beside the one that it is in.

use crate::sys::kernel::Kernel;
use pinning::Tid;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Moves a thread from each cgroup of a name that is meant into the one called `to` beside it, in every hierarchy that
/// has both. The answer is whether it was moved in any.
///
/// A thread has a list file of its own: `tasks` in version 1, `cgroup.threads` in version 2 (cgroups(7)).
pub(crate) fn move_beside(kernel: &dyn Kernel, tid: Tid, is_meant: impl Fn(&str) -> bool, to: &str) -> bool {
    // Read last, by the id alone: whoever has it now is moved only out of such a cgroup.
    let Ok(cgroups) = kernel.read_text(format!("/proc/{tid}/cgroup")) else { return false };
    let Ok(mounts) = kernel.read_text("/proc/self/mounts") else { return false };
    let mut moved = false;
    for list in lists(&cgroups, &mounts, is_meant, to) {
        moved |= kernel.write(&list, &tid.to_string()).is_ok();
    }
    moved
}

/// So many bytes of a list are a thread each at most: no cgroup of a QEMU has more threads than fit.
const LIST_BYTES: usize = 1 << 20;

/// The threads that are in the cgroups of this name that a thread is in, in every hierarchy.
pub(crate) fn threads_beside(kernel: &dyn Kernel, tid: Tid, name: &str) -> BTreeSet<Tid> {
    let Ok(cgroups) = kernel.read_text(format!("/proc/{tid}/cgroup")) else { return BTreeSet::new() };
    let Ok(mounts) = kernel.read_text("/proc/self/mounts") else { return BTreeSet::new() };
    let read = |list: PathBuf| kernel.read_text(list).ok().filter(|text| text.len() <= LIST_BYTES);
    let texts = lists(&cgroups, &mounts, |found| found == name, name).into_iter().filter_map(read);
    texts
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok().map(Tid)).collect::<Vec<_>>())
        .collect()
}

/// The files that list the threads of the cgroups beside those of a /proc/PID/cgroup.
fn lists(cgroups: &str, mounts: &str, is_meant: impl Fn(&str) -> bool, to: &str) -> Vec<PathBuf> {
    let beside = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_version_2 = number == "0" && controllers.is_empty();
        let mount = mount(mounts, (!is_version_2).then_some(controllers))?;
        let path = Path::new(path.trim_start_matches('/'));
        // Seen from inside a cgroup namespace a group may be outside (cgroup_namespaces(7)).
        if path.components().any(|component| component == Component::ParentDir) {
            return None;
        }
        path.file_name().and_then(|name| name.to_str()).filter(|name| is_meant(name))?;
        let list = if is_version_2 { "cgroup.threads" } else { "tasks" };
        Some(Path::new(mount).join(path.parent()?).join(to).join(list))
    };
    cgroups.lines().filter_map(beside).collect()
}

/// Where the hierarchy of version 1 with these controllers is mounted; without controllers that of version 2.
pub(crate) fn mount<'m>(mounts: &'m str, controllers: Option<&str>) -> Option<&'m str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controllers {
            None => kind == "cgroup2",
            Some(names) => {
                kind == "cgroup"
                    && names.split(',').all(|name| options.split(',').any(|option| option == name))
            }
        };
        is_it.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;

    const V1: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";

    fn found(cgroups: &str, mounts: &str) -> Vec<String> {
        let lists = lists(cgroups, mounts, |name| name == "vcpu0", "emulator");
        lists.iter().map(|list| list.display().to_string()).collect()
    }

    #[test]
    fn each_hierarchy_that_has_such_a_cgroup_has_a_list_beside_it() {
        let v1 = "4:memory:/machine/web\n3:cpuset:/machine/web/vcpu0\n2:cpu,cpuacct:/machine/web/vcpu0\n\
                  1:name=systemd:/machine/web\n0::/init\n";
        let cpu = "/sys/fs/cgroup/cpu,cpuacct/machine/web/emulator/tasks";
        assert_eq!(found(v1, V1), ["/sys/fs/cgroup/cpuset/machine/web/emulator/tasks", cpu]);
        let v2 = "0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/vcpu0\n";
        let list =
            "/sys/fs/cgroup/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator/cgroup.threads";
        assert_eq!(found(v2, V2), [list]);
        for other in ["0::/web/vcpu1\n", "0::/\n", "0::/../web/vcpu0\n", "3:cpuset:/web/vcpu0\n", ""] {
            assert_eq!(found(other, V2), [""; 0], "{other}");
        }
    }

    #[test]
    fn a_thread_is_written_to_the_list() {
        let kernel = FakeKernel::new();
        kernel.write("/proc/self/mounts", V2);
        kernel.write("/proc/101/cgroup", "0::/web/vcpu0\n");
        let move_it = || move_beside(&kernel, Tid(101), |name| name == "vcpu0", "emulator");
        assert!(!move_it(), "there is no such cgroup");
        kernel.write("/sys/fs/cgroup/web/emulator/cgroup.threads", "");
        assert!(move_it());
        let kernel: &dyn Kernel = &kernel;
        assert_eq!(kernel.read_text("/sys/fs/cgroup/web/emulator/cgroup.threads").unwrap(), "101");
    }
}
