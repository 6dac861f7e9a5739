//! The folder that holds every file a test makes, and that goes when the test ends.

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder that every user may enter, since some tests run QEMU as another user.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes the folder under `TMPDIR`, with a short name: a unix socket's path holds 107 bytes.
    #[allow(clippy::new_without_default, reason = "making one is an act, which may fail the test")]
    pub fn new() -> Self {
        let dir =
            tempfile::Builder::new().prefix("pinshim-test-").tempdir().expect("make a temporary folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the folder to all");
        Self(dir)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of `name` in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Whether files in it can be read and written past the page cache, which `tmpfs` may refuse.
    pub(crate) fn can_do_without_cache(&self) -> bool {
        let path = self.join("direct");
        let opened =
            File::options().create(true).truncate(true).write(true).custom_flags(libc::O_DIRECT).open(path);
        opened.is_ok()
    }

    /// A copy of `file`, readable by every user: what is built may lie where only its owner gets.
    pub fn copy(&self, file: &Path) -> PathBuf {
        let copy = self.join(file.file_name().expect("a file has a name"));
        fs::copy(file, &copy).unwrap_or_else(|e| panic!("copy {}: {e}", file.display()));
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("open the copy to all");
        copy
    }
}
