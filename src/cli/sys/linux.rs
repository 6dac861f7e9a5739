//! The kernel that this command runs on.
//!
//! glibc's own functions for affinities stop at 1024 CPUs, so the system calls are made directly.

use crate::sys::kernel::Kernel;
use pinning::{Class, CpuSet, MASK_WORDS, SchedAttributes, Tid};
use signal_hook::flag;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The real kernel.
#[derive(Debug)]
pub(crate) struct Linux {
    started: Instant,
}

impl Linux {
    /// The kernel, with the clock at zero.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Kernel for Linux {
    fn locate(&self, file: &Path) -> io::Result<PathBuf> {
        Ok(file.to_owned())
    }

    fn hold(&self, link: &Path) -> io::Result<File> {
        File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(link)
    }

    fn hold_below(&self, root: &Path, path: &Path) -> io::Result<File> {
        hold_below(root, path)
    }

    fn affinity(&self, tid: Tid) -> io::Result<CpuSet> {
        let mut words = [0u64; MASK_WORDS];
        // SAFETY: the pointer and length are those of a live array, which the kernel fills.
        let bytes = unsafe {
            libc::syscall(libc::SYS_sched_getaffinity, tid.0, size_of_val(&words), words.as_mut_ptr())
        };
        if bytes < 0 { Err(io::Error::last_os_error()) } else { Ok(CpuSet::from_words(&words)) }
    }

