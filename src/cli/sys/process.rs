//! A process as /proc shows it: its arguments, environment, executable and user.
//!
//! The process decides most of what is read here, and may change it or end at any moment.

use crate::sys::kernel::Kernel;
use crate::sys::user;
use pinning::{Tid, strip_deleted};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A process, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process<'k> {
    /// The kernel that is asked about it.
    pub(crate) kernel: &'k dyn Kernel,
    pub(crate) pid: i32,
}

/// The auxiliary vector's entry for secure execution (getauxval(3)).
const AT_SECURE: usize = 23;

impl<'k> Process<'k> {
    /// The process with this id, if there is one.
    pub(crate) fn new(kernel: &'k dyn Kernel, pid: i32) -> io::Result<Self> {
        let process = Self { kernel, pid };
        if pid > 0 && kernel.is_folder(process.file("task")) {
            return Ok(process);
        }
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    /// The process that a thread belongs to.
    pub(crate) fn of_thread(kernel: &'k dyn Kernel, tid: Tid) -> Option<Self> {
        let pid = Self { kernel, pid: tid.0 }.status("Tgid:")?.parse().ok()?;
        Self::new(kernel, pid).ok()
    }

    /// Every process there is, in the order of their ids.
    pub(crate) fn all(kernel: &'k dyn Kernel) -> io::Result<Vec<Self>> {
        let pids = kernel.names_in(Path::new("/proc"))?.filter_map(|name| name.to_str()?.parse().ok());
        let mut all: Vec<Self> = pids.map(|pid| Self { kernel, pid }).collect();
        all.sort_by_key(|process| process.pid);
        Ok(all)
    }

    /// The thread that it began with, which has its id.
    pub(crate) fn main_thread(self) -> Tid {
        Tid(self.pid)
    }

    /// The path of one of its files in /proc.
    pub(crate) fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    fn read(self, name: &str) -> io::Result<Vec<u8>> {
        self.kernel.read(self.file(name))
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        // A zombie still has its folder.
        self.kernel.is_folder(self.file("task"))
            && !self.status("State:").is_some_and(|state| state.starts_with(['Z', 'X']))
    }

    /// Its arguments. Readable by everyone.
    pub(crate) fn arguments(self) -> Vec<OsString> {
        let bytes = self.read("cmdline").unwrap_or_default();
        let text = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        if text.is_empty() {
            return Vec::new();
        }
        text.split(|byte| *byte == 0).map(|argument| OsString::from_vec(argument.to_vec())).collect()
    }

    /// The environment that it was started with.
    pub(crate) fn environment(self) -> io::Result<Vec<(OsString, OsString)>> {
        let bytes = self.read("environ")?;
        Ok(bytes
            .split(|byte| *byte == 0)
            .filter_map(|entry| {
                let at = entry.iter().position(|byte| *byte == b'=')?;
                let (name, value) = (entry.get(..at)?, entry.get(at + 1..)?);
                Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
            })
            .collect())
    }

    /// The basename of its executable, as the library sees it; where that may not be read, of its first
    /// argument.
    pub(crate) fn executable_name(self) -> OsString {
        let path = self.kernel.read_link(self.file("exe")).ok();
        let path = path.or_else(|| self.arguments().first().map(PathBuf::from)).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().as_bytes();
        OsStr::from_bytes(strip_deleted(name)).to_owned()
    }

    /// Its name for a sentence: `1234 (qemu-system-x86_64)`.
    pub(crate) fn shown(self) -> String {
        format!("{} ({})", self.pid, self.executable_name().to_string_lossy())
    }

    /// The user that it runs as, where that is not the one that this command acts as: `user nobody`.
    pub(crate) fn other_user(self) -> Option<String> {
        let user = self.user().filter(|user| *user != self.kernel.user())?;
        Some(user::name(self.kernel, user))
    }

    /// A field of its `status` file.
    fn status(self, field: &str) -> Option<String> {
        let status = self.read("status").ok()?;
        let status = String::from_utf8_lossy(&status);
        status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
    }

    /// Its id as it sees it itself, which differs in a container.
    pub(crate) fn inner_pid(self) -> i32 {
        let inner = self.status("NSpid:").and_then(|ids| ids.split_whitespace().last()?.parse().ok());
        inner.unwrap_or(self.pid)
    }

    /// The user that it runs as (effective).
    pub(crate) fn user(self) -> Option<u32> {
        self.status("Uid:")?.split_whitespace().nth(1)?.parse().ok()
    }

    /// Whether it has mapped a file with this basename.
    pub(crate) fn maps_file(self, basename: &str) -> io::Result<bool> {
        let maps = self.read("maps")?;
        let end = format!("/{basename}");
        Ok(maps.split(|byte| *byte == b'\n').any(|line| strip_deleted(line).ends_with(end.as_bytes())))
    }

    /// Whether the kernel has told its loader to ignore `LD_PRELOAD` (getauxval(3), AT_SECURE).
    pub(crate) fn is_secure(self) -> io::Result<bool> {
        const WORD: usize = size_of::<usize>();
        let auxv = self.read("auxv")?;
        let mut words =
            auxv.chunks_exact(WORD).map(|word| usize::from_ne_bytes(word.try_into().unwrap_or_default()));
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            if key == AT_SECURE {
                return Ok(value != 0);
            }
        }
        Ok(false)
    }

    /// The profile by which an LSM (AppArmor, SELinux) confines it, if one does.
    pub(crate) fn confinement(self) -> Option<String> {
        let profile = self.read("attr/current").ok()?;
        let profile = profile.strip_suffix(b"\0").unwrap_or(&profile).trim_ascii();
        let profile = String::from_utf8_lossy(profile).into_owned();
        (!profile.is_empty() && !profile.starts_with("unconfined") && profile != "kernel").then_some(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::sys::linux::Linux;

    #[test]
    fn this_process_is_seen_as_it_is() {
        let kernel = Linux::new();
        let own = Process::new(&kernel, i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(
            own.is_alive() && Process::all(&kernel).unwrap().iter().any(|process| process.pid == own.pid)
        );
        assert_eq!(own.arguments(), std::env::args_os().collect::<Vec<_>>());
        let path = own.environment().unwrap().into_iter().find(|(name, _)| name == "PATH").unwrap().1;
        assert_eq!(Some(path), std::env::var_os("PATH"));
        assert_eq!(own.executable_name(), std::env::current_exe().unwrap().file_name().unwrap());
        assert!(!own.is_secure().unwrap());
        assert!(own.maps_file(own.executable_name().to_str().unwrap()).unwrap());
        assert!(!own.maps_file("libpinshim.so").unwrap());
    }

    #[test]
    fn of_arguments_and_an_environment_without_end_the_beginning_is_read() {
        let kernel = FakeKernel::new();
        let endless = [b"x=y\0".repeat(16), vec![b'z'; 6 << 20]].concat();
        let process = kernel.process(100, &["/bin/sh"]).thread(100, "sh", "0");
        process.write("cmdline", &endless).write("environ", &endless);
        let process = Process::new(&kernel, 100).unwrap();
        let arguments = process.arguments();
        assert_eq!((arguments.len(), arguments[16].len()), (17, (4 << 20) - 64));
        assert_eq!(process.environment().unwrap().len(), 16);
    }

    #[test]
    fn an_id_that_no_process_has_is_an_error() {
        for pid in [0, -1, i32::MAX] {
            assert!(Process::new(&Linux::new(), pid).is_err());
        }
    }
}
