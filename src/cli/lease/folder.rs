//! The folder with a file for each CPU that was ever leased.

use crate::output::failure::Failure;
use crate::sys::kernel::Kernel;
use crate::sys::locks::{FileId, Lock};
use pinning::{CpuId, CpuSet};
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for others that plan or lease. One takes milliseconds, on a slow host with many processes seconds, and
/// many may be before this one.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait before a lock is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// The file whose lock is held while somebody looks what is free and leases it.
const MUTEX: &str = "lock";

/// The folder of leases, below one for what runs.
pub(crate) const LEASES: &str = "pinshim/leases";

/// The folder for what runs of the whole host.
const RUN: &str = "/run";

/// The user whose leases guard the host.
pub(crate) const ROOT: u32 = 0;

/// Root's folder may be looked into by everybody, so that everybody sees what is leased: who cannot open its files cannot
/// lock one either. Any other user's is that user's alone.
const ROOTS_MODE: u32 = 0o755;
const USERS_MODE: u32 = 0o700;

/// A folder of leases.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Whose it is.
    user: u32,
}

/// While this lives, nobody else looks what is free or leases anything.
#[derive(Debug)]
pub(crate) struct Mutex(#[allow(dead_code, reason = "held for its lock")] File);

impl Folder {
    /// The folder of the user that this command acts as: root's guards the host, another user's that user's own VMs.
    ///
    /// # Errors
    /// The user has no folder for what runs; the folder cannot be made, or others may write to it.
    pub(crate) fn of_user(kernel: &dyn Kernel) -> Result<Self, Failure> {
        let run = run_of_user(kernel).ok_or_else(|| {
            Failure::new("there is no folder for leases: XDG_RUNTIME_DIR is not set")
                .next("log in through systemd, or set it to a folder of your own")
        })?;
        Self::at(kernel, &run.join(LEASES))
    }

    /// The same for one who only looks: `None` where nobody has made it yet.
    ///
    /// # Errors
    /// It is there, and others may write to it.
    pub(crate) fn existing(kernel: &dyn Kernel) -> Result<Option<Self>, Failure> {
        let Some(run) = run_of_user(kernel) else { return Ok(None) };
        let path = run.join(LEASES);
        if kernel.is_folder(&path) { Self::at(kernel, &path).map(Some) } else { Ok(None) }
    }

    /// The folder of this path.
    ///
    /// # Errors
    /// It cannot be made, or others may write to it.
    pub(crate) fn at(kernel: &dyn Kernel, path: &Path) -> Result<Self, Failure> {
        let located = kernel.locate(path).map_err(|error| unusable(path, &error))?;
        let user = kernel.user();
        let mode = if user == ROOT { ROOTS_MODE } else { USERS_MODE };
        let made = DirBuilder::new().recursive(true).mode(mode).create(&located);
        made.map_err(|error| unusable(path, &error))?;
        let folder = Self { path: located, user };
        folder.check().and_then(|()| folder.open_up()).map_err(|error| unusable(path, &error))?;
        Ok(folder)
    }

    /// Root's folder, if it is there already and nobody but root can have put it there.
    pub(crate) fn existing_of_root(kernel: &dyn Kernel) -> Option<Self> {
        let folder = Self { path: kernel.locate(&Path::new(RUN).join(LEASES)).ok()?, user: ROOT };
        folder.check().is_ok().then_some(folder)
    }

    /// Nobody else may put files here, or take a lock and so a CPU.
    fn check(&self) -> io::Result<()> {
        let about = fs::symlink_metadata(&self.path)?;
        if !about.is_dir() {
            return Err(io::Error::other("it is no folder"));
        }
        if about.uid() != self.user {
            return Err(io::Error::other(format!("it belongs to user {}", about.uid())));
        }
        let allowed = if self.user == ROOT { ROOTS_MODE } else { USERS_MODE };
        if about.mode() & 0o077 & !allowed != 0 {
            return Err(io::Error::other(format!("others may use it: its mode must be 0{allowed:o}")));
        }
        Ok(())
    }

    /// Lets everybody look into root's folder, which may have been made under another umask, or by a pinshim that kept it to
    /// root.
    fn open_up(&self) -> io::Result<()> {
        let above = self.path.parent();
        for folder in above.into_iter().chain([self.path.as_path()]).filter(|_| self.user == ROOT) {
            let mode = fs::symlink_metadata(folder)?.mode() & 0o7777;
            if mode & ROOTS_MODE != ROOTS_MODE {
                fs::set_permissions(folder, Permissions::from_mode(mode | ROOTS_MODE))?;
            }
        }
        Ok(())
    }

    /// Waits until nobody else plans or leases.
    ///
    /// # Errors
    /// It takes longer than [`PATIENCE`].
    pub(crate) fn mutex(&self, kernel: &dyn Kernel) -> Result<Mutex, Failure> {
        self.mutex_within(kernel, PATIENCE)
    }

    /// The same, for so long.
    ///
    /// # Errors
    /// It takes longer.
    pub(crate) fn mutex_within(&self, kernel: &dyn Kernel, patience: Duration) -> Result<Mutex, Failure> {
        let failed = |error: &io::Error| unusable(&self.path, error);
        let file = self.open(MUTEX).map_err(|error| failed(&error))?;
        let until = kernel.now() + patience;
        while !kernel.try_lock(&file).map_err(|error| failed(&error))? {
            if kernel.now() > until {
                return Err(Failure::new(format!("others have been planning for {} s", patience.as_secs())));
            }
            kernel.sleep(PAUSE);
        }
        Ok(Mutex(file))
    }

    /// Takes CPUs: all of them, each as its file with the lock, or none and the CPUs that somebody has.
    ///
    /// # Errors
    /// A file cannot be opened or locked.
    pub(crate) fn take(
        &self,
        kernel: &dyn Kernel,
        cpus: &CpuSet,
        _mutex: &Mutex,
    ) -> Result<Result<Vec<File>, CpuSet>, Failure> {
        let mut leases = Vec::new();
        let mut busy = CpuSet::new();
        for cpu in cpus.iter() {
            let file = self.open(&name(cpu)).map_err(|error| unusable(&self.path, &error))?;
            if kernel.try_lock(&file).map_err(|error| unusable(&self.path, &error))? {
                leases.push(file);
            } else {
                busy.insert(cpu);
            }
        }
        Ok(if busy.is_empty() { Ok(leases) } else { Err(busy) })
    }

    /// The CPUs that somebody has.
    ///
    /// # Errors
    /// The folder, or a file in it, cannot be read.
    pub(crate) fn leased(&self, kernel: &dyn Kernel, _mutex: &Mutex) -> Result<CpuSet, Failure> {
        let failed = |error: &io::Error| unusable(&self.path, error);
        let mut leased = CpuSet::new();
        for entry in fs::read_dir(&self.path).map_err(|error| failed(&error))?.flatten() {
            let Some(cpu) = cpu_of(&entry.path()) else { continue };
            let file = self.open(&name(cpu)).map_err(|error| failed(&error))?;
            // What is locked here is unlocked at once, when the file is closed.
            if !kernel.try_lock(&file).map_err(|error| failed(&error))? {
                leased.insert(cpu);
            }
        }
        Ok(leased)
    }

    /// The CPUs whose files are among locked ones, each with the process that took the lock. Whoever plans or leases tries
    /// locks: his, as long as he does, do not count.
    pub(crate) fn among(&self, locks: &[Lock]) -> Vec<(CpuId, i32)> {
        let lock_of = |path: &Path| {
            let file = FileId::of(&fs::symlink_metadata(path).ok()?);
            locks.iter().find(|lock| lock.file == file)
        };
        let tries = lock_of(&self.path.join(MUTEX)).map(|lock| lock.taken_by);
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let leases = entries.filter_map(|entry| {
            let cpu = cpu_of(&entry.path())?;
            let lock = lock_of(&entry.path()).filter(|lock| tries != Some(lock.taken_by))?;
            Some((cpu, lock.taken_by))
        });
        leases.collect()
    }

    /// Whose folder it is.
    pub(crate) fn user(&self) -> u32 {
        self.user
    }

    /// Whether a path is that of a lease, and of which CPU.
    pub(crate) fn lease_of(&self, path: &Path) -> Option<CpuId> {
        cpu_of(path).filter(|_| path.parent() == Some(&self.path))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW);
        options.open(self.path.join(name))
    }
}

