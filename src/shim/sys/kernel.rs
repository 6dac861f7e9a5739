//! The system calls that the library makes, each in one safe function.
//!
//! They go through `syscall(2)`, never through libc's named wrappers: some of those are our own hooks
//! (`sched_setaffinity`, `ioctl`), and some are cancellation points (`write`, `poll`), where a thread
//! that QEMU cancels would leave from within our code. None of them allocates or takes a lock, so the
//! broker, which is a raw clone of a process with threads, may call all of them.

use libc::{c_int, c_long, c_uint};
use pinning::Tid;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// The number of a failed call, as errno has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // strerror would take the locale's lock; these are the ones that a pin can meet.
        match self.0 {
            libc::EPERM => f.write_str("not permitted (EPERM)"),
            libc::EINVAL => f.write_str("none of these CPUs is in the thread's cpuset (EINVAL)"),
            libc::ESRCH => f.write_str("no such thread (ESRCH)"),
            libc::EAGAIN => f.write_str("no process may be added (EAGAIN, see RLIMIT_NPROC)"),
            libc::ENOSYS => f.write_str("the kernel has no such call (ENOSYS)"),
            libc::ETIMEDOUT => f.write_str("it was not ready within a second (ETIMEDOUT)"),
            other => write!(f, "error {other}"),
        }
    }
}

/// The calling thread's errno: every hook leaves it as the real function did.
pub(crate) fn errno() -> c_int {
    // SAFETY: no preconditions.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: the address of the calling thread's own errno, valid while the thread lives.
    unsafe { *location }
}

/// Sets the calling thread's errno.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: no preconditions.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: as above; no other thread uses this address.
    unsafe { *location = value }
}

fn checked(result: c_long) -> Result<c_long, Errno> {
    if result < 0 { Err(Errno(errno())) } else { Ok(result) }
}

/// A system call whose arguments are numbers, or pointers valid for what the call does with them.
///
/// A macro so that each use names its arguments once, and passes them at the width of a register:
/// `syscall` is variadic, and an `int` would leave the upper half of its register undefined.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        // SAFETY: the calls below pass numbers, or pointers to live memory of the length they name, made in
        // the same expression; each function that uses the macro upholds this for its own call.
        checked(unsafe { libc::syscall($number $(, $argument as c_long)*) })
    };
}

/// Room for a mask of 8192 CPUs, the most that Linux can be built for (NR_CPUS, x86's MAXSMP).
pub(crate) const MASK_WORDS: usize = 128;

/// A thread's affinity as the kernel gave it, on the stack.
pub(crate) struct Mask {
    words: [MaybeUninit<u64>; MASK_WORDS],
    filled: usize,
}

impl Mask {
    /// The mask's words.
    pub(crate) fn words(&self) -> &[u64] {
        let filled = self.words.get(..self.filled).unwrap_or_default();
        // SAFETY: `affinity` (the only maker) had the kernel write the first `filled` words.
        unsafe { std::slice::from_raw_parts(filled.as_ptr().cast(), filled.len()) }
    }
}

/// The affinity of a thread; `Tid(0)`: the calling one.
pub(crate) fn affinity(tid: Tid) -> Result<Mask, Errno> {
    let mut mask = Mask { words: [MaybeUninit::uninit(); MASK_WORDS], filled: 0 };
    let bytes = call!(libc::SYS_sched_getaffinity, tid.0, size_of_val(&mask.words), mask.words.as_mut_ptr())?;
    // sched_getaffinity(2), "C library/kernel differences": the number of bytes written is returned.
    mask.filled = usize::try_from(bytes).unwrap_or(0) / 8;
    Ok(mask)
}

/// Asks for an affinity; the kernel cuts it to the cpuset, so read it back.
pub(crate) fn set_affinity(tid: Tid, words: &[u64]) -> Result<(), Errno> {
    call!(libc::SYS_sched_setaffinity, tid.0, size_of_val(words), words.as_ptr()).map(drop)
}

/// The calling thread's id.
pub(crate) fn gettid() -> Tid {
    Tid(call!(libc::SYS_gettid).unwrap_or(0) as i32)
}

/// The calling process's id.
pub(crate) fn getpid() -> i32 {
    call!(libc::SYS_getpid).unwrap_or(0) as i32
}

/// Whether `tid` is a thread of the process `pid`: signal 0 is only asked about, never sent.
pub(crate) fn is_thread_of(pid: i32, tid: Tid) -> bool {
    call!(libc::SYS_tgkill, pid, tid.0, 0).is_ok()
}

/// Names the calling thread; the kernel keeps 15 bytes.
pub(crate) fn set_comm(name: &[u8]) {
    let mut comm = [0u8; 16];
    for (to, from) in comm.iter_mut().take(15).zip(name) {
        *to = *from;
    }
    let _ = call!(libc::SYS_prctl, libc::PR_SET_NAME, comm.as_ptr(), 0, 0, 0);
}

/// Nanoseconds of CLOCK_MONOTONIC at the last tick: enough for ages in tenths of a second.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live timespec. Through libc, which has the vDSO: no system call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// Lets others run.
pub(crate) fn yield_cpu() {
    let _ = call!(libc::SYS_sched_yield);
}

