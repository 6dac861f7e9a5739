//! The file that carries a domain's pinning to the wrapper `qemu-pinned`.
//!
//! The domain's owner chose its name, so the file's name must not lead out of the folder. The file is renamed
//! into place, so that nobody reads half of it. The wrapper makes the same name and reads the same lines: a
//! change here needs the same change there.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The mode of a folder: every user may list it and pass through it.
const FOLDER_MODE: u32 = 0o755;

/// The mode of a domain's file: every user may read it.
const FILE_MODE: u32 = 0o644;

/// Writes the file. QEMU's user must be able to read it, whatever the umask of libvirt's daemon; only root
/// may write to it.
pub(crate) fn write(
    folder: &Path,
    domain: &OsStr,
    uuid: &str,
    variables: &[(String, String)],
) -> io::Result<()> {
    // The folder above belongs to the hook as well.
    if let Some(run) = folder.parent() {
        make_folder(run)?;
    }
    make_folder(folder)?;
    // A name that no domain's file has: theirs never begin with a dot.
    let draft = folder.join(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&draft)
        .and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            file.write_all(text(uuid, variables).as_bytes())
        })
        .and_then(|()| fs::rename(&draft, folder.join(name(domain))));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Makes a folder and those above it, each with the mode that QEMU's user needs. A folder that exists may
/// have been made under another umask: the permissions that it lacks are added.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = folder.parent().ok_or(error)?;
            make_folder(above)?;
            DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let opened =
        File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(folder)?;
    let mode = opened.metadata()?.permissions().mode();
    if mode & FOLDER_MODE != FOLDER_MODE {
        opened.set_permissions(Permissions::from_mode(mode | FOLDER_MODE))?;
    }
    Ok(())
}

/// Removes the file, if there is one.
pub(crate) fn remove(folder: &Path, domain: &OsStr) -> io::Result<()> {
    match fs::remove_file(folder.join(name(domain))) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn text(uuid: &str, variables: &[(String, String)]) -> String {
    let mut text =
        format!("# From the domain's XML, by pinshim's libvirt hook; gone when it ends.\nUUID={uuid}\n");
    for (name, value) in variables {
        text.extend([name, "=", value, "\n"]);
    }
    text
}

/// The file's name: a byte that could lead elsewhere becomes `%` and two hexadecimal digits.
fn name(domain: &OsStr) -> std::ffi::OsString {
    let mut name = Vec::new();
    for (at, byte) in domain.as_bytes().iter().enumerate() {
        match byte {
            b'%' | b'/' | b'\n' => name.extend(format!("%{byte:02X}").into_bytes()),
            b'.' if at == 0 => name.extend(b"%2E"),
            _ => name.push(*byte),
        }
    }
    name.extend(b".env");
    OsStr::from_bytes(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere() {
        let is = |domain: &str, file: &str| assert_eq!(name(OsStr::new(domain)), file);
        is("web", "web.env");
        is("größe 1.2", "größe 1.2.env");
        is("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.env");
        is(".", "%2E.env");
        is("a\nb", "a%0Ab.env");
        is("100%2F", "100%252F.env");
    }

    #[test]
    fn it_is_written_whole_and_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("run/domains");
        let domain = OsStr::new("we/b");
        let variables = [("PIN_CPUS".to_owned(), "0-1".to_owned())];
        write(&folder, domain, "u-1", &variables).unwrap();
        write(&folder, domain, "u-2", &variables).unwrap();
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["we%2Fb.env"]);
        let text = fs::read_to_string(folder.join("we%2Fb.env")).unwrap();
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["UUID=u-2", "PIN_CPUS=0-1"]);
        remove(&folder, domain).unwrap();
        remove(&folder, domain).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
