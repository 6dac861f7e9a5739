//! Files of which the content counts as root's word.
//!
//! Such a file, its folder and the folder above belong to root, and nobody else may write to them. (One kind of file is
//! in a folder of another user's, and then more has to be asked.) Nothing else is read: a pipe could block, a large file
//! could fill the memory.

use crate::sys::kernel::Kernel;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file of root's. `None`: there is none.
///
/// # Errors
/// There is one, and here is why it does not count, in a sentence.
pub(crate) fn open(kernel: &dyn Kernel, path: &Path) -> Result<Option<File>, String> {
    // The folder above is checked first: it decides what the one below it is.
    let folders: Vec<&Path> = path.ancestors().skip(1).take(2).collect();
    for folder in folders.into_iter().rev() {
        let Some(about) = about_folder(kernel, folder)? else { return Ok(None) };
        check(kernel, folder, &about)?;
    }
    open_alone(kernel, path, 0)
}

/// Opens a file of root's in a folder that may be another user's, if the folder above is root's. `None`: there is
/// none. Answers that user, too: he can put another file in its place, but only one of root's out of the same folder.
///
/// # Errors
/// There is one, and here is why it does not count, in a sentence.
pub(crate) fn open_in_any_folder(kernel: &dyn Kernel, path: &Path) -> Result<Option<(File, u32)>, String> {
    let mut folders = path.ancestors().skip(1);
    let (Some(folder), Some(above)) = (folders.next(), folders.next()) else { return Ok(None) };
    let Some(about) = about_folder(kernel, above)? else { return Ok(None) };
    check(kernel, above, &about)?;
    let Some(about) = about_folder(kernel, folder)? else { return Ok(None) };
    // A link could lead to a file of root's anywhere.
    Ok(open_alone(kernel, path, libc::O_NOFOLLOW)?.map(|file| (file, about.uid())))
}

fn about_folder(kernel: &dyn Kernel, folder: &Path) -> Result<Option<Metadata>, String> {
    match kernel.locate(folder).and_then(fs::metadata) {
        Ok(about) => Ok(Some(about)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(unreadable(folder, &error)),
    }
}

/// Opens a file of root's, whatever its folders are.
fn open_alone(kernel: &dyn Kernel, path: &Path, further: libc::c_int) -> Result<Option<File>, String> {
    // Neither may a pipe block nor a terminal become this process's own.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC | further;
    let opened = kernel.locate(path).and_then(|at| File::options().read(true).custom_flags(flags).open(at));
    let file = match opened {
        Ok(file) => file,
        // A link to nothing is there, and says nothing.
        Err(error) if is_missing(&error) && !kernel.locate(path).is_ok_and(|at| at.is_symlink()) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !about.is_file() {
        return Err(format!("{} is no plain file", path.display()));
    }
    check(kernel, path, &about)?;
    Ok(Some(file))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

/// The text of a file of root's, of at most so many bytes. `None`: there is none.
///
/// # Errors
/// There is one, and here is why it does not count, in a sentence.
pub(crate) fn read(kernel: &dyn Kernel, path: &Path, most: u64) -> Result<Option<String>, String> {
    open(kernel, path)?.map(|file| text(file, path, most)).transpose()
}

/// The text of an open file.
pub(crate) fn text(mut file: impl Read, path: &Path, most: u64) -> Result<String, String> {
    let mut text = String::new();
    match file.by_ref().take(most + 1).read_to_string(&mut text) {
        Ok(bytes) if bytes as u64 > most => {
            Err(format!("{} has more than {most} bytes, which are not read", path.display()))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Refuses what is another user's or may be written to by others. This command's own user counts as root does:
/// it is root that runs the hook.
fn check(kernel: &dyn Kernel, path: &Path, about: &Metadata) -> Result<(), String> {
    if about.uid() != 0 && about.uid() != kernel.user() {
        return Err(format!("{} belongs to user {}, not to root", path.display(), about.uid()));
    }
    // What root's group may write to is still root's.
    let others = if about.gid() == 0 { 0o002 } else { 0o022 };
    if about.mode() & others != 0 {
        let mode = about.mode() & 0o7777;
        return Err(format!("{} can be written to by others than root (mode {mode:o})", path.display()));
    }
    Ok(())
}

/// Whether an error says that there is no such file. A name that is too long is no file's.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    const FILE: &str = "/etc/pinshim/domains/web.env";

    fn kernel() -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        kernel.write(FILE, "PIN_CPUS=0\n");
        kernel
    }

    fn at(kernel: &FakeKernel, path: &str) -> PathBuf {
        kernel.locate(Path::new(path)).unwrap()
    }

    fn said(kernel: &FakeKernel) -> Result<Option<String>, String> {
        read(kernel, Path::new(FILE), 64)
    }

    #[test]
    fn a_file_of_roots_is_read_and_a_missing_one_is_none() {
        let kernel = kernel();
        assert_eq!(said(&kernel), Ok(Some("PIN_CPUS=0\n".to_owned())));
        fs::remove_file(at(&kernel, FILE)).unwrap();
        assert_eq!(said(&kernel), Ok(None));
        fs::remove_dir_all(at(&kernel, "/etc/pinshim")).unwrap();
        assert_eq!(said(&kernel), Ok(None));
        let long = format!("/etc/pinshim/domains/{}.env", "x".repeat(300));
        assert_eq!(read(&kernel, Path::new(&long), 64), Ok(None));
    }

    #[test]
    fn what_others_may_write_to_is_not_roots_word() {
        let kernel = kernel();
        for path in ["/etc/pinshim", "/etc/pinshim/domains", FILE] {
            let at = at(&kernel, path);
            let before = fs::metadata(&at).unwrap().permissions();
            fs::set_permissions(&at, Permissions::from_mode(before.mode() | 0o002)).unwrap();
            let why = said(&kernel).unwrap_err();
            assert!(why.starts_with(&format!("{path} can be written to by others than root")), "{why}");
            fs::set_permissions(&at, before).unwrap();
        }
        assert!(said(&kernel).is_ok());
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_roots_word() {
        let kernel = kernel();
        for path in ["/etc/pinshim", "/etc/pinshim/domains", FILE] {
            let at = at(&kernel, path);
            let owner = fs::metadata(&at).unwrap().uid();
            if std::os::unix::fs::chown(&at, Some(owner + 1), None).is_err() {
                // Only root may give a file away.
                return;
            }
            let why = said(&kernel).unwrap_err();
            assert_eq!(why, format!("{path} belongs to user {}, not to root", owner + 1));
            std::os::unix::fs::chown(&at, Some(owner), None).unwrap();
        }
    }

    #[test]
    fn only_a_plain_file_of_a_bounded_size_is_read() {
        let kernel = kernel();
        let file = at(&kernel, FILE);
        fs::write(&file, "x".repeat(65)).unwrap();
        assert_eq!(said(&kernel), Err(format!("{FILE} has more than 64 bytes, which are not read")));
        fs::write(&file, [0xff]).unwrap();
        assert!(said(&kernel).unwrap_err().starts_with(&format!("{FILE} cannot be read: ")));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(said(&kernel), Err(format!("{FILE} is no plain file")));
        fs::remove_dir(&file).unwrap();
        symlink("nowhere", &file).unwrap();
        assert!(said(&kernel).unwrap_err().starts_with(&format!("{FILE} cannot be read: ")));
        fs::remove_file(&file).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
        assert!(made.success());
        assert_eq!(said(&kernel), Err(format!("{FILE} is no plain file")));
    }
}
