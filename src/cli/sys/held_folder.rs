//! A folder in which a file is put, reached through no symbolic link of somebody else's.
//!
//! Root may be asked to write below a folder of another user's (as Debian's /var/lib/prometheus is). That user can put
//! another folder there, or a link, at any moment. So each folder of the path is opened from the one before and held, a link
//! is followed only where nobody but root or this user can have put it, and the file is made and renamed inside the
//! folder that was opened last, whatever its name leads to by then.

use crate::output::whole_file;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// So many links are followed, as the kernel does (path_resolution(7)).
const LINKS: usize = 40;

/// A folder that was opened, and stays the same.
#[derive(Debug)]
pub(crate) struct HeldFolder {
    folder: File,
}

impl HeldFolder {
    /// Opens a folder for this user.
    ///
    /// # Errors
    /// There is none, or a link of another user's leads there.
    pub(crate) fn open(path: &Path, user: u32) -> io::Result<Self> {
        let mut held = Self::begin(path.is_absolute())?;
        // What is still to go, the next part last.
        let mut parts: Vec<OsString> = reversed(path);
        let mut links = 0;
        while let Some(part) = parts.pop() {
            let at = held.path(&part);
            let about = fs::symlink_metadata(&at)?;
            if !about.is_symlink() {
                held = Self { folder: open_folder(&at, libc::O_NOFOLLOW)? };
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            if !is_trusted(&about, user) || !may_hold_trusted_links(&held.folder.metadata()?, user) {
                let whose = format!(
                    "{} is a symbolic link that another user may have made",
                    Path::new(&part).display()
                );
                return Err(io::Error::new(ErrorKind::PermissionDenied, whose));
            }
            let target = fs::read_link(&at)?;
            if target.is_absolute() {
                held = Self::begin(true)?;
            }
            parts.extend(reversed(&target));
        }
        Ok(held)
    }

    fn begin(is_absolute: bool) -> io::Result<Self> {
        Ok(Self { folder: open_folder(Path::new(if is_absolute { "/" } else { "." }), 0)? })
    }

    /// Puts a file with this text and mode into the folder, in place of one of this name. Nobody reads half of it.
    pub(crate) fn put(&self, name: &OsStr, text: &str, mode: u32) -> io::Result<()> {
        whole_file::replace(&self.path(name), text.as_bytes(), Some(mode))
    }

    /// The path of something in the folder, which leads there whatever the folder's name leads to.
    fn path(&self, name: &OsStr) -> PathBuf {
        Path::new(&format!("/proc/self/fd/{}", self.folder.as_raw_fd())).join(name)
    }
}

fn open_folder(path: &Path, further: libc::c_int) -> io::Result<File> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC | further;
    File::options().read(true).custom_flags(flags).open(path)
}

/// The parts of a path but for its root, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    parts.collect()
}

fn is_trusted(about: &Metadata, user: u32) -> bool {
    about.uid() == 0 || about.uid() == user
}

/// Whether a link of root's or of this user's in a folder was put there by one of them: nobody else may write to it, or it is
/// one like /tmp, in which nobody can rename what others have.
fn may_hold_trusted_links(folder: &Metadata, user: u32) -> bool {
    is_trusted(folder, user) && (folder.mode() & 0o022 == 0 || folder.mode() & 0o1000 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn own() -> u32 {
        fs::metadata("/proc/self").unwrap().uid()
    }

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_put_in_place_of_another_and_nothing_is_left_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = HeldFolder::open(scratch.path(), own()).unwrap();
        for text in ["one", "two"] {
            folder.put(OsStr::new("a.prom"), text, 0o644).unwrap();
            let file = scratch.path().join("a.prom");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o644);
            assert_eq!(names(scratch.path()), ["a.prom"]);
        }
        fs::create_dir(scratch.path().join("b.prom")).unwrap();
        assert!(folder.put(OsStr::new("b.prom"), "x", 0o644).is_err());
        assert_eq!(names(scratch.path()).len(), 2);
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_replaced_and_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path().join("target");
        fs::write(&target, "kept").unwrap();
        symlink(&target, scratch.path().join("a.prom")).unwrap();
        HeldFolder::open(scratch.path(), own()).unwrap().put(OsStr::new("a.prom"), "x", 0o644).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert_eq!(fs::read_to_string(scratch.path().join("a.prom")).unwrap(), "x");
    }

    #[test]
    fn links_are_followed_where_nobody_else_can_have_put_them() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = |name: &str| scratch.path().join(name);
        fs::create_dir_all(folder("real/deep")).unwrap();
        symlink("real", folder("relative")).unwrap();
        symlink(folder("real/deep"), folder("absolute")).unwrap();
        symlink("round", folder("round")).unwrap();
        for path in ["relative/deep", "absolute", "real/../relative/./deep", "absolute/../deep"] {
            HeldFolder::open(&folder(path), own()).unwrap().put(OsStr::new("a"), path, 0o600).unwrap();
            assert_eq!(fs::read_to_string(folder("real/deep/a")).unwrap(), path);
        }
        assert_eq!(HeldFolder::open(&folder("round"), own()).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        for path in ["none", "real/deep/a", "real/deep/a/b"] {
            assert!(HeldFolder::open(&folder(path), own()).is_err(), "{path}");
        }
        // Others may write to the folder that the link is in.
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o777)).unwrap();
        let error = HeldFolder::open(&folder("relative"), own()).unwrap_err();
        assert_eq!(error.to_string(), "relative is a symbolic link that another user may have made");
        assert!(HeldFolder::open(&folder("real/deep"), own()).is_ok());
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(HeldFolder::open(&folder("relative"), own()).is_ok());
        // Nor is a link of a user's followed who is neither root nor this one.
        if own() == 0 {
            std::os::unix::fs::lchown(folder("relative"), Some(4711), None).unwrap();
            assert!(HeldFolder::open(&folder("relative"), own()).is_err());
            assert!(HeldFolder::open(&folder("relative"), 4711).is_ok());
        }
    }

    #[test]
    fn what_a_name_leads_to_later_does_not_matter() {
        let scratch = tempfile::tempdir().unwrap();
        let (old, moved) = (scratch.path().join("old"), scratch.path().join("moved"));
        fs::create_dir(&old).unwrap();
        let held = HeldFolder::open(&old, own()).unwrap();
        fs::rename(&old, &moved).unwrap();
        symlink("/", &old).unwrap();
        held.put(OsStr::new("a"), "x", 0o600).unwrap();
        assert_eq!(names(&moved), ["a"]);
    }
}