    fn set_affinity(&self, tid: Tid, words: &[u64]) -> io::Result<()> {
        // SAFETY: the pointer and length are those of a live slice, which the kernel only reads.
        let result =
            unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid.0, size_of_val(words), words.as_ptr()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn core_cookie(&self, tid: Tid) -> io::Result<u64> {
        let mut cookie = 0u64;
        let of_thread = libc::PR_SCHED_CORE_SCOPE_THREAD;
        // SAFETY: the last argument is the address of a live number, which the kernel fills; the others are numbers.
        let result = unsafe {
            libc::prctl(libc::PR_SCHED_CORE, libc::PR_SCHED_CORE_GET, tid.0, of_thread, &raw mut cookie)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
    }

    fn class(&self, tid: Tid) -> io::Result<Option<Class>> {
        let mut attributes = SchedAttributes::default();
        let size = SchedAttributes::SIZE;
        // SAFETY: a struct of this size, which the kernel fills.
        let result = unsafe { libc::syscall(libc::SYS_sched_getattr, tid.0, &raw mut attributes, size, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(attributes.class()) }
    }

    fn set_class(&self, tid: Tid, class: Class) -> io::Result<()> {
        let attributes = SchedAttributes::new(class, true);
        // SAFETY: a struct of the size that it says, which the kernel only reads.
        let result = unsafe { libc::syscall(libc::SYS_sched_setattr, tid.0, &raw const attributes, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn pidfd(&self, pid: i32) -> io::Result<File> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: a descriptor that was made just now and that nobody else owns.
        Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// A pidfd can be read from once its process has ended (pidfd_open(2)).
    fn has_ended(&self, pidfd: &File) -> bool {
        let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one struct that lives across the call, with a descriptor that `pidfd` keeps open.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        // Whatever else this could be, it is not known that the process goes on.
        ready != 0
    }

    /// Signal 0 is only asked about, never sent (tgkill(2), kill(2)).
    fn signal(&self, pidfd: &File, signal: i32) -> io::Result<()> {
        let no_details = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: `pidfd` keeps its descriptor open across the call; a null pointer asks for the details of kill(2).
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_details, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn has_thread(&self, pid: i32, tid: Tid) -> bool {
        // SAFETY: takes no pointer; signal 0 has no effect.
        let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid.0, 0) };
        result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
    }

    fn user(&self) -> u32 {
        // SAFETY: takes no pointer and cannot fail.
        unsafe { libc::geteuid() }
    }

    fn ticks_per_second(&self) -> u64 {
        // SAFETY: takes no pointer; an unknown name is answered with -1.
        u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn interruption(&self) -> io::Result<Arc<AtomicBool>> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // In this order: the first one finds the flag unset.
            flag::register_conditional_default(signal, Arc::clone(&flag))?;
            flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(flag)
    }

    fn try_lock(&self, file: &File) -> io::Result<bool> {
        try_lock(file)
    }

    fn write_lock_holder(&self, file: &File) -> io::Result<Option<i32>> {
        // SAFETY: the struct has only integers, for which zero is a value.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        // Asks about a lock for reading: only one for writing would be in its way.
        lock.l_type = libc::F_RDLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_len = 1;
        // SAFETY: an open descriptor that `file` keeps open across the call, and a struct that lives across it.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((lock.l_type != libc::F_UNLCK as libc::c_short).then_some(lock.l_pid))
    }
}

/// See [`Kernel::try_lock`].
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: takes no pointer; `file` keeps the descriptor open.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

/// Keeps a file open across execve(2), in the program that takes this process's place.
pub(crate) fn keep_open(file: &File) -> io::Result<()> {
    // SAFETY: takes no pointer; `file` keeps the descriptor open.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes hold of a path below a root: [`Kernel::hold_below`].
pub(crate) fn hold_below(root: &Path, path: &Path) -> io::Result<File> {
    let folder = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let root = File::options().read(true).custom_flags(folder).open(root)?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the struct has only integers, for which zero is a value; libc lets nobody name all its fields.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: a descriptor that `root` keeps open, a C string and a struct of this size that live across the
    // call, which only reads them.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &raw const how, size_of_val(&how))
    };
    match i32::try_from(fd).ok().filter(|fd| *fd >= 0) {
        // SAFETY: a descriptor that was made just now and that nobody else owns.
        Some(fd) => Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) })),
        None => Err(io::Error::last_os_error()),
    }
}

/// Whether nobody can change the size of a file any more: it is a memfd that is sealed so (fcntl(2),
/// F_GET_SEALS).
pub(crate) fn size_is_sealed(file: &File) -> bool {
    // SAFETY: an open descriptor that `file` keeps open across the call, and a request without an argument.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    let size = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    seals >= 0 && seals & size == size
}

/// The seals that the library gives to its status page.
#[cfg(test)]
pub(crate) const SIZE_SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;

/// A memfd with this name, content and seals.
#[cfg(test)]
pub(crate) fn memfd(name: &str, content: &[u8], seals: i32) -> File {
    use std::io::Write;

    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: a C string that lives across the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a descriptor that was made just now and that nobody else owns.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(content).unwrap();
    // SAFETY: an open descriptor and an integer.
    let sealed = unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) };
    assert_eq!(sealed, 0, "{}", io::Error::last_os_error());
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinning::ClassKind;

    #[test]
    fn a_thread_of_another_process_is_not_ours() {
        let own = i32::try_from(std::process::id()).unwrap();
        let kernel = Linux::new();
        assert!(kernel.has_thread(own, Tid(own)));
        assert!(!kernel.has_thread(own, Tid(1)));
    }

    #[test]
    fn a_thread_that_does_not_exist_is_an_error() {
        let kernel = Linux::new();
        let none = Tid(i32::MAX);
        assert_eq!(kernel.affinity(none).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(kernel.set_affinity(none, &[1]).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(kernel.class(none).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(kernel.set_class(none, Class::USUAL).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_class_that_was_given_is_the_one_that_is_read() {
        let batch = Class { kind: ClassKind::Batch, value: Some(4), slice_us: 0 };
        let now = std::thread::spawn(move || {
            Linux::new().set_class(Tid(0), batch).unwrap();
            Linux::new().class(Tid(0)).unwrap().unwrap()
        });
        assert!(batch.is_met_by(now.join().unwrap()));
    }

    /// Has a child lock the first byte of a file, and asks who holds the lock meanwhile. The child's id comes
    /// first.
    fn holder_under_a_lock(file: &File, kind: i32) -> (i32, Option<i32>) {
        // SAFETY: the struct has only integers, for which zero is a value.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_len = 1;
        let mut pipe = [0; 2];
        // SAFETY: an array of two, which lives across the call.
        assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        // SAFETY: the child makes only system calls, with what was made before the fork, until its end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: an open descriptor and a struct of the child's own copy.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const lock) };
            // SAFETY: an open descriptor, and one byte that lives across the call.
            unsafe { libc::write(pipe[1], c"x".as_ptr().cast(), 1) };
            // SAFETY: takes no pointer; its parent ends it.
            unsafe { libc::pause() };
            // SAFETY: takes no pointer.
            unsafe { libc::_exit(0) };
        }
        assert!(child > 0);
        let mut byte = 0u8;
        // SAFETY: an open descriptor, and one byte that lives across the call.
        assert_eq!(unsafe { libc::read(pipe[0], (&raw mut byte).cast(), 1) }, 1);
        let holder = Linux::new().write_lock_holder(file).unwrap();
        // SAFETY: takes no pointer; the process is the child, which nobody has waited for.
        unsafe { libc::kill(child, libc::SIGKILL) };
        // SAFETY: the status is not wanted.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        for end in pipe {
            // SAFETY: an open descriptor of this function's own.
            unsafe { libc::close(end) };
        }
        (child, holder)
    }

    #[test]
    fn the_process_that_holds_a_lock_for_writing_is_named() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Linux::new().write_lock_holder(&file).unwrap(), None);
        let (child, holder) = holder_under_a_lock(&file, libc::F_WRLCK);
        assert_eq!(holder, Some(child));
        // It ends with its process.
        assert_eq!(Linux::new().write_lock_holder(&file).unwrap(), None);
        // Whoever may read a file can take a lock for reading, which says nothing.
        assert_eq!(holder_under_a_lock(&file, libc::F_RDLCK).1, None);
    }

    #[test]
    fn no_link_leads_out_of_a_root_and_none_at_the_end_is_followed() {
        use std::os::unix::fs::{MetadataExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/hosts"), "").unwrap();
        std::fs::write(folder.path().join("outside"), "").unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../outside", root.join("up")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("hosts", root.join("etc/link")).unwrap();
        let held = |path: &str| hold_below(&root, Path::new(path)).map(|file| file.metadata().unwrap());
        let inode = std::fs::metadata(root.join("etc/hosts")).unwrap().ino();
        for path in ["etc/hosts", "/etc/hosts", "../../etc/hosts", "absolute/hosts"] {
            assert_eq!(held(path).unwrap().ino(), inode, "{path}");
        }
        assert!(held("etc/link").unwrap().is_symlink() && held("up").unwrap().is_symlink());
        for path in ["magic/etc/hosts", "../outside", "/nonexistent", ""] {
            assert_eq!(held(path).map(|_| ()).unwrap_err().kind(), io::ErrorKind::NotFound, "{path}");
        }
    }

    #[test]
    fn a_regular_file_is_not_sealed() {
        assert!(!size_is_sealed(&tempfile::tempfile().unwrap()));
    }
}