/// Sleeps without being a cancellation point.
pub(crate) fn sleep_us(us: i64) {
    let pause = libc::timespec { tv_sec: us / 1_000_000, tv_nsec: us % 1_000_000 * 1000 };
    let _ = call!(libc::SYS_nanosleep, &raw const pause, 0);
}

/// Copies from an address of this process that may not be there, up to what is readable.
pub(crate) fn read_own_memory(pid: i32, address: usize, into: &mut [u8]) -> Result<&[u8], Errno> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: into.len() };
    // process_vm_readv(2): EFAULT in place of a fault, and QEMU's sandbox allows it.
    let got = call!(libc::SYS_process_vm_readv, pid, &raw const local, 1, &raw const remote, 1, 0)?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// Opens a file or folder for reading.
pub(crate) fn open(path: &std::ffi::CStr, flags: c_int) -> Result<c_int, Errno> {
    open_at(libc::AT_FDCWD, path, flags)
}

/// The same, below an open folder.
pub(crate) fn open_at(folder: c_int, path: &std::ffi::CStr, flags: c_int) -> Result<c_int, Errno> {
    call!(libc::SYS_openat, folder, path.as_ptr(), flags | libc::O_CLOEXEC, 0).map(|fd| fd as c_int)
}

/// Reads once.
pub(crate) fn read(fd: c_int, into: &mut [u8]) -> Result<&[u8], Errno> {
    let got = call!(libc::SYS_read, fd, into.as_mut_ptr(), into.len())?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// Where a symbolic link leads.
pub(crate) fn read_link_at<'a>(
    folder: c_int,
    path: &std::ffi::CStr,
    into: &'a mut [u8],
) -> Result<&'a [u8], Errno> {
    let got = call!(libc::SYS_readlinkat, folder, path.as_ptr(), into.as_mut_ptr(), into.len())?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// The next entries of an open folder (getdents64(2)'s raw records); empty at the end.
pub(crate) fn folder_entries(fd: c_int, into: &mut [u8]) -> Result<&[u8], Errno> {
    let got = call!(libc::SYS_getdents64, fd, into.as_mut_ptr(), into.len())?;
    Ok(into.get(..got as usize).unwrap_or_default())
}

/// Closes a descriptor.
pub(crate) fn close(fd: c_int) {
    let _ = call!(libc::SYS_close, fd);
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: c_uint, last: c_uint) {
    if call!(libc::SYS_close_range, first, last, 0).is_ok() {
        return;
    }
    // Before Linux 5.9.
    for fd in first..=last.min(65_535) {
        close(fd as c_int);
    }
}

/// A copy of `fd` at `floor` or above, closed by exec: out of the way of the numbers people use.
pub(crate) fn move_fd(fd: c_int, floor: c_int) -> c_int {
    match call!(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, floor) {
        Ok(moved) => {
            close(fd);
            moved as c_int
        }
        // RLIMIT_NOFILE is below the floor: any number will do.
        Err(_) => fd,
    }
}

/// Writes once. A full pipe is not waited for, a closed one raises no SIGPIPE; what cannot be written
/// is lost.
pub(crate) fn write_or_drop(fd: c_int, bytes: &[u8]) {
    let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = call!(libc::SYS_ppoll, &raw mut poll, 1, &raw const now, 0, 0);
    if !matches!(ready, Ok(1)) || poll.revents & libc::POLLOUT == 0 {
        return;
    }
    let sigpipe: u64 = 1 << (libc::SIGPIPE - 1);
    let mut before: u64 = 0;
    let mut pending: u64 = 0;
    let _ = call!(libc::SYS_rt_sigpending, &raw mut pending, 8);
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const sigpipe, &raw mut before, 8);
    let written = call!(libc::SYS_write, fd, bytes.as_ptr(), bytes.len());
    if written == Err(Errno(libc::EPIPE)) && pending & sigpipe == 0 {
        // Ours: take it back before the mask is opened again.
        let _ = call!(libc::SYS_rt_sigtimedwait, &raw const sigpipe, 0, &raw const now, 8);
    }
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const before, 0, 8);
}

/// Waits until `word` is no longer `value`, and gives what it is then; `None` if `end` comes first. Works
/// across processes.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, end: Instant) -> Option<u32> {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != value {
            return Some(now);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let limit = libc::timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        let _ = call!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const limit, 0, 0);
    }
}

/// Wakes whoever waits for `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let _ = call!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0);
}

/// Waits until `fd` can be read, or (unless it is negative) for `ms` milliseconds; true if it can.
pub(crate) fn wait_readable(fd: c_int, ms: i64) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let limit = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let limit = if ms < 0 { std::ptr::null() } else { &raw const limit };
    matches!(call!(libc::SYS_ppoll, &raw mut poll, 1, limit, 0, 0), Ok(1))
}

