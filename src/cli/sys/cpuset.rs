//! The cpuset of a thread: the CPUs that its cgroup leaves it, and the file that says so.
//!
//! Both versions of cgroups are read (cgroups(7), cpuset(7)). Where nothing can be read, there is no answer.

use crate::sys::cgroup::mount;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::thread_cgroup::ThreadCgroup;
use crate::sys::threads::{self, Migrations};
use pinning::{CpuSet, Tid};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The cpuset of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cpuset {
    /// The file that says so, in /sys.
    pub(crate) file: PathBuf,
    /// The CPUs that it leaves.
    pub(crate) cpus: CpuSet,
}

impl Cpuset {
    /// The folder of the cgroup.
    pub(crate) fn group(&self) -> &Path {
        self.file.parent().unwrap_or(&self.file)
    }

    /// The CPUs that the cgroup of this name beside it has.
    pub(crate) fn beside(&self, kernel: &dyn Kernel, name: &str) -> Option<CpuSet> {
        let file = self.group().parent()?.join(name).join(self.file.file_name()?);
        CpuSet::parse(kernel.read_text(file).ok()?.trim(), &CpuSet::new()).ok()
    }

    /// Whose cgroup it is, if libvirt has made it for threads of a QEMU.
    pub(crate) fn of_libvirt(&self) -> Option<ThreadCgroup> {
        ThreadCgroup::called(self.group().file_name()?.to_str()?)
    }
}

/// So many groups above each other are looked at. A user may nest those that were given to him deeper.
const LEVELS: usize = 64;

/// The cpuset of a thread of a process; `None` if it has none, or if that could not be read.
pub(crate) fn of_thread(process: Process<'_>, tid: Tid) -> Option<Cpuset> {
    read(process, tid).ok().flatten()
}

/// Why the cpuset of a thread could not be read, in a sentence; `None` if it was read, or if there is none.
pub(crate) fn why_unreadable(process: Process<'_>, tid: Tid) -> Option<String> {
    read(process, tid).err().map(|error| format!("its cgroup could not be read: {}", reason(&error)))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The cpuset of a thread of a process, if it has one.
fn read(process: Process<'_>, tid: Tid) -> io::Result<Option<Cpuset>> {
    let kernel = process.kernel;
    let cgroups = match kernel.read_text(process.file(&format!("task/{tid}/cgroup"))) {
        // The thread has ended, or the kernel has no cgroups.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        cgroups => cgroups?,
    };
    let mounts = kernel.read_text("/proc/self/mounts")?;
    let Some((folder, names)) = folder(&cgroups, &mounts) else { return Ok(None) };
    // Seen from inside a cgroup namespace a group may be outside (cgroup_namespaces(7)); what its name then
    // leads to is no cgroup.
    if folder.components().any(|component| component == Component::ParentDir) {
        return Ok(None);
    }
    // In version 2 a group without the cpuset controller has the CPUs of the next group above that has it.
    for folder in folder.ancestors().take(LEVELS) {
        for name in names {
            let file = folder.join(name);
            match kernel.read_text(&file) {
                Ok(text) => {
                    if let Ok(cpus) = CpuSet::parse(text.trim(), &CpuSet::new()) {
                        return Ok(Some(Cpuset { file, cpus }));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // A group above may have more CPUs: it is not what limits the thread.
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// The folder of the cgroup with the cpuset, and the names that the file in it may have.
fn folder(cgroups: &str, mounts: &str) -> Option<(PathBuf, &'static [&'static str])> {
    let v1 = cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|controller| controller == "cpuset").then_some(path)
    });
    let below = |mount: &str, path: &str| Path::new(mount).join(path.trim_start_matches('/'));
    if let Some(path) = v1 {
        return Some((
            below(mount(mounts, Some("cpuset"))?, path),
            &["cpuset.effective_cpus", "cpuset.cpus"],
        ));
    }
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some((below(mount(mounts, None)?, path), &["cpuset.cpus.effective"]))
}

/// The CPUs that are online.
pub(crate) fn online(kernel: &dyn Kernel) -> CpuSet {
    let online = kernel.read_text("/sys/devices/system/cpu/online").unwrap_or_default();
    CpuSet::parse(online.trim(), &CpuSet::new()).unwrap_or_default()
}

/// The online CPUs that a process's threads may be put on: those of the cpusets of all its threads, since a
/// manager may give each thread one of its own.
pub(crate) fn available_to(process: Process<'_>) -> CpuSet {
    let threads = threads::list(process, Migrations::Ignore).unwrap_or_default();
    let cpusets = threads.iter().filter_map(|thread| of_thread(process, thread.tid));
    let all = cpusets.fold(CpuSet::new(), |all, cpuset| all.union(&cpuset.cpus));
    let online = online(process.kernel);
    if all.is_empty() { online } else { all.intersection(&online) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::sys::linux::Linux;
    use crate::vm::sample::threads_of_web;

    const V1: &str = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                      cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";

    #[test]
    fn both_versions_are_found() {
        let found = |cgroups: &str, mounts: &str| folder(cgroups, mounts).map(|(folder, _)| folder);
        let v1 = "4:memory:/m\n3:cpu,cpuset:/machine/vm/vcpu0\n0::/\n";
        assert_eq!(found(v1, V1), Some(PathBuf::from("/sys/fs/cgroup/cpuset/machine/vm/vcpu0")));
        assert_eq!(found("0::/machine.slice/x\n", V2), Some(PathBuf::from("/sys/fs/cgroup/machine.slice/x")));
        assert_eq!(found("3:cpuset:/\n", V2), None);
        assert_eq!(found("", V2), None);
    }

    #[test]
    fn a_group_outside_the_cgroup_namespace_leads_nowhere() {
        let kernel = FakeKernel::new();
        let vm = threads_of_web(&kernel).write("task/101/cgroup", "0::/../../../home/x\n");
        let _ = vm.write("task/102/cgroup", "0::/vm\n");
        kernel.write("/home/x/cpuset.cpus.effective", "0\n");
        kernel.write("/sys/fs/cgroup/vm/cpuset.cpus.effective", "0-1\n");
        let process = Process::new(&kernel, 100).unwrap();
        assert_eq!(of_thread(process, Tid(101)), None);
        assert_eq!(of_thread(process, Tid(102)).unwrap().cpus.to_string(), "0-1");
    }

    #[test]
    fn a_group_that_must_not_be_read_is_not_taken_for_the_one_above_it() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel).cpuset(101, "/vm/vcpu0", "1");
        kernel.write("/sys/fs/cgroup/vm/cpuset.cpus.effective", "0-3\n");
        let process = Process::new(&kernel, 100).unwrap();
        assert_eq!(of_thread(process, Tid(101)).unwrap().cpus.to_string(), "1");
        assert_eq!(why_unreadable(process, Tid(101)), None);
        kernel.deny("/sys/fs/cgroup/vm/vcpu0/cpuset.cpus.effective");
        assert_eq!(of_thread(process, Tid(101)), None);
        let why = "its cgroup could not be read: permission denied";
        assert_eq!(why_unreadable(process, Tid(101)).as_deref(), Some(why));
    }

    #[test]
    fn the_cpus_of_this_process_are_available_to_it() {
        let kernel = Linux::new();
        let own = Process::new(&kernel, i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(kernel.affinity(Tid(0)).unwrap().is_subset(&available_to(own)));
    }
}
