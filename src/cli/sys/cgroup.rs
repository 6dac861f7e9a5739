//! Where cgroups are, and moving a thread into another one, beside the one that it is in.

use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use pinning::Tid;
use std::collections::BTreeSet;
use std::io;
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

/// So many groups above each other are looked at. A user may nest those that were given to him deeper.
const LEVELS: usize = 64;

/// The folder of the cgroup that limits a thread by a controller, then those above it, the highest last: in the hierarchy
/// of version 1 that has the controller, else in that of version 2. None where there is no such hierarchy.
///
/// # Errors
/// The thread's cgroup cannot be read.
pub(crate) fn folders_of(process: Process<'_>, tid: Tid, controller: &str) -> io::Result<Vec<PathBuf>> {
    let cgroups = process.kernel.read_text(process.file(&format!("task/{tid}/cgroup")));
    // A kernel without cgroups has no such file.
    let cgroups = cgroups.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(error),
    })?;
    let mounts = process.kernel.read_text("/proc/self/mounts")?;
    Ok(folders(&cgroups, &mounts, controller).unwrap_or_default())
}

fn folders(cgroups: &str, mounts: &str, controller: &str) -> Option<Vec<PathBuf>> {
    let of_version_1 = cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    });
    let (mount, path) = match of_version_1 {
        Some(path) => (mount(mounts, Some(controller))?, path),
        None => (mount(mounts, None)?, cgroups.lines().find_map(|line| line.strip_prefix("0::"))?),
    };
    let path = Path::new(path.trim_start_matches('/'));
    // Seen from inside a cgroup namespace a group may be outside (cgroup_namespaces(7)).
    if path.components().any(|component| component == Component::ParentDir) {
        return None;
    }
    Some(path.ancestors().take(LEVELS).map(|path| Path::new(mount).join(path)).collect())
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
    fn the_groups_above_one_come_after_it() {
        let of = |cgroups: &str, mounts: &str| -> Option<Vec<String>> {
            let folders = folders(cgroups, mounts, "cpu")?;
            Some(folders.iter().map(|folder| folder.display().to_string()).collect())
        };
        let v2 = of("0::/machine.slice/web\n", V2).unwrap();
        assert_eq!(
            v2,
            ["/sys/fs/cgroup/machine.slice/web", "/sys/fs/cgroup/machine.slice", "/sys/fs/cgroup/"]
        );
        let v1 = of("3:cpuset:/x\n2:cpu,cpuacct:/web\n0::/y\n", V1).unwrap();
        assert_eq!(v1, ["/sys/fs/cgroup/cpu,cpuacct/web", "/sys/fs/cgroup/cpu,cpuacct/"]);
        assert_eq!(of("0::/../../x\n", V2), None);
        assert_eq!(of("", V2), None);
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
