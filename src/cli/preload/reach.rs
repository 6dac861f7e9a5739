//! Whether a preloaded library can reach a command.
//!
//! ld.so preloads nothing into a program that is static, for another machine, or started with more rights
//! than its caller has (ld.so(8), "secure-execution mode"). QEMU would run unpinned, and nobody would notice.

use crate::preload::elf::{Elf, Machine};
use crate::preload::launchers::Executable;
use crate::sys::rights;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a command cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// There is no such command.
    NotFound(String),
    /// It is there and cannot be executed.
    NotExecutable(String),
    /// It can be executed, but no preload reaches it.
    OutOfReach(String),
}

/// The kernel follows so many interpreters that are scripts themselves (fs/exec.c).
const INTERPRETERS: usize = 5;

/// The path of a command as execvp(3) finds it.
pub(crate) fn path_of(command: &OsStr) -> Result<PathBuf, Unfit> {
    if command.as_bytes().contains(&b'/') {
        return executable(Path::new(command)).map(|()| PathBuf::from(command));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut why = Unfit::NotFound(format!("there is no command {command:?} in PATH"));
    if command.is_empty() {
        return Err(why);
    }
    for folder in std::env::split_paths(&path) {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        match executable(&folder.join(command)) {
            Ok(()) => return Ok(folder.join(command)),
            Err(Unfit::NotFound(_)) => {}
            Err(other) => why = other,
        }
    }
    Err(why)
}

fn executable(path: &Path) -> Result<(), Unfit> {
    let not_executable = |what: &str| Err(Unfit::NotExecutable(format!("{} {what}", path.display())));
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Unfit::NotFound(format!("there is no {}", path.display())))
        }
        Err(error) => not_executable(&format!("cannot be executed: {error}")),
        Ok(about) if about.is_dir() => not_executable("is a folder"),
        Ok(_) if !rights::may_execute(path) => not_executable("is not executable"),
        Ok(_) => Ok(()),
    }
}

/// Whether a preload of a library for `machine` reaches what this path executes.
pub(crate) fn check(path: &Path, machine: Machine) -> Result<(), Unfit> {
    let out = |why: String| Err(Unfit::OutOfReach(format!("{} {why}", path.display())));
    if let Some(rights) = more_rights(path) {
        return out(format!("{rights}, and ld.so preloads nothing into such a program"));
    }
    match Elf::read(path) {
        // A file that may be executed but not read cannot be checked.
        Err(_) => Ok(()),
        Ok(Some(elf)) if elf.machine != machine => {
            out(format!("is for {}, the library for {machine}: no preload reaches it", elf.machine))
        }
        Ok(Some(elf)) if !elf.has_loader => {
            out("is linked statically: no ld.so takes part in starting it, and nothing is preloaded"
                .to_owned())
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => check_interpreter(path),
    }
}

/// What a word of a command would execute, and whether a preload of a library for `machine` reaches it.
pub(crate) fn executable_of(word: &OsStr, machine: Machine) -> Option<Executable> {
    let path = path_of(word).ok()?;
    let behind_links = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    let out_of_reach = match check(&path, machine) {
        Err(Unfit::OutOfReach(why)) => Some(why),
        _ => None,
    };
    Some(Executable {
        name: behind_links.file_name()?.to_owned(),
        is_program: matches!(Elf::read(&path), Ok(Some(_))),
        out_of_reach,
    })
}

/// Checks a script by its interpreter. Even a static one passes the environment on to the QEMU that the
/// script starts; but ld.so removes LD_PRELOAD from the environment of one that has more rights.
fn check_interpreter(script: &Path) -> Result<(), Unfit> {
    let mut path = script.to_owned();
    for _ in 0..INTERPRETERS {
        let Some(interpreter) = interpreter(&path) else { return Ok(()) };
        if let Some(rights) = more_rights(&interpreter) {
            return Err(Unfit::OutOfReach(format!(
                "{} is run by {}, which {rights}, and ld.so takes LD_PRELOAD from such a program's environment",
                script.display(),
                interpreter.display()
            )));
        }
        path = interpreter;
    }
    Ok(())
}

/// The interpreter in a script's first line.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let mut begin = [0u8; 256];
    let length = File::open(script).ok()?.read_at(&mut begin, 0).ok()?;
    let line = begin.get(..length)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = line.trim_ascii_start();
    let path = line.split(u8::is_ascii_whitespace).next().filter(|path| !path.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// Which rights execve(2) would add to those of this user: they switch ld.so to secure execution.
fn more_rights(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    let (user, group) = (rights::real_user(), rights::real_group());
    if !rights::are_granted(path) {
        return None;
    }
    if about.mode() & libc::S_ISUID != 0 && about.uid() != user {
        return Some("is setuid".to_owned());
    }
    // Without the group's x bit, S_ISGID stands for mandatory locking instead (inode(7)).
    let setgid = libc::S_ISGID | libc::S_IXGRP;
    if about.mode() & setgid == setgid && about.gid() != group {
        return Some("is setgid".to_owned());
    }
    (user != 0 && rights::has_capabilities(path)).then(|| "has file capabilities".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn own_machine() -> Machine {
        Elf::read(&std::env::current_exe().unwrap()).unwrap().unwrap().machine
    }

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("script");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_dynamic_program_and_a_script_are_within_reach() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check(&std::env::current_exe().unwrap(), own_machine()), Ok(()));
        for text in ["#!/bin/sh\nexec qemu\n", "#! /usr/bin/env bash\n", "exec qemu\n", "#!\n"] {
            assert_eq!(check(&script(folder.path(), text), own_machine()), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_script_that_names_itself_comes_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        assert_eq!(check(&script(folder.path(), &format!("#!{}\n", path.display())), own_machine()), Ok(()));
    }

    #[test]
    fn another_machine_is_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut elf = fs::read(std::env::current_exe().unwrap()).unwrap();
        elf[18] = 22;
        fs::write(&path, elf).unwrap();
        let (path_shown, machine) = (path.display(), own_machine());
        let why = format!("{path_shown} is for S/390, the library for {machine}: no preload reaches it");
        assert_eq!(check(&path, machine), Err(Unfit::OutOfReach(why)));
    }

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        let found = |command: &str| path_of(OsStr::new(command));
        let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        let first = folders.iter().map(|folder| folder.join("sh")).find(|path| path.exists());
        assert_eq!(found("sh").ok(), first);
        let not_found = |why: &str| Err(Unfit::NotFound(why.to_owned()));
        assert_eq!(found("no-such-command"), not_found("there is no command \"no-such-command\" in PATH"));
        assert_eq!(found(""), not_found("there is no command \"\" in PATH"));
        assert_eq!(found("/nonexistent/x"), not_found("there is no /nonexistent/x"));
        let not_executable = |why: &str| Err(Unfit::NotExecutable(why.to_owned()));
        assert_eq!(found("/etc/passwd"), not_executable("/etc/passwd is not executable"));
        assert_eq!(found("/etc"), not_executable("/etc is a folder"));
    }
}
