//! Which process is a domain's QEMU.
//!
//! QEMU decides what its arguments say, and any user can start a process with the same ones. libvirt writes a
//! pid file for each domain. Its text alone does not count: QEMU inherits an open descriptor of it
//! (virCommandSetPidFile in libvirt's src/util/vircommand.c, since 6.2) and may write to it. With the descriptor
//! it inherits a lock on the file, which libvirt took in the process that then became QEMU. The kernel says who
//! holds that lock. Nobody else can take it: it needs a descriptor to write with, and only root may open the
//! file so. It ends with the process, so that no later process with the same id has it.
//!
//! libvirt gives the folder of these files to the user that QEMU runs as. Who may write to it can give one domain's file
//! the name of another's, so the process must run as the user whose folder it is: he may move its threads anyway.

use crate::libvirt::root_file;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A pid file holds a number and a line's end.
const PID_FILE_BYTES: u64 = 32;

/// The process that libvirt has started for a domain.
#[derive(Debug)]
pub(crate) struct QemuProcess<'k> {
    /// The process.
    pub(crate) process: Process<'k>,
    pid_file: File,
    path: PathBuf,
}

impl<'k> QemuProcess<'k> {
    /// The process of the domain with this name.
    ///
    /// # Errors
    /// Why it cannot be told, in a sentence.
    pub(crate) fn find(kernel: &'k dyn Kernel, pid_files: &Path, domain: &OsStr) -> Result<Self, String> {
        // libvirt allows no such name.
        if domain.is_empty() || domain.as_bytes().contains(&b'/') {
            return Err("the domain's name is no file's name".to_owned());
        }
        let mut name = domain.to_owned();
        name.push(".pid");
        let path = pid_files.join(name);
        let pid_file = root_file::open_in_any_folder(kernel, &path)?;
        let (pid_file, owner) = pid_file.ok_or_else(|| format!("there is no {}", path.display()))?;
        let text = root_file::text(&pid_file, &path, PID_FILE_BYTES)?;
        let pid = text.trim().parse().map_err(|_| format!("{} holds no process id", path.display()))?;
        let process = Process { kernel, pid };
        let found = Self { process, pid_file, path };
        found.check()?;
        if !process.is_alive() {
            return Err(format!("process {pid}, which {} names, has ended", found.path.display()));
        }
        if owner != 0 && owner != kernel.user() && process.user() != Some(owner) {
            return Err(format!(
                "{} belongs to user {owner}, and process {pid} runs as another",
                pid_files.display()
            ));
        }
        Ok(found)
    }