/// Two connected sockets that keep messages apart, closed by exec.
pub(crate) fn socket_pair() -> Result<(c_int, c_int), Errno> {
    let mut pair = [-1 as c_int; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    call!(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr())?;
    let [one, other] = pair;
    Ok((one, other))
}

/// Has the kernel add the sender's pid, uid and gid to each message (unix(7), SO_PASSCRED).
pub(crate) fn receive_credentials(socket: c_int) -> Result<(), Errno> {
    let yes: c_int = 1;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PASSCRED);
    call!(libc::SYS_setsockopt, socket, level, option, &raw const yes, size_of::<c_int>()).map(drop)
}

/// Sends a message without waiting and without SIGPIPE.
pub(crate) fn send(socket: c_int, bytes: &[u8]) -> Result<(), Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    call!(libc::SYS_sendto, socket, bytes.as_ptr(), bytes.len(), flags, 0, 0).map(drop)
}

/// Who sent a message, as the kernel says.
pub(crate) struct Credentials {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A message of exactly `N` bytes; or what came in its place.
pub(crate) enum Received<const N: usize> {
    Message {
        bytes: [u8; N],
        sender: Credentials,
    },
    /// Of another length, or without credentials.
    Nonsense,
    /// Every holder of the other end has closed it.
    End,
}

/// Receives one message without waiting. Descriptors that come with it are closed by the kernel: there is no
/// room for them in the control data.
pub(crate) fn receive<const N: usize>(socket: c_int) -> Result<Received<N>, Errno> {
    /// A cmsghdr and its ucred, as cmsg(3) lays them out.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        credentials: libc::ucred,
        padding: u32,
    }
    // SAFETY: integers all of them; zero is a value.
    let mut control: Control = unsafe { std::mem::zeroed() };
    let mut bytes = [0u8; N];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: N };
    // SAFETY: integers and pointers; zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    let got = call!(libc::SYS_recvmsg, socket, &raw mut header, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC)?;
    let has_sender = header.msg_controllen as usize >= size_of::<libc::cmsghdr>() + size_of::<libc::ucred>()
        && control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_CREDENTIALS;
    if got == 0 && !has_sender {
        return Ok(Received::End);
    }
    if got as usize != N || !has_sender || header.msg_flags & libc::MSG_TRUNC != 0 {
        return Ok(Received::Nonsense);
    }
    let libc::ucred { pid, uid, gid } = control.credentials;
    Ok(Received::Message { bytes, sender: Credentials { pid, uid, gid } })
}

/// Blocks every signal for the calling thread; what was blocked before.
pub(crate) fn block_all_signals() -> u64 {
    let (all, mut before) = (u64::MAX, 0u64);
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const all, &raw mut before, 8);
    before
}

/// Puts back what [`block_all_signals`] returned.
pub(crate) fn restore_signals(before: u64) {
    let _ = call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const before, 0, 8);
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

/// Ends the process without running anything else.
pub(crate) fn exit(status: c_int) -> ! {
    loop {
        let _ = call!(libc::SYS_exit_group, status);
    }
}

/// Gives up every capability but these (bits of capabilities(7)); as an ordinary user there is none to give up.
pub(crate) fn keep_capabilities(kept: u32) {
    /// linux/capability.h: _LINUX_CAPABILITY_VERSION_3, which has two words of each set.
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    // Effective, permitted, inheritable; first the lower words, then the upper.
    let mut now = [0u32; 6];
    if call!(libc::SYS_capget, header.as_ptr(), now.as_mut_ptr()).is_ok() {
        let [effective, permitted, ..] = now;
        let sets = [effective & kept, permitted & kept, 0, 0, 0, 0];
        let _ = call!(libc::SYS_capset, header.as_ptr(), sets.as_ptr());
    }
}

/// From now on no process of the same user may trace this one or read and write its memory (prctl(2),
/// PR_SET_DUMPABLE).
pub(crate) fn set_not_dumpable() {
    let _ = call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/// Filters the system calls of this process, and of what it would execute, for good.
pub(crate) fn filter_system_calls(program: &[libc::sock_filter]) -> Result<(), Errno> {
    call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program).map(drop)
}

/// The effective user.
pub(crate) fn geteuid() -> u32 {
    call!(libc::SYS_geteuid).unwrap_or(0) as u32
}

/// From root to a user, for good: without PR_SET_KEEPCAPS every capability goes too (capabilities(7)).
pub(crate) fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    call!(libc::SYS_setgroups, 0, 0)?;
    call!(libc::SYS_setresgid, gid, gid, gid)?;
    call!(libc::SYS_setresuid, uid, uid, uid)?;
    // A change of user makes a process as dumpable as fs.suid_dumpable says (proc_sys_fs(5)).
    set_not_dumpable();
    Ok(())
}

/// Has the io_uring workers of the calling thread run on a mask from now on.
pub(crate) fn set_io_uring_workers(ring: c_int, words: &[u64]) -> Result<(), Errno> {
    /// linux/io_uring.h.
    const IORING_REGISTER_IOWQ_AFF: c_int = 17;
    let bytes = size_of_val(words);
    call!(libc::SYS_io_uring_register, ring, IORING_REGISTER_IOWQ_AFF, words.as_ptr(), bytes).map(drop)
}
