//! Why a QEMU is not pinned.
//!
//! Each sentence names the file of /proc that it was read from, so that a user can check it.

use crate::preload::elf::Elf;
use crate::preload::library;
use crate::sys::held_file::HeldFile;
use crate::sys::process::Process;
use crate::sys::user;
use crate::vm::page::Missing;
use pinning::{Policy, acts_in};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a process has no sound status page, in a sentence.
pub(crate) fn why_not_pinned(process: Process<'_>, missing: &Missing) -> String {
    match missing {
        Missing::Bad(why) => why.clone(),
        Missing::OfParent(_) => missing.to_string(),
        Missing::NotPermitted => not_permitted(process),
        Missing::None => match process.environment() {
            Ok(environment) => without_a_page(process, &environment),
            Err(_) => not_permitted(process),
        },
    }
}

/// Why this user may not look into a process, and who may.
fn not_permitted(process: Process<'_>) -> String {
    match process.user() {
        Some(user) if user != process.kernel.user() => format!(
            "it belongs to {}, and only {} or root (CAP_SYS_PTRACE) may look into it",
            user::name(process.kernel, user),
            user::name(process.kernel, user)
        ),
        _ => "it has changed its user or its rights since its start (as -run-with user= does), so that only root \
                  (CAP_SYS_PTRACE) may look into it"
            .to_owned(),
    }
}

fn without_a_page(process: Process<'_>, environment: &[(OsString, OsString)]) -> String {
    let value = |name: &str| environment.iter().find(|(found, _)| found == name).map(|(_, value)| value);
    let variables = || environment.iter().map(|(name, value)| (name, value));
    let pid = process.pid;
    if process.maps_file(library::NAME).unwrap_or(false) {
        let (executable, target) = (process.executable_name(), value("PIN_TARGET"));
        if !acts_in(target.map(|target| target.as_bytes()), executable.as_bytes()) {
            return format!(
                "the library is loaded, but does not act in an executable called {}: PIN_TARGET says which",
                executable.to_string_lossy()
            );
        }
        if !Policy::names_placement(variables()) {
            return format!(
                "the library is loaded, but /proc/{pid}/environ has none of the PIN_* variables that place threads"
            );
        }
        return "the library is loaded, but has made no status page: under PIN_ERRORS=warn no sound variable \
                may have been left, or the kernel has no memfd_create"
            .to_owned();
    }
    let Some(preload) = value("LD_PRELOAD").and_then(|preload| ours(preload)) else {
        let placed =
            if Policy::names_placement(variables()) { ", although it has PIN_* variables" } else { "" };
        return format!(
            "it was started without the library{placed} (LD_PRELOAD in /proc/{pid}/environ does not name it)"
        );
    };
    format!(
        "it was started with LD_PRELOAD naming {}, but has not loaded it (/proc/{pid}/maps): {}",
        preload.display(),
        why_not_loaded(process, &preload)
    )
}

/// The library's path in a value of `LD_PRELOAD`.
fn ours(preload: &OsStr) -> Option<PathBuf> {
    let mut entries = preload.as_bytes().split(|byte| matches!(byte, b':' | b' ' | b'\t' | b'\n'));
    let path =
        entries.find(|entry| Path::new(OsStr::from_bytes(entry)).file_name() == Some(library::NAME.as_ref()));
    path.map(|path| PathBuf::from(OsStr::from_bytes(path)))
}

fn why_not_loaded(process: Process<'_>, library: &Path) -> String {
    let pid = process.pid;
    if process.is_secure().unwrap_or(false) {
        return format!(
            "it was started setuid, setgid, with file capabilities or through a change of its security domain, \
             and then ld.so ignores it (AT_SECURE in /proc/{pid}/auxv)"
        );
    }
    let executable = elf_of(process.kernel.hold(&process.file("exe"))).ok().flatten();
    if executable.is_some_and(|elf| !elf.has_loader) {
        return format!("it is linked statically, so that no ld.so takes part (/proc/{pid}/exe)");
    }
    // ld.so looks for any other path in folders that are not known here.
    if library.is_absolute() {
        // The path is the process's own, and it may have another root.
        let found = elf_of(process.kernel.hold_below(&process.file("root"), library));
        match (found, executable) {
            (Ok(Some(found)), Some(executable)) if found.machine != executable.machine => {
                return format!(
                    "the library is for {}, the executable for {}",
                    found.machine, executable.machine
                );
            }
            (Ok(Some(_)), _) => {}
            (Ok(None), _) => return "that file is no library".to_owned(),
            (Err(NotRead::NotLooked), _) => {
                return "that file was not looked at, since this kernel has no openat2 (Linux 5.6)"
                    .to_owned();
            }
            (Err(NotRead::NoFile), _) => return "it is no regular file, and was not opened".to_owned(),
            (Err(NotRead::Error(error)), _) => return format!("that file cannot be read: {error}"),
        }
    }
    match process.confinement() {
        Some(profile) => format!(
            "it is confined by {profile} (/proc/{pid}/attr/current), which must allow it to read and map that file"
        ),
        None => "ld.so has said why on its standard error".to_owned(),
    }
}

/// Why a file that a process names was not read.
enum NotRead {
    /// It could not be looked at without opening whatever it is.
    NotLooked,
    /// It is a pipe, a device, a link or the like.
    NoFile,
    Error(io::Error),
}

