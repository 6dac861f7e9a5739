//! Where the things under test are: built once for all tests, from this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The preload library: `PINSHIM_TEST_LIB`, or built from the workspace in its release form, which
/// is the one that users get (and the one whose panics unwind).
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| locate("PINSHIM_TEST_LIB", "pinshim", "libpinshim.so"))
}

/// The `pinshim` command: `PINSHIM_TEST_CMD`, or built from the workspace in its release form.
pub fn command() -> &'static Path {
    static COMMAND: OnceLock<PathBuf> = OnceLock::new();
    COMMAND.get_or_init(|| locate("PINSHIM_TEST_CMD", "pinshim-cli", "pinshim"))
}

fn locate(variable: &str, package: &str, file: &str) -> PathBuf {
    let path = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => build(package).join(file),
    };
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Builds a package and gives the folder it was built into. Not under a test's time limit: a
/// first build takes as long as it takes, and cargo itself holds only its lock.
fn build(package: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo)
        .args(["build", "--quiet", "--release", "--package", package])
        .current_dir(WORKSPACE)
        .status()
        .expect("run cargo");
    assert!(status.success(), "cargo could not build {package}");
    let output = Command::new(&cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(WORKSPACE)
        .output()
        .expect("run cargo");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo's metadata");
    let target = metadata["target_directory"].as_str().expect("a target directory");
    Path::new(target).join("release")
}
