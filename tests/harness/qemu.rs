//! The QEMU that is tested against, and what differs between its versions.

use std::path::PathBuf;

use crate::Program;

/// `PINSHIM_TEST_QEMU`, or the distribution's.
///
/// # Errors
/// Why there is none.
pub fn qemu() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("PINSHIM_TEST_QEMU") {
        return Ok(path.into());
    }
    let path = PathBuf::from("/usr/bin/qemu-system-x86_64");
    if path.exists() { Ok(path) } else { Err("qemu-system-x86_64 is not installed".into()) }
}

/// Why this QEMU has no such kind of object (`-object`), if so.
pub fn object_missing(kind: &str) -> Option<String> {
    let known =
        qemu().map(|qemu| Program::new(qemu).args(["-object", "help"]).run().stdout).unwrap_or_default();
    (!known.lines().any(|line| line.trim() == kind)).then(|| format!("this QEMU has no {kind} object"))
}

/// Why this QEMU's threads are never without names, if so: from version 11 on it ignores `-name debug-threads=off`.
pub fn always_named() -> Option<String> {
    let said = qemu().map(|qemu| Program::new(qemu).arg("--version").run().stdout).unwrap_or_default();
    let version =
        said.split("version ").nth(1).and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    (version >= Some(11)).then(|| "this QEMU names its threads, whatever debug-threads says".to_owned())
}

/// The option and value that have QEMU become another user once it is set up: `-run-with user=` from QEMU 9.1 on, which
/// alone is left in 10, and `-runas` before.
pub fn run_as(user: &str) -> [String; 2] {
    let help = qemu().map(|qemu| Program::new(qemu).arg("-help").run().stdout).unwrap_or_default();
    if help.lines().any(|line| line.starts_with("-runas ")) {
        ["-runas".into(), user.into()]
    } else {
        ["-run-with".into(), format!("user={user}")]
    }
}
