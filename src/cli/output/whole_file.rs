//! Writing a file whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// So many names for the draft are tried.
const TRIES: u32 = 100;

/// Writes a file. Nobody ever sees a part of it; one that there was before stays until the new one takes its place. A link
/// of that name is replaced, not followed: as root this command writes to no file that somebody else has chosen.
///
/// # Errors
/// It cannot be written, or something else than a file has the name.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() && !about.is_symlink() => {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "there is something of that name that is no file",
            ));
        }
        _ => {}
    }
    replace(path, bytes, None)
}

/// The same, whatever has the name but a folder, and with this mode, whatever the umask is.
///
/// # Errors
/// It cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let (draft, mut file) = draft(path, mode)?;
    let written = mode
        .map_or(Ok(()), |mode| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// A new file beside the one that it will become, which nobody else can have opened before it has its mode.
fn draft(path: &Path, mode: Option<u32>) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
    let mut options = File::options();
    options.write(true).create_new(true);
    mode.map(|mode| options.mode(mode));
    let mut number = 0;
    loop {
        let draft = path.with_file_name(format!(".{name}.{}-{number}", std::process::id()));
        match options.open(&draft) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < TRIES => number += 1,
            opened => return Ok((draft, opened?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.json"), folder.path().join("other"));
        fs::write(&other, "precious").unwrap();
        symlink(&other, &file).unwrap();
        // A draft's name that somebody has guessed is not followed either.
        symlink(&other, folder.path().join(format!(".a.json.{}-0", std::process::id()))).unwrap();
        write(&file, b"new").unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), fs::read(&other).unwrap()),
            (b"new".to_vec(), b"precious".to_vec())
        );
    }

    #[test]
    fn what_is_no_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/null"), Path::new("/"), Path::new("")] {
            assert!(write(path, b"x").is_err(), "{path:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
