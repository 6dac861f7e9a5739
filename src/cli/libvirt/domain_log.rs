//! The domain's own log, where people look why a domain did not start.
//!
//! libvirt opens it only after the `prepare` hook, so that a refusal by the hook would not be in it.

use crate::libvirt::syslog;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Adds lines to the log of a domain. Log and folder are created, as libvirt would create them, where they do
/// not exist.
///
/// # Errors
/// The folder's parent does not exist, it may not be written to, or the domain's name is no file name.
pub(crate) fn append(folder: &Path, domain: &OsStr, lines: &[String]) -> io::Result<()> {
    if domain.is_empty() || domain.as_bytes().contains(&b'/') {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut name = domain.to_owned();
    name.push(".log");
    // libvirt makes the folder with its first domain. Where this fails, the open below fails too.
    let _ = DirBuilder::new().mode(0o700).create(folder);
    // This runs as root: it must not follow a link, nor wait for the reader of a pipe.
    let mut log = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(folder.join(name))?;
    let text: String = lines.iter().map(|line| format!("pinshim: {}\n", syslog::line(line))).collect();
    // One write, so that lines of virtlogd do not come in between.
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
