//! The calling process: making a copy of it, ending it, and giving up its rights.

use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::proc_stat::ProcStat;
use libc::c_int;
use std::ffi::CStr;

/// Whether the program's filters let the calling thread make another process, and what it needs to talk with it.
pub(crate) fn may_make_another() -> bool {
    may_call!(
        libc::SYS_clone,
        libc::SYS_wait4,
        libc::SYS_exit_group,
        libc::SYS_rt_sigprocmask,
        libc::SYS_socketpair,
        libc::SYS_setsockopt,
        libc::SYS_fcntl,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_pidfd_open,
        libc::SYS_ppoll,
        libc::SYS_futex,
    )
}

/// A copy of this process with this thread alone, without libc's knowledge, and without a signal when it
/// ends. `None` in the child, which may make system calls and nothing else.
pub(crate) fn raw_fork() -> Result<Option<i32>, Errno> {
    // clone(2): no exit signal, no shared memory, the same stack.
    let pid = call!(libc::SYS_clone, 0, 0, 0, 0, 0)?;
    Ok((pid != 0).then_some(pid as i32))
}

/// Waits for a child of [`raw_fork`]'s to end; its exit status.
pub(crate) fn wait_for(child: i32) -> Result<c_int, Errno> {
    let mut status: c_int = 0;
    loop {
        match call!(libc::SYS_wait4, child, &raw mut status, libc::__WALL, 0) {
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Err(errno),
            Ok(_) => {
                return Ok(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { libc::ECHILD });
            }
        }
    }
}

/// When the calling process was started: the 22nd field of its /proc/PID/stat. An execve(2) leaves that as it is.
pub(crate) fn start_time() -> Option<u64> {
    own_stat(&mut [0; STAT_BYTES])?.start_time()
}

/// Room for the stat file of a process: about fifty numbers and a name.
pub(crate) const STAT_BYTES: usize = 1024;

/// What the stat file of the calling process says.
pub(crate) fn own_stat(room: &mut [u8; STAT_BYTES]) -> Option<ProcStat<'_>> {
    let file = file::open(c"/proc/self/stat", libc::O_RDONLY).ok()?;
    let text = file::read(file, room);
    file::close(file);
    ProcStat::new(text.ok()?)
}

/// Sets a variable in the environment of this process.
pub(crate) fn set_variable(name: &CStr, value: &CStr) {
    // SAFETY: both end with a NUL, and setenv copies them. It is called as the library is loaded, before the program's main
    // and before any thread is created through the library, so nobody reads the environment meanwhile.
    unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
}

/// Ends the process without running anything else.
pub(crate) fn exit(status: c_int) -> ! {
    let _ = call!(libc::SYS_exit_group, status);
    // A system call filter denies it. abort(3) ends the process by an instruction where it may send no signal either.
    std::process::abort()
}

/// A descriptor of a process, which can be polled until the process has ended (pidfd_open(2), from Linux 5.3 on).
pub(crate) fn pidfd_open(pid: i32) -> Result<c_int, Errno> {
    call!(libc::SYS_pidfd_open, pid, 0).map(|fd| fd as c_int)
}

/// linux/capability.h: _LINUX_CAPABILITY_VERSION_3, which has two words of each set.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The calling thread's capabilities below 32 that count now (capget(2)).
pub(crate) fn capabilities() -> Result<u32, Errno> {
    let header = [CAPABILITY_VERSION_3, 0];
    let mut now = [0u32; 6];
    call!(libc::SYS_capget, header.as_ptr(), now.as_mut_ptr())?;
    let [effective, ..] = now;
    Ok(effective)
}

/// The limit of this process that counts for a resource (getrlimit(2)).
pub(crate) fn limit(resource: u32) -> Result<u64, Errno> {
    let mut now = [0u64; 2];
    call!(libc::SYS_prlimit64, 0, resource, 0, now.as_mut_ptr())?;
    let [soft, _] = now;
    Ok(soft)
}

/// Gives up every capability but these (bits of capabilities(7)). An ordinary user's process has none to give up.
pub(crate) fn keep_capabilities(kept: u32) -> Result<(), Errno> {
    let header = [CAPABILITY_VERSION_3, 0];
    // Effective, permitted, inheritable; first the lower words, then the upper.
    let mut now = [0u32; 6];
    call!(libc::SYS_capget, header.as_ptr(), now.as_mut_ptr())?;
    let [effective, permitted, ..] = now;
    let sets = [effective & kept, permitted & kept, 0, 0, 0, 0];
    call!(libc::SYS_capset, header.as_ptr(), sets.as_ptr()).map(drop)
}

/// Forbids other processes of the same user to trace this one, or to read and write its memory (prctl(2),
/// PR_SET_DUMPABLE).
pub(crate) fn set_not_dumpable() -> Result<(), Errno> {
    call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0).map(drop)
}

/// Filters the system calls of this process, and of any program that it executes, for good.
pub(crate) fn filter_system_calls(program: &[libc::sock_filter]) -> Result<(), Errno> {
    call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program).map(drop)
}

/// The effective user id.
pub(crate) fn geteuid() -> Result<u32, Errno> {
    call!(libc::SYS_geteuid).map(|uid| uid as u32)
}

/// Changes from root to another user, for good. Without PR_SET_KEEPCAPS every capability is lost too (capabilities(7)).
pub(crate) fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    call!(libc::SYS_setgroups, 0, 0)?;
    call!(libc::SYS_setresgid, gid, gid, gid)?;
    call!(libc::SYS_setresuid, uid, uid, uid)?;
    // A change of user makes a process as dumpable as fs.suid_dumpable says (proc_sys_fs(5)).
    set_not_dumpable()
}

/// The path that this process's program was executed by, as execve(2) was given it. For where there is no /proc.
pub(crate) fn executed_path() -> Option<&'static CStr> {
    // SAFETY: getauxval has no preconditions.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    if address == 0 {
        return None;
    }
    // SAFETY: getauxval(3): AT_EXECFN is a pointer to a C string, which is on the stack of the main thread from its start and
    // lives as long as the process.
    Some(unsafe { CStr::from_ptr(std::ptr::with_exposed_provenance(address as usize)) })
}

/// Whether the program has other rights than its user's: set-user-ID, or with file capabilities (getauxval(3), AT_SECURE).
pub(crate) fn has_foreign_rights() -> bool {
    // SAFETY: getauxval has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
