//! `/etc/ld.so.preload` brings the library into programs with other rights than their user's, too. There it does nothing.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{
    EX_CONFIG, Finished, NOBODY, Program, Scratch, Source, TimeLimit, compile, library, root_missing, skip,
    two_cpus,
};

/// A program of the test's, in a file system of its own where /etc/ld.so.preload names the library.
struct Preloaded {
    scratch: Scratch,
}

impl Preloaded {
    fn new() -> Self {
        let scratch = Scratch::new();
        compile(&scratch, &Source { file: "secure.c", flags: &[] });
        let library = scratch.copy(library());
        fs::create_dir(scratch.join("etc")).expect("make a folder");
        fs::write(scratch.join("etc/ld.so.preload"), format!("{}\n", library.display()))
            .expect("write a file");
        // The loader finds libc by its cache, or in its usual folders.
        let _ = fs::copy("/etc/ld.so.cache", scratch.join("etc/ld.so.cache"));
        Self { scratch }
    }

    /// Runs it as an ordinary user, on CPU `from`, with root's rights if it is `setuid`.
    fn run(&self, setuid: bool, from: usize, placement: &str) -> Finished {
        let program = self.scratch.join("secure");
        let mode = if setuid { 0o4755 } else { 0o755 };
        fs::set_permissions(&program, Permissions::from_mode(mode)).expect("set the mode");
        let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path");
        let own = path(&self.scratch.join("etc"));
        Program::new(program)
            .affinity(&[from])
            .env("PIN_TARGET", "*")
            .env("PIN_CPUS", placement)
            .before_exec(move || over_etc(&own))
            .user(NOBODY)
            .run()
    }
}

/// Has the calling process alone see another folder in the place of /etc.
fn over_etc(folder: &std::ffi::CStr) -> io::Result<()> {
    let check = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    let none = std::ptr::null();
    // SAFETY: takes no pointer.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // What is mounted from here on stays in this namespace.
    // SAFETY: C strings, and no type or data.
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) })?;
    // SAFETY: the same.
    check(unsafe { libc::mount(folder.as_ptr(), c"/etc".as_ptr(), none, libc::MS_BIND, none.cast()) })
}

#[test]
fn a_setuid_program_is_left_alone_whatever_its_environment_says() {
    let _limit = TimeLimit::seconds(60);
    if let Some(why) = root_missing() {
        return skip(why);
    }
    let Some(cpus) = two_cpus() else { return };
    let preloaded = Preloaded::new();
    let (second, bad) = (cpus.second.to_string(), "nonsense");
    let mask = |secure: u32, cpu: usize| format!("secure {secure}, mask {:x}\n", 1u64 << cpu);
    // The same without other rights: the library is there, and acts.
    let plain = preloaded.run(false, cpus.first, &second);
    assert_eq!(plain.assert_clean().stdout, mask(0, cpus.second));
    assert_eq!(preloaded.run(false, cpus.first, bad).code(), EX_CONFIG);
    let setuid = preloaded.run(true, cpus.first, &second);
    if setuid.stdout.starts_with("secure 0") {
        return skip("set-user-ID programs have no effect in the temporary folder");
    }
    assert_eq!(setuid.assert_clean().stdout, mask(1, cpus.first));
    assert_eq!(preloaded.run(true, cpus.first, bad).assert_clean().stdout, mask(1, cpus.first));
}
