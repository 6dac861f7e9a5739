//! The wrapper `qemu-pinned`, which a domain names as its `<emulator>`, and the QEMU that it runs.

use crate::output::failure::Failure;
use crate::sys::program::{self, Limits};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Its name; a link `NAME-pinned` to it runs `/usr/bin/NAME`.
const NAME: &str = "qemu-pinned";

/// It answers at once.
const LIMITS: Limits = Limits { time: Duration::from_secs(10), bytes: 4096 };

/// Whether an emulator is the wrapper, by its name.
pub(crate) fn is_wrapper(emulator: &str) -> bool {
    Path::new(emulator).file_name().is_some_and(|name| name.as_bytes().ends_with(b"-pinned"))
}

/// The folder with the wrapper that was installed together with this command: the command's own.
pub(crate) fn folder() -> PathBuf {
    let command = std::env::current_exe().unwrap_or_default();
    command.parent().map(Path::to_owned).unwrap_or_default()
}

/// The wrapper in a folder.
///
/// # Errors
/// There is none.
pub(crate) fn in_folder(folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join(NAME);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::new(format!("there is no {}", path.display()))
        .next("install pinshim with scripts/install, and use the command that it installs"))
}

/// The wrapper in a folder, or the link to it, that runs this emulator.
///
/// # Errors
/// There is none.
pub(crate) fn for_emulator(folder: &Path, emulator: &str) -> Result<PathBuf, Failure> {
    let wrapper = in_folder(folder)?;
    let runs = real_qemu(&wrapper)?;
    if is_same(&runs, emulator) {
        return Ok(wrapper);
    }
    let mut name = Path::new(emulator).file_name().unwrap_or_default().to_owned();
    name.push("-pinned");
    let link = folder.join(name);
    if link.is_file() && is_same(&real_qemu(&link)?, emulator) {
        return Ok(link);
    }
    let what = format!("its <emulator> is {emulator}, and {} runs {}", wrapper.display(), runs.display());
    let name = link.display();
    Err(Failure::new(what).next(if Path::new(emulator).parent() == Some(Path::new("/usr/bin")) {
        format!("a link runs the other: ln -s {NAME} {name}")
    } else {
        format!("a line QEMU={emulator} in qemu-pinned.conf has it run that one")
    }))
}

/// The QEMU that the wrapper of this name in the folder runs. `None`: the folder has none of that name.
pub(crate) fn behind(folder: &Path, emulator: &str) -> Option<Result<PathBuf, Failure>> {
    let name = Path::new(emulator).file_name()?;
    // Not the path of the XML: whoever owns the domain chose it, and root may be asking.
    let wrapper = folder.join(name);
    (is_wrapper(emulator) && wrapper.is_file()).then(|| real_qemu(&wrapper))
}

/// The QEMU that a wrapper runs.
///
/// # Errors
/// It says why it runs none.
pub(crate) fn real_qemu(wrapper: &Path) -> Result<PathBuf, Failure> {
    let mut command = program::command(wrapper.as_os_str(), &[OsStr::new("--print-real-qemu")]);
    command.env_remove("QEMU_PINNED_REAL");
    let unfit = |why: &str| Failure::new(format!("{}: {why}", wrapper.display()));
    let done = program::run(&mut command, "", LIMITS).map_err(|error| unfit(&error.to_string()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(unfit(said.trim().trim_start_matches("pinshim: ")));
    }
    let answer = done.stdout.strip_suffix(b"\n").unwrap_or(&done.stdout);
    let path = Path::new(OsStr::from_bytes(answer));
    if !path.is_absolute() || path.to_str().is_none_or(|path| path.contains(char::is_control)) {
        return Err(unfit("it does not say which QEMU it runs; run scripts/install again"));
    }
    Ok(path.to_owned())
}

/// Whether two paths lead to one file.
fn is_same(path: &Path, emulator: &str) -> bool {
    match (fs::canonicalize(path), fs::canonicalize(emulator)) {
        (Ok(path), Ok(emulator)) => path == emulator,
        _ => path == Path::new(emulator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a wrapper that runs `qemu` in the same folder, and a link to it.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        // Written by another process: a child of another test's could hold it open for writing just when it is run.
        let script = r#"
cd "$1" && touch qemu other && cat >qemu-pinned <<'END' && chmod +x qemu-pinned && ln -s qemu-pinned other-pinned
#!/bin/sh
[ "$*" = --print-real-qemu ] && [ -z "$QEMU_PINNED_REAL" ] || exit 1
case $0 in */other-pinned) echo "${0%/*}/other" ;; *) echo "${0%/*}/qemu" ;; esac
END
"#;
        let done = std::process::Command::new("sh").args(["-c", script, "sh"]).arg(folder.path()).status();
        assert!(done.unwrap().success());
        folder
    }

    #[test]
    fn a_wrapper_goes_by_its_name() {
        for (emulator, expected) in [
            ("/usr/local/bin/qemu-pinned", true),
            ("/x/qemu-system-aarch64-pinned", true),
            ("/usr/bin/qemu-system-x86_64", false),
            ("/qemu-pinned/x", false),
            ("", false),
        ] {
            assert_eq!(is_wrapper(emulator), expected, "{emulator}");
        }
    }

    #[test]
    fn the_wrapper_is_the_one_that_runs_the_domains_own_qemu() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let named = |name: &str| for_emulator(folder.path(), path(name).to_str().unwrap());
        assert_eq!(named("qemu"), Ok(path("qemu-pinned")));
        assert_eq!(named("other"), Ok(path("other-pinned")));
        std::os::unix::fs::symlink("qemu", path("kvm")).unwrap();
        assert_eq!(named("kvm"), Ok(path("qemu-pinned")), "by another name");
        let why = named("third").unwrap_err().to_string();
        assert!(why.contains("third, and ") && why.contains("/qemu; a line QEMU="), "{why}");
        let why = for_emulator(folder.path(), "/usr/bin/qemu-system-none").unwrap_err().to_string();
        assert!(why.contains("ln -s qemu-pinned "), "{why}");
    }

    #[test]
    fn what_a_domain_names_is_not_run() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(behind(folder.path(), "/evil/qemu-pinned"), Some(Ok(path("qemu"))));
        assert_eq!(behind(folder.path(), "/evil/other-pinned"), Some(Ok(path("other"))));
        assert_eq!(behind(folder.path(), "/evil/third-pinned"), None);
        assert_eq!(behind(folder.path(), path("qemu").to_str().unwrap()), None);
    }

    #[test]
    fn one_that_does_not_say_what_it_runs_is_not_believed() {
        let why = real_qemu(Path::new("/bin/true")).unwrap_err().to_string();
        assert!(why.contains("does not say which QEMU"), "{why}");
        assert!(real_qemu(Path::new("/bin/false")).is_err());
    }
}