    /// Checks that the process is still the one that libvirt has started.
    ///
    /// # Errors
    /// It is not, in a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (pid, path) = (self.process.pid, self.path.display());
        match self.process.kernel.write_lock_holder(&self.pid_file) {
            Ok(Some(holder)) if holder == pid => Ok(()),
            Ok(Some(holder)) => Err(format!(
                "{path} names process {pid}, but libvirt's lock on it is held by process {holder}"
            )),
            Ok(None) => Err(format!("process {pid}, which {path} names, does not hold libvirt's lock on it")),
            Err(error) => Err(format!("who holds the lock on {path} cannot be found out: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    const FOLDER: &str = "/run/libvirt/qemu";
    const FILE: &str = "/run/libvirt/qemu/web.pid";

    /// A kernel with process 100.
    fn kernel() -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        kernel.process(100, &["/usr/bin/qemu-system-x86_64"]).thread(100, "qemu-system-x86", "0");
        kernel
    }

    fn found(kernel: &FakeKernel) -> Result<i32, String> {
        QemuProcess::find(kernel, Path::new(FOLDER), OsStr::new("web")).map(|qemu| qemu.process.pid)
    }

    #[test]
    fn it_is_the_process_that_the_pid_file_names_and_that_holds_its_lock() {
        let kernel = kernel();
        kernel.write(FILE, "100\n");
        kernel.lock(FILE, 100);
        assert_eq!(found(&kernel), Ok(100));
    }

    #[test]
    fn a_pid_file_that_qemu_has_overwritten_names_nobody() {
        let kernel = kernel();
        kernel.process(50, &["/usr/bin/qemu-system-x86_64"]).thread(50, "qemu-system-x86", "0");
        kernel.write(FILE, "50\n");
        kernel.lock(FILE, 100);
        let why = format!("{FILE} names process 50, but libvirt's lock on it is held by process 100");
        assert_eq!(found(&kernel), Err(why));
    }

    #[test]
    fn without_the_lock_the_id_may_be_another_processs() {
        let kernel = kernel();
        kernel.write(FILE, "100\n");
        let why = format!("process 100, which {FILE} names, does not hold libvirt's lock on it");
        assert_eq!(found(&kernel), Err(why));
    }

    #[test]
    fn without_a_pid_file_there_is_no_process() {
        let kernel = kernel();
        assert_eq!(found(&kernel), Err(format!("there is no {FILE}")));
        for (text, why) in [
            ("", format!("{FILE} holds no process id")),
            ("100 200", format!("{FILE} holds no process id")),
            ("99999999999", format!("{FILE} holds no process id")),
            (&"1".repeat(33), format!("{FILE} has more than 32 bytes, which are not read")),
        ] {
            kernel.write(FILE, text);
            assert_eq!(found(&kernel), Err(why), "{text}");
        }
        for name in ["", "../web", "a/b"] {
            let found = QemuProcess::find(&kernel, Path::new(FOLDER), OsStr::new(name));
            assert_eq!(found.unwrap_err(), "the domain's name is no file's name");
        }
    }

    #[test]
    fn one_that_has_ended_is_noticed_though_its_id_is_used_again() {
        let kernel = kernel();
        kernel.write(FILE, "100\n");
        kernel.lock(FILE, 100);
        let qemu = QemuProcess::find(&kernel, Path::new(FOLDER), OsStr::new("web")).unwrap();
        kernel.unlock(FILE);
        assert!(qemu.check().is_err());
    }

    /// libvirt gives the folder to the user that QEMU runs as.
    #[test]
    fn the_folder_may_belong_to_the_user_that_qemu_runs_as_and_to_no_other() {
        let kernel = kernel();
        kernel.write(FILE, "100\n");
        kernel.lock(FILE, 100);
        let other = kernel.user() + 7;
        if chown(kernel.path(FOLDER), Some(other), None).is_err() {
            // Only root may give a folder away.
            return;
        }
        let why = format!("{FOLDER} belongs to user {other}, and process 100 runs as another");
        assert_eq!(found(&kernel), Err(why));
        kernel.existing(100).user(other);
        assert_eq!(found(&kernel), Ok(100));

        // What that user has put there himself is not root's.
        chown(kernel.path(FILE), Some(other), None).unwrap();
        assert_eq!(found(&kernel), Err(format!("{FILE} belongs to user {other}, not to root")));
        std::fs::remove_file(kernel.path(FILE)).unwrap();
        kernel.write("/run/other.pid", "100\n");
        kernel.lock("/run/other.pid", 100);
        symlink(kernel.path("/run/other.pid"), kernel.path(FILE)).unwrap();
        let why = found(&kernel).unwrap_err();
        assert!(why.starts_with(&format!("{FILE} cannot be read: ")), "{why}");
    }

    #[test]
    fn the_folder_above_is_roots() {
        let kernel = kernel();
        kernel.write(FILE, "100\n");
        kernel.lock(FILE, 100);
        std::fs::set_permissions(kernel.path("/run/libvirt"), Permissions::from_mode(0o777)).unwrap();
        let why = found(&kernel).unwrap_err();
        assert!(why.starts_with("/run/libvirt can be written to by others than root"), "{why}");
    }
}