/// The folder for what runs of the user that this command acts as.
fn run_of_user(kernel: &dyn Kernel) -> Option<PathBuf> {
    if kernel.user() == ROOT {
        return Some(PathBuf::from(RUN));
    }
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

fn name(cpu: CpuId) -> String {
    format!("cpu{}", cpu.0)
}

/// The CPU of a file with a CPU's name.
fn cpu_of(path: &Path) -> Option<CpuId> {
    let number = path.file_name()?.to_str()?.strip_prefix("cpu")?;
    let cpu = CpuId(number.parse().ok()?);
    (cpu.0 < pinning::CPU_LIMIT && name(cpu).ends_with(number)).then_some(cpu)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("the folder for leases, {}, cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;

    #[test]
    fn a_folder_that_others_may_write_to_is_not_roots_word() {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        let folder = kernel.path(Path::new(RUN).join(LEASES));
        assert!(Folder::existing_of_root(&kernel).is_none());
        fs::create_dir_all(&folder).unwrap();
        let is_roots = |mode| {
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            Folder::existing_of_root(&kernel).is_some()
        };
        // Where the tests do not run as root it is another user's.
        let expected = kernel.user() == ROOT;
        assert_eq!(
            [0o755, 0o700, 0o775, 0o757, 0o1777].map(is_roots),
            [expected, expected, false, false, false]
        );
        fs::remove_dir(&folder).unwrap();
        std::os::unix::fs::symlink("/", &folder).unwrap();
        assert!(Folder::existing_of_root(&kernel).is_none());
    }
}