/// What the beginning of a file of somebody else's says, if it is a regular file.
fn elf_of(held: io::Result<File>) -> Result<Option<Elf>, NotRead> {
    let held = held.map(HeldFile::new).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => NotRead::NotLooked,
        _ => NotRead::Error(error),
    })?;
    if !held.is_file() {
        return Err(NotRead::NoFile);
    }
    held.open().and_then(|file| Elf::of(&file)).map_err(NotRead::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, FakeProcess};
    use crate::vm::sample::threads_of_web;

    #[test]
    fn the_library_is_found_among_others() {
        let found = |preload: &str| ours(OsStr::new(preload));
        assert_eq!(found("/a/libx.so:/b/libpinshim.so"), Some(PathBuf::from("/b/libpinshim.so")));
        assert_eq!(found("libx.so libpinshim.so"), Some(PathBuf::from("libpinshim.so")));
        assert_eq!(found("/a/libpinshim.so.1"), None);
        assert_eq!(found(""), None);
    }

    /// Why the VM `web`, which has no status page, is not pinned.
    fn why(kernel: &FakeKernel) -> String {
        why_not_pinned(Process::new(kernel, 100).unwrap(), &Missing::None)
    }

    #[test]
    fn a_library_that_is_loaded_and_does_nothing_is_told_why() {
        let kernel = FakeKernel::new();
        let vm = threads_of_web(&kernel).write("maps", "7f00-7f01 r-xp 0 00:00 0 /usr/lib/libpinshim.so\n");
        let none =
            "the library is loaded, but /proc/100/environ has none of the PIN_* variables that place threads";
        assert_eq!(why(&kernel), none);
        vm.environment(&[("PIN_CPUS", "1")]);
        let no_page = "the library is loaded, but has made no status page: under PIN_ERRORS=warn no sound variable \
                       may have been left, or the kernel has no memfd_create";
        assert_eq!(why(&kernel), no_page);
        vm.environment(&[("PIN_CPUS", "1"), ("PIN_TARGET", "my-vmm")]);
        let target = "the library is loaded, but does not act in an executable called qemu-system-x86_64: \
                      PIN_TARGET says which";
        assert_eq!(why(&kernel), target);
    }

    #[test]
    fn a_library_that_was_named_and_not_loaded_is_told_why() {
        let kernel = FakeKernel::new();
        let began = "it was started with LD_PRELOAD naming /opt/libpinshim.so, but has not loaded it \
                     (/proc/100/maps): ";
        let vm = threads_of_web(&kernel).environment(&[("LD_PRELOAD", "/opt/libx.so:/opt/libpinshim.so")]);
        let why = || why(&kernel).strip_prefix(began).unwrap().to_owned();
        assert_eq!(why(), "that file cannot be read: No such file or directory (os error 2)");
        kernel.write("/proc/100/root/opt/libpinshim.so", "text");
        assert_eq!(why(), "that file is no library");
        let library = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        kernel.write("/proc/100/root/opt/libpinshim.so", &library);
        assert_eq!(why(), "ld.so has said why on its standard error");
        vm.write("attr/current", "libvirt-web (enforce)\n");
        let confined = "it is confined by libvirt-web (enforce) (/proc/100/attr/current), which must allow it to \
                        read and map that file";
        assert_eq!(why(), confined);
        secure(vm);
        let secure = "it was started setuid, setgid, with file capabilities or through a change of its security \
                      domain, and then ld.so ignores it (AT_SECURE in /proc/100/auxv)";
        assert_eq!(why(), secure);
    }

    #[test]
    fn what_a_process_names_as_its_library_is_not_opened_unless_it_is_a_file_below_its_root() {
        let kernel = FakeKernel::new();
        let path = "/opt/libpinshim.so";
        threads_of_web(&kernel).environment(&[("LD_PRELOAD", path)]);
        let why = || why(&kernel).split_once("(/proc/100/maps): ").unwrap().1.to_owned();
        kernel.write("/proc/100/root/opt/other", "text");
        let at = kernel.path(format!("/proc/100/root{path}"));
        // A pipe: whoever opens it waits for ever.
        let made = std::process::Command::new("mkfifo").arg(&at).status().unwrap();
        assert!(made.success());
        let no_file = "it is no regular file, and was not opened";
        assert_eq!(why(), no_file);
        // A link out of its root, and one that stays in it.
        for target in ["/dev/zero", "/proc/self/exe", "other"] {
            std::fs::remove_file(&at).unwrap();
            std::os::unix::fs::symlink(target, &at).unwrap();
            assert_eq!(why(), no_file, "{target}");
        }
        // Its folder is a link to one outside.
        kernel.write("/outside/libpinshim.so", "text");
        std::fs::remove_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(kernel.path("/outside"), at.parent().unwrap()).unwrap();
        assert_eq!(why(), "that file cannot be read: No such file or directory (os error 2)");
        kernel.without_openat2();
        assert_eq!(why(), "that file was not looked at, since this kernel has no openat2 (Linux 5.6)");
    }

    fn secure(vm: FakeProcess<'_>) {
        // AT_SECURE (23), after AT_PAGESZ (6).
        let auxv: Vec<u8> = [6usize, 4096, 23, 1, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        vm.write("auxv", auxv);
    }
}
