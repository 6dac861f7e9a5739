//! Who has which lease.

use crate::lease::folder::{Folder, Mutex, ROOT};
use crate::output::failure::Failure;
use crate::sys::ending::is_ending;
use crate::sys::kernel::Kernel;
use crate::sys::locks;
use crate::sys::process::Process;
use pinning::{CpuId, CpuSet, acts_in};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// How often to look for who has a lease, and how long to wait in between. Under libvirt leases go from the hook through
/// another process to QEMU: a look at one process after the other may miss all of them, and while they are passed on
/// nobody has them open.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(10);

/// Leased CPUs, and the process that has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) cpus: CpuSet,
    /// Whose lease it is: this user's, or root's, which guards the host.
    pub(crate) user: u32,
    /// The lowest pid of those that hold the descriptor; `None` where none was found. QEMU's own children do not hold it.
    pub(crate) pid: Option<i32>,
}

impl Leased {
    /// Whether it may be over in a moment: the process is ending, or nobody can be seen who has it.
    pub(crate) fn is_passing(&self, kernel: &dyn Kernel) -> bool {
        match self.pid {
            Some(pid) => is_ending(Process { kernel, pid }),
            // Which process of root's has a lease need not be known to others.
            None => self.user == kernel.user(),
        }
    }
}

/// The leases that bind this user's VMs, for one who leases nothing: the user's own, of which there are none where the user
/// has no folder for them, and root's.
pub(crate) fn of_user(kernel: &dyn Kernel) -> Vec<Leased> {
    let mut all = own(kernel).unwrap_or_default();
    all.extend(of_root(kernel));
    all
}

/// The leases of this user's VMs.
///
/// # Errors
/// The user has no folder for them, or it cannot be used.
pub(crate) fn own(kernel: &dyn Kernel) -> Result<Vec<Leased>, Failure> {
    let folder = Folder::of_user(kernel)?;
    let mutex = folder.mutex(kernel)?;
    leased(kernel, &folder, &mutex)
}

/// What these leases are of some CPUs.
pub(crate) fn among(leased: impl IntoIterator<Item = Leased>, cpus: &CpuSet) -> Vec<Leased> {
    let cut = |leased: Leased| Leased { cpus: leased.cpus.intersection(cpus), ..leased };
    leased.into_iter().map(cut).filter(|leased| !leased.cpus.is_empty()).collect()
}

/// Root's leases, as another user sees them: those of root itself are [`leased`].
pub(crate) fn of_root(kernel: &dyn Kernel) -> Vec<Leased> {
    let folder = Some(kernel).filter(|kernel| kernel.user() != ROOT).and_then(Folder::existing_of_root);
    folder.map(|folder| listed(kernel, &folder)).unwrap_or_default()
}

/// The leases of these CPUs that bind this user's VMs, as they are at this moment: nothing is waited for, and nothing made.
pub(crate) fn at_a_glance(kernel: &dyn Kernel, cpus: &CpuSet) -> Vec<Leased> {
    let own = Folder::existing(kernel).ok().flatten();
    let mut all = own.as_ref().map(|folder| listed(kernel, folder)).unwrap_or_default();
    all.extend(of_root(kernel));
    let mut all = among(all, cpus);
    // Who took a lease may have passed it on.
    if let Some(folder) = own {
        let (unknown, mut known): (Vec<Leased>, _) =
            all.into_iter().partition(|leased| leased.pid.is_none() && leased.user == folder.user());
        let mut left = unknown.iter().fold(CpuSet::new(), |all, leased| all.union(&leased.cpus));
        known.extend(held(kernel, &folder, &mut left).unwrap_or_default());
        known.extend(nobodys(left, folder.user()));
        all = known;
    }
    all.sort_by_key(|leased| leased.cpus.iter().next());
    all
}

/// The leased CPUs, together by who has them, the lowest CPU first.
///
/// # Errors
/// The folder of leases cannot be read, or /proc.
pub(crate) fn leased(kernel: &dyn Kernel, folder: &Folder, mutex: &Mutex) -> Result<Vec<Leased>, Failure> {
    let mut left = folder.leased(kernel, mutex)?;
    let user = folder.user();
    let mut all: Vec<Leased> = Vec::new();
    for look in 0..LOOKS {
        if left.is_empty() {
            break;
        }
        if look > 0 {
            kernel.sleep(PAUSE);
            left = left.intersection(&folder.leased(kernel, mutex)?);
        }
        all.extend(held(kernel, folder, &mut left)?);
    }
    // Of one whose descriptors cannot be seen (a process that is ending has none any more) the kernel still says that it
    // took the lock.
    let mut listed = among(listed(kernel, folder), &left);
    listed.retain(|leased| leased.pid.is_some());
    left = listed.iter().fold(left, |left, leased| left.difference(&leased.cpus));
    all.extend(listed);
    all.extend(nobodys(left, user));
    all.sort_by_key(|leased| leased.cpus.iter().next());
    Ok(all)
}

/// Leases of whom nobody knows the process.
fn nobodys(cpus: CpuSet, user: u32) -> Option<Leased> {
    (!cpus.is_empty()).then_some(Leased { cpus, user, pid: None })
}

/// Of leased CPUs, those of which the processes can be seen that have them open; the others are left.
fn held(kernel: &dyn Kernel, folder: &Folder, left: &mut CpuSet) -> Result<Vec<Leased>, Failure> {
    let no_proc = |error| Failure::new(format!("/proc cannot be read: {error}"));
    let mut all = Vec::new();
    for process in Process::all(kernel).map_err(no_proc)? {
        if left.is_empty() {
            break;
        }
        let cpus = held_by(kernel, folder, process).intersection(left);
        if !cpus.is_empty() && u32::try_from(process.pid) != Ok(std::process::id()) {
            *left = left.difference(&cpus);
            all.push(Leased { cpus, user: folder.user(), pid: Some(process.pid) });
        }
    }
    Ok(all)
}

