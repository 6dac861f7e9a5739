//! The domain's own log, which libvirt opens only after its `prepare` hook: a refusal there would leave nothing
//! in it, and it is where people look why a domain did not start.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Adds lines to the log of a domain that does not start; log and folder are made as libvirt makes them where they
/// are not there yet.
///
/// # Errors
/// The folder's own folder is not there, or it may not be written to, or the name is none that libvirt would log under.
pub(crate) fn append(folder: &Path, domain: &OsStr, lines: &[String]) -> io::Result<()> {
    if domain.is_empty() || domain.as_bytes().contains(&b'/') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut name = domain.to_owned();
    name.push(".log");
    // Before its first domain libvirt may not have made it; there is no other way to fail than the open's below.
    let _ = DirBuilder::new().mode(0o700).create(folder);
    // Not through a link, and not waiting for whoever reads a pipe: the folder is root's, but this runs as root too.
    let mut log = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(folder.join(name))?;
    let text: String = lines.iter().map(|line| format!("pinshim: {line}\n")).collect();
    // In one write: virtlogd may be writing too.
    log.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::append;
    use std::ffi::OsStr;

    #[test]
    fn lines_are_added_and_a_name_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        for line in ["one", "two"] {
            append(folder.path(), OsStr::new("web"), &[line.to_owned()]).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(folder.path().join("web.log")).unwrap(),
            "pinshim: one\npinshim: two\n"
        );
        append(folder.path(), OsStr::new("../web"), &["x".to_owned()]).unwrap_err();
        std::os::unix::fs::symlink("web.log", folder.path().join("link.log")).unwrap();
        append(folder.path(), OsStr::new("link"), &["x".to_owned()]).unwrap_err();
        append(&folder.path().join("qemu"), OsStr::new("web"), &["first".to_owned()]).unwrap();
        append(&folder.path().join("no/qemu"), OsStr::new("web"), &["x".to_owned()]).unwrap_err();
    }
}
