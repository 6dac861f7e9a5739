//! Keeps the library loadable on a glibc older than the one it was built with.
//!
//! glibc 2.34 gave the functions of libpthread and libdl new symbol versions, and 2.33 made real functions of
//! `stat` and its kin. A library that is linked with these does not load on Debian 11 or RHEL 8. So the old
//! versions, which every glibc still has, are named here, and the two `stat`s that Rust's standard library calls
//! are defined here as system calls, hidden from other libraries.
//!
//! The `.symver` lines hold for the object file that they are in. Release builds make one object of all
//! crates (`lto`), so they hold for the whole library.

/// Names the first symbol version that glibc has on an architecture. Every later glibc still has it.
macro_rules! ask_for {
    ($version:literal) => {
        std::arch::global_asm!(
            concat!(".symver dlsym, dlsym@", $version),
            concat!(".symver pthread_key_create, pthread_key_create@", $version),
            concat!(".symver pthread_key_delete, pthread_key_delete@", $version),
            concat!(".symver pthread_setspecific, pthread_setspecific@", $version),
        );
    };
}

#[cfg(target_arch = "x86_64")]
ask_for!("GLIBC_2.2.5");
#[cfg(target_arch = "aarch64")]
ask_for!("GLIBC_2.17");

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".hidden fstat64",
    ".globl fstat64",
    "fstat64:",
    "jmp {fstat}",
    ".hidden stat64",
    ".globl stat64",
    "stat64:",
    "jmp {stat}",
    fstat = sym fstat,
    stat = sym stat,
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn fstat(fd: libc::c_int, into: *mut libc::stat64) -> libc::c_int {
    // SAFETY: as the caller upholds; x86-64 has one layout of stat, the kernel's.
    unsafe { libc::syscall(libc::SYS_fstat, libc::c_long::from(fd), into) as libc::c_int }
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn stat(path: *const libc::c_char, into: *mut libc::stat64) -> libc::c_int {
    // SAFETY: the caller upholds that `path` ends with a NUL and `into` can be written to; x86-64 has one layout of stat.
    unsafe { libc::syscall(libc::SYS_stat, path, into) as libc::c_int }
}
