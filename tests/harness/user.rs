//! Running a program as another user, which only root can do.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A numeric user id, also used as the group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uid(pub u32);

/// The user without any right. Debian's `nobody`.
pub const NOBODY: Uid = Uid(65534);

impl Uid {
    /// Turns the calling process into this user, without further groups. System calls only.
    pub(crate) fn become_it(self) -> io::Result<()> {
        // SAFETY: a length of zero, so the pointer is not used.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: takes no pointer.
        check(unsafe { libc::setresgid(self.0, self.0, self.0) })?;
        // SAFETY: takes no pointer.
        check(unsafe { libc::setresuid(self.0, self.0, self.0) })
    }
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling process mounts of its own, of which nothing outside sees a change. System calls only.
pub(crate) fn take_own_mounts() -> io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: takes no pointer.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: C strings that live for ever, and null where mount(2) ignores the argument.
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) })
}

/// Has the calling process, and what it starts, see in /proc only processes of the user that it becomes: other VMs of this
/// machine are not there for it. For [`Program::before_exec`](crate::Program::before_exec).
pub fn hide_other_users() -> io::Result<()> {
    take_own_mounts()?;
    let (proc, only_own) = (c"proc".as_ptr(), c"hidepid=2");
    // SAFETY: C strings that live for ever.
    check(unsafe { libc::mount(proc, c"/proc".as_ptr(), proc, 0, only_own.as_ptr().cast()) })
}

/// Has the calling process, and what it starts, find a folder in the place of `/run`. For
/// [`Program::before_exec`](crate::Program::before_exec).
pub fn have_as_run(folder: &Path) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    let folder = CString::new(folder.as_os_str().as_bytes()).expect("a path without NUL");
    move || {
        take_own_mounts()?;
        let none = std::ptr::null();
        // SAFETY: C strings that live across the call, and null where mount(2) ignores the argument.
        check(unsafe { libc::mount(folder.as_ptr(), c"/run".as_ptr(), none, libc::MS_BIND, none.cast()) })
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

/// The words before a command that is to see no process but its own, in a PID namespace; `None` where it can have none.
pub fn alone() -> Option<&'static [&'static str]> {
    const AS_ROOT: &[&str] = &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const AS_USER: &[&str] =
        &["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let works = |words: &&&[&str]| {
        let [program, arguments @ ..] = **words else { return false };
        crate::Program::new(program).args(arguments).arg("true").run().code() == 0
    };
    [AS_ROOT, AS_USER].iter().find(works).copied()
}