/// The leases of a folder by the kernel's list of locks, which needs neither its lock nor its files.
fn listed(kernel: &dyn Kernel, folder: &Folder) -> Vec<Leased> {
    let locks = locks::all(kernel).unwrap_or_default();
    let user = folder.user();
    let mut by_process: BTreeMap<Option<i32>, Vec<CpuId>> = BTreeMap::new();
    for (cpu, pid) in folder.among(&locks) {
        let pid = Some(pid).filter(|&pid| may_have(Process { kernel, pid }, user));
        by_process.entry(pid).or_default().push(cpu);
    }
    let leased = |(pid, cpus): (_, Vec<CpuId>)| Leased { cpus: cpus.into_iter().collect(), user, pid };
    let mut all: Vec<Leased> = by_process.into_iter().map(leased).collect();
    all.sort_by_key(|leased| leased.cpus.iter().next());
    all
}

/// Whether the process that has this id now may be the one that took a user's lock: `pinshim run` becomes QEMU, and keeps
/// its id. One that has passed the lease on has ended, and its id may be anybody's.
fn may_have(process: Process<'_>, user: u32) -> bool {
    let is_qemu = || acts_in(None, process.executable_name().as_bytes());
    process.user() == Some(user) && (is_ending(process) || is_qemu())
}

/// The leases that a process has open.
fn held_by(kernel: &dyn Kernel, folder: &Folder, process: Process<'_>) -> CpuSet {
    let descriptors = process.file("fd");
    let names = kernel.names_in(&descriptors).into_iter().flatten();
    let links = names.filter_map(|name| kernel.read_link(descriptors.join(name)).ok());
    links.filter_map(|link| folder.lease_of(&link)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    const FOLDER: &str = "/run/pinshim/leases";

    /// A kernel on which processes have taken the locks of these files of a folder of leases.
    fn kernel(taken: &[(&str, i32)]) -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        let line = |&(name, pid): &(&str, i32)| {
            let file = format!("{FOLDER}/{name}");
            kernel.write(&file, "");
            let about = fs::metadata(kernel.path(file)).unwrap();
            let (major, minor) = (libc::major(about.dev()), libc::minor(about.dev()));
            format!("1: FLOCK  ADVISORY  WRITE {pid} {major:02x}:{minor:02x}:{} 0 EOF\n", about.ino())
        };
        let lines: String = taken.iter().map(line).collect();
        kernel.write("/proc/locks", lines);
        kernel.write(format!("{FOLDER}/cpu9"), "");
        fs::set_permissions(kernel.path(FOLDER), Permissions::from_mode(0o700)).unwrap();
        for (pid, program) in [(7, "qemu-system-x86_64"), (8, "pinshim")] {
            let process = kernel.process(pid, &[&format!("/usr/bin/{program}")]);
            process.thread(pid, program, "0").user(kernel.user());
        }
        kernel
    }

    fn listed_there(kernel: &FakeKernel) -> Vec<(String, Option<i32>)> {
        let all = listed(kernel, &Folder::at(kernel, Path::new(FOLDER)).unwrap());
        all.into_iter().map(|leased| (leased.cpus.to_string(), leased.pid)).collect()
    }

    #[test]
    fn what_is_locked_is_leased_whoever_may_open_it() {
        // 5 was passed on by a process that has ended, whose id is another program's now.
        let kernel = kernel(&[("cpu1", 7), ("cpu3", 7), ("cpu5", 8), ("cpu6", 99), ("readme", 7)]);
        let expected = [("1,3".to_owned(), Some(7)), ("5-6".to_owned(), None)];
        assert_eq!(listed_there(&kernel), expected);
    }

    #[test]
    fn locks_that_are_only_tried_are_no_leases() {
        let kernel = kernel(&[("lock", 8), ("cpu1", 7), ("cpu2", 8), ("cpu3", 8)]);
        assert_eq!(listed_there(&kernel), [("1".to_owned(), Some(7))]);
    }

    #[test]
    fn a_lease_passes_with_its_process() {
        let kernel = kernel(&[]);
        let user = kernel.user();
        let is_passing = |user, pid| Leased { cpus: cpus("1"), user, pid }.is_passing(&kernel);
        assert!(!is_passing(user, Some(7)));
        kernel.change(7, |thread| thread.flags = 0x4);
        assert!(is_passing(user, Some(7)) && is_passing(user, Some(99)) && is_passing(user, None));
        // Of root's leases others need not see the process.
        assert!(!is_passing(user + 1, None));
    }

    #[test]
    fn at_a_glance_a_lease_that_was_passed_on_is_whose_it_is_now() {
        // A folder of root's, as what an environment of the tests says does not count for it.
        let kernel = kernel(&[("cpu1", 99), ("cpu2", 7), ("cpu3", 99)]);
        if kernel.user() == ROOT {
            symlink(kernel.path(FOLDER).join("cpu3"), kernel.path("/proc/8/fd/4")).unwrap();
            let seen = at_a_glance(&kernel, &cpus("0-3"));
            let seen: Vec<_> = seen.iter().map(|leased| (leased.cpus.to_string(), leased.pid)).collect();
            let expected = [("1", None), ("2", Some(7)), ("3", Some(8))];
            assert_eq!(seen, expected.map(|(cpus, pid)| (cpus.to_owned(), pid)));
            assert_eq!(at_a_glance(&kernel, &cpus("0,4-9")), []);
        }
    }
}
