//! The things under test: built once for all tests, from this workspace.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Finished, Program};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The preload library: `PINSHIM_TEST_LIB`, or built from the workspace in its release form, which
/// is the one that users get (and the one whose panics unwind).
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| locate("PINSHIM_TEST_LIB", "libpinshim.so"))
}

/// The `pinshim` command: `PINSHIM_TEST_CMD`, or built from the workspace in its release form.
pub fn command() -> &'static Path {
    static COMMAND: OnceLock<PathBuf> = OnceLock::new();
    COMMAND.get_or_init(|| locate("PINSHIM_TEST_CMD", "pinshim"))
}

/// Runs the command under test with these arguments.
pub fn pinshim<S: AsRef<OsStr>>(arguments: &[S]) -> Finished {
    Program::new(command()).args(arguments).run()
}

fn locate(variable: &str, file: &str) -> PathBuf {
    let path = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        None => build().join(file),
    };
    path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Builds the library and the command, and gives the folder they were built into. Not under a test's time limit:
/// a first build takes as long as it takes, and cargo itself holds only its lock.
fn build() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let run = |arguments: &[&str]| {
            let mut command = Command::new(&cargo);
            let output = command.args(arguments).current_dir(WORKSPACE).stderr(Stdio::inherit()).output();
            let output = output.expect("run cargo");
            assert!(output.status.success(), "cargo {arguments:?} has failed");
            output.stdout
        };
        // The default members, as scripts/test and scripts/install build them.
        run(&["build", "--quiet", "--release"]);
        let metadata = run(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
        let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("cargo's metadata");
        Path::new(metadata["target_directory"].as_str().expect("a target directory")).join("release")
    })
}
