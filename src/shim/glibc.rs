//! Keeps the library loadable on a glibc older than the one it was built with: down to 2.28.
//!
//! glibc 2.34 gave the functions of libpthread and libdl new symbol versions, 2.33 made real functions of `stat`
//! and its kin, and 2.30 brought `gettid`. A library that is linked with these does not load on Debian 10 or RHEL 8.
//! So the old versions, which every glibc still has, are named here, and the others that Rust's standard library
//! calls are defined here as system calls, hidden from other libraries. (It calls `gettid`, from 1.95 on, only where
//! there is one; but ld.so insists on the version of a symbol that may be missing, too.)
//!
//! The `.symver` lines hold for the object file that they are in. Release builds make one object of all
//! crates (`lto`), so they hold for the whole library. `tests/symbols.rs` looks at the library for what is newer.

/// The first symbol version that glibc has on an architecture. Every later glibc still has it.
#[cfg(target_arch = "x86_64")]
macro_rules! first_version {
    () => {
        "GLIBC_2.2.5"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! first_version {
    () => {
        "GLIBC_2.17"
    };
}

/// The instruction that goes on in another function.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp"
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "b"
    };
}

macro_rules! ask_for_the_first {
    ($($name:literal),*) => {
        std::arch::global_asm!($(concat!(".symver ", $name, ", ", $name, "@", first_version!())),*);
    };
}

/// Defines glibc's function `$name` for this library alone. Weak, as the standard library's mention of `gettid` is:
/// in one object file a symbol is either.
macro_rules! define {
    ($name:literal as $function:ident) => {
        std::arch::global_asm!(
            concat!(".hidden ", $name),
            concat!(".weak ", $name),
            concat!($name, ":"),
            concat!(jump!(), " {function}"),
            function = sym $function,
        );
    };
}

ask_for_the_first!("dladdr", "dlsym", "pthread_key_create", "pthread_key_delete", "pthread_setspecific");
ask_for_the_first!("_pthread_cleanup_push", "_pthread_cleanup_pop");
define!("fstat64" as fstat);
define!("stat64" as stat);
define!("gettid" as gettid);

unsafe extern "C" fn fstat(fd: libc::c_int, into: *mut libc::stat64) -> libc::c_int {
    // SAFETY: as the caller upholds; both architectures have one layout of stat, the kernel's.
    unsafe { libc::syscall(libc::SYS_fstat, libc::c_long::from(fd), into) as libc::c_int }
}

unsafe extern "C" fn stat(path: *const libc::c_char, into: *mut libc::stat64) -> libc::c_int {
    let folder = libc::c_long::from(libc::AT_FDCWD);
    // SAFETY: the caller upholds that `path` ends with a NUL and `into` can be written to; both architectures have
    // one layout of stat, the kernel's.
    unsafe { libc::syscall(libc::SYS_newfstatat, folder, path, into, 0) as libc::c_int }
}

unsafe extern "C" fn gettid() -> libc::pid_t {
    // SAFETY: takes no argument.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}
