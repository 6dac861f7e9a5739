//! Running a program as another user, which only root can do.

use std::io;

/// A numeric user id, also used as the group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uid(pub u32);

/// The user without any right. Debian's `nobody`.
pub const NOBODY: Uid = Uid(65534);

impl Uid {
    /// Turns the calling process into this user, without further groups. System calls only.
    pub(crate) fn become_it(self) -> io::Result<()> {
        let check = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        // SAFETY: a length of zero, so the pointer is not used.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: takes no pointer.
        check(unsafe { libc::setresgid(self.0, self.0, self.0) })?;
        // SAFETY: takes no pointer.
        check(unsafe { libc::setresuid(self.0, self.0, self.0) })
    }
}

/// Why another user cannot be had here, if so.
pub fn root_missing() -> Option<String> {
    // SAFETY: takes no pointer and cannot fail.
    let euid = unsafe { libc::geteuid() };
    (euid != 0).then(|| "only root can run something as another user".to_owned())
}

/// Why a program cannot be given mounts of its own here, if so. A plain chroot has a root folder that is no mount, whose
/// propagation cannot be set.
pub fn own_mounts_missing() -> Option<String> {
    let tried = crate::Program::new("unshare").args(["--mount", "true"]).run();
    (tried.code() != 0)
        .then(|| format!("a program cannot have mounts of its own here: {}", tried.stderr.trim()))
}
