//! The cgroup that limits a thread: its name for a warning, and whether a manager is going to change it.

use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::StackPath;
use pinning::{Manager, RoleKind, Tid, is_harmful};
use std::fmt::Write;

/// The bytes of a cgroup file that are read. A longer path is cut.
const ROOM: usize = 2048;

/// The cgroup of a thread's cpuset; empty where that cannot be read (AppArmor forbids it to a confined QEMU).
pub(crate) struct Cpuset {
    room: [u8; ROOM],
    length: usize,
    unreadable: Option<Errno>,
}

impl Cpuset {
    /// That of a thread of this process.
    pub(crate) fn of(tid: Tid) -> Self {
        let mut path = StackPath::default();
        let _ = write!(path, "/proc/self/task/{tid}/cgroup");
        let mut found = Self { room: [0; ROOM], length: 0, unreadable: None };
        let mut text = [0u8; ROOM];
        let read = file::open(path.as_c_str(), libc::O_RDONLY).and_then(|file| {
            let read = file::read(file, &mut text);
            file::close(file);
            read
        });
        found.unreadable = read.as_ref().err().copied();
        let name = cpuset_in(read.unwrap_or_default()).unwrap_or_default();
        if let Some(room) = found.room.get_mut(..name.len()) {
            room.copy_from_slice(name);
            found.length = name.len();
        }
        found
    }

    /// Its path below the cgroups' mount.
    pub(crate) fn path(&self) -> &[u8] {
        self.room.get(..self.length).unwrap_or_default()
    }

    /// Whether what this cgroup does to a thread passes: the manager is still going to move the thread into
    /// another.
    pub(crate) fn is_passing(
        &self,
        manager: Option<Manager>,
        role: RoleKind,
        made_by_the_kernel: bool,
    ) -> bool {
        manager == Some(Manager::Libvirt) && is_left(self.path(), role, made_by_the_kernel)
    }
}

/// Whether libvirt moves a thread with this role out of the cgroup with this path. It starts QEMU in the cgroup
/// `emulator`, and moves each vCPU and IOThread from there into one of its own, `vcpu0` and so on, while the guest
/// does not run yet (qemuProcessSetupPid). A thread that the kernel makes begins in the cgroup of the thread that
/// needs it; libvirt does not know of it, and its hook (`pinshim libvirt-hook`) moves it to `emulator`.
fn is_left(path: &[u8], role: RoleKind, made_by_the_kernel: bool) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_numbered = |name: &[u8]| {
        last.strip_prefix(name)
            .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    };
    match role {
        RoleKind::Vcpu | RoleKind::IoThread => last == b"emulator",
        _ => made_by_the_kernel && (is_numbered(b"vcpu") || is_numbered(b"iothread")),
    }
}

/// For a sentence: a space and the path, or why it could not be read; nothing where there is none.
impl std::fmt::Display for Cpuset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(errno) = self.unreadable {
            return write!(f, " (its cgroup could not be read: {errno})");
        }
        if self.length > 0 {
            f.write_str(" ")?;
        }
        for chunk in self.path().utf8_chunks() {
            for letter in chunk.valid().chars() {
                f.write_char(if is_harmful(letter) { '?' } else { letter })?;
            }
        }
        Ok(())
    }
}

/// The cgroup of the cpuset in the text of a /proc/PID/cgroup (cgroups(7)): that of `3:cpuset:/PATH` (version
/// 1), else that of `0::/PATH` (version 2).
fn cpuset_in(text: &[u8]) -> Option<&[u8]> {
    let mut unified = None;
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.split(|byte| *byte == b',').any(|name| name == b"cpuset") {
            return Some(path);
        }
        if number == b"0" && controllers.is_empty() {
            unified = Some(path);
        }
    }
    unified
}

#[cfg(test)]
mod tests {
    use super::{Cpuset, Errno, cpuset_in, is_left};
    use crate::sys::thread;
    use pinning::{RoleKind, Tid};
    use proptest::prelude::*;

    #[test]
    fn the_cpuset_is_that_of_version_1_or_the_one_of_version_2() {
        for (text, expected) in [
            ("0::/machine.slice/vm\n", Some("/machine.slice/vm")),
            ("0::/\n", Some("/")),
            // Version 1.
            ("5:memory:/m\n3:cpuset:/c\n1:name=systemd:/s\n", Some("/c")),
            ("3:cpuset,cpu:/c\n", Some("/c")),
            ("3:cpu,cpuset\n4:cpu,cpuset:/c\n", Some("/c")),
            // Both: the cpuset is where its controller is.
            ("3:cpuset:/c\n0::/u\n", Some("/c")),
            ("0::/u\n3:cpuset:/c\n", Some("/c")),
            ("5:memory:/m\n0::/u\n", Some("/u")),
            // Names that look like something else.
            ("0::/a:cpuset:/b\n", Some("/a:cpuset:/b")),
            ("1:name=cpuset:/named\n0::/u\n", Some("/u")),
            ("2:cpusets:/x\n0::/u\n", Some("/u")),
            ("10::/x\n", None),
            // The kernel ends each line; a text that was cut has a last line without an end.
            ("3:cpuset:/lo", Some("/lo")),
            ("5:memory:/m\n0:", None),
            ("5:memory:/m\n", None),
            ("", None),
            ("\n\n::\n", None),
        ] {
            assert_eq!(cpuset_in(text.as_bytes()), expected.map(str::as_bytes), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_cpuset_in_it_or_none(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(path) = cpuset_in(&text) {
                prop_assert!(!path.contains(&b'\n'));
                prop_assert!(path.is_empty() || text.windows(path.len()).any(|part| part == path));
            }
        }
    }

    #[test]
    fn a_thread_s_cpuset_is_shown_behind_a_space() {
        let text = std::fs::read("/proc/thread-self/cgroup").unwrap_or_default();
        let path = String::from_utf8_lossy(cpuset_in(&text).unwrap_or_default()).into_owned();
        let expected = if path.is_empty() { path } else { format!(" {path}") };
        assert_eq!(Cpuset::of(thread::gettid()).to_string(), expected);
    }

    #[test]
    fn a_cpuset_that_could_not_be_read_is_said_as_such() {
        let why = Errno(libc::ENOENT);
        assert_eq!(Cpuset::of(Tid(-1)).to_string(), format!(" (its cgroup could not be read: {why})"));
    }

    #[test]
    fn libvirt_moves_vcpus_and_iothreads_out_of_the_emulators_cgroup_and_its_hook_the_kernels_threads_into_it()
     {
        let (scope, v1) = ("/machine.slice/machine-qemu.scope/libvirt", "/machine/qemu-1-web.libvirt-qemu");
        for above in [scope, v1] {
            let left = |last: &str, role, made_by_the_kernel| {
                is_left(format!("{above}/{last}").as_bytes(), role, made_by_the_kernel)
            };
            assert!(left("emulator", RoleKind::Vcpu, false) && left("emulator", RoleKind::IoThread, false));
            assert!(!left("vcpu1", RoleKind::Vcpu, false) && !left("iothread1", RoleKind::IoThread, false));
            assert!(left("vcpu0", RoleKind::Emulator, true) && left("iothread12", RoleKind::Vhost, true));
            assert!(!left("emulator", RoleKind::Emulator, true) && !left("vcpus", RoleKind::Emulator, true));
            // One of QEMU's own threads stays where it was made.
            assert!(!left("vcpu0", RoleKind::Worker, false) && !left("emulator", RoleKind::Worker, false));
        }
        assert!(!is_left(b"", RoleKind::Vcpu, false) && !is_left(b"/", RoleKind::Emulator, true));
    }
}
