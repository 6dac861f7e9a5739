//! What execve(2) would make of a file: whether this user may execute it, and with which further rights.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether this process may execute a file, by its effective user and group.
pub(crate) fn may_execute(path: &Path) -> bool {
    // SAFETY: the path is a C string that lives across the call.
    c_path(path).is_some_and(|path| unsafe {
        libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0
    })
}

/// The real user of this process.
pub(crate) fn real_user() -> u32 {
    // SAFETY: takes no pointer and cannot fail.
    unsafe { libc::getuid() }
}

/// The real group of this process.
pub(crate) fn real_group() -> u32 {
    // SAFETY: takes no pointer and cannot fail.
    unsafe { libc::getgid() }
}

/// Whether execve(2) heeds the further rights of this file: it is not on a `nosuid` mount, and this process
/// is not under `no_new_privs`.
pub(crate) fn are_granted(path: &Path) -> bool {
    // SAFETY: takes no pointer.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        return false;
    }
    let Some(path) = c_path(path) else { return false };
    // SAFETY: the struct has only integers, for which zero is a value.
    let mut mount: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string and a struct that both live across the call.
    let known = unsafe { libc::statvfs(path.as_ptr(), &raw mut mount) } == 0;
    !known || mount.f_flag & libc::ST_NOSUID == 0
}

/// Whether a file has capabilities (capabilities(7), "File capabilities").
pub(crate) fn has_capabilities(path: &Path) -> bool {
    let Some(path) = c_path(path) else { return false };
    let name = c"security.capability";
    // SAFETY: two C strings that live across the call; with a size of 0 the kernel answers the length
    // alone and writes nothing.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}
