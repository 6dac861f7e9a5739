//! A process that a test started: with what, how it ended, and what it said.
//!
//! It is killed when the value is dropped, by its own handle and so never after it was reaped.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::time_limit;
use crate::user::Uid;
use crate::{ChildCpuset, library, or_skip};

/// What is done in the child between fork and exec: system calls only.
type BeforeExec = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

/// A program to run, with nothing of the `PIN_*` and `LD_PRELOAD` of whoever runs the tests.
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    preload: Vec<PathBuf>,
    before_exec: Vec<BeforeExec>,
    user: Option<Uid>,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Program {
    /// The program at `path`, or found by its name in `PATH`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            preload: Vec::new(),
            before_exec: Vec::new(),
            user: None,
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Appends the library under test to `LD_PRELOAD`.
    pub fn with_library(self) -> Self {
        let library = library();
        self.preload(library)
    }

    /// Appends a library to `LD_PRELOAD`.
    pub fn preload(mut self, library: impl AsRef<Path>) -> Self {
        self.preload.push(library.as_ref().to_owned());
        self
    }

    /// Runs it as another user. Needs root.
    pub fn user(mut self, user: Uid) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts it with this affinity, as an outer `taskset` would.
    pub fn affinity(self, cpus: &[usize]) -> Self {
        let mask = crate::cpus::mask(cpus);
        self.before_exec(move || {
            // SAFETY: the pointer and length are those of a live slice, which the kernel only reads.
            let result = unsafe {
                libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&mask[..]), mask.as_ptr())
            };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        })
    }

    /// Starts it inside a cpuset.
    pub fn cpuset(self, cpuset: &ChildCpuset) -> Self {
        let tasks =
            File::options().write(true).open(cpuset.procs()).expect("open the cpuset's list of tasks");
        self.before_exec(move || {
            // SAFETY: the descriptor is open and the buffer is a byte literal; "0" is the writer itself.
            let written = unsafe { libc::write(tasks.as_raw_fd(), b"0".as_ptr().cast(), 1) };
            if written == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
        })
    }

    /// Sets a resource limit, soft and hard.
    pub fn limit(self, resource: libc::__rlimit_resource_t, value: u64) -> Self {
        self.before_exec(move || {
            let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
            // SAFETY: `limit` lives across the call.
            if unsafe { libc::setrlimit(resource, &limit) } == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        })
    }

    /// Adds something to be done in the child before exec. Only system calls may be made there:
    /// the test runner has other threads, whose locks are held for ever in the child.
    pub fn before_exec(mut self, action: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.before_exec.push(Box::new(action));
        self
    }

    /// Gives it this standard output; [`Finished::stdout`] is then empty.
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.stdout = Some(to.into());
        self
    }

    /// Gives it this standard error; [`Finished::stderr`] is then empty.
    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.stderr = Some(to.into());
        self
    }

    /// Starts it. Panics where that fails, since a test has nothing left to do then.
    pub fn start(self) -> Process {
        self.try_start().expect("start the program")
    }

    /// Starts it, or says why the kernel would not.
    pub fn try_start(self) -> io::Result<Process> {
        let stdout = tempfile::tempfile()?;
        let stderr = tempfile::tempfile()?;
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PIN_") || name.starts_with("LD_") {
                command.env_remove(&*name);
            }
        }
        if !self.preload.is_empty() {
            let list: Vec<_> = self.preload.iter().map(|p| p.to_str().expect("a printable path")).collect();
            command.env("LD_PRELOAD", list.join(":"));
        }
        command.args(&self.args).envs(&self.env).stdin(self.stdin);
        command.stdout(match self.stdout {
            Some(to) => to,
            None => stdout.try_clone()?.into(),
        });
        command.stderr(match self.stderr {
            Some(to) => to,
            None => stderr.try_clone()?.into(),
        });
        let mut actions = self.before_exec;
        let user = self.user;
        let before = move || {
            for action in &mut actions {
                action()?;
            }
            if let Some(user) = user {
                user.become_it()?;
            }
            // What it leaves beside itself is found by its session.
            // SAFETY: takes no pointer.
            unsafe { libc::setsid() };
            // The test runner may be killed itself. A change of user clears this, so it comes last.
            // SAFETY: takes no pointer.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(())
        };
        // SAFETY: `before` makes system calls only, as `before_exec` asks of every action.
        unsafe { command.pre_exec(before) };
        let child = command.spawn()?;
        let handle = Handle::new(child);
        time_limit::watch(handle.clone());
        Ok(Process { handle, stdout, stderr })
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// The same. `None`, after saying so, where there is no such program.
    pub fn run_or_skip(self) -> Option<Finished> {
        self.start_or_skip().map(Process::wait)
    }

    /// Starts it. `None`, after saying so, where there is no such program.
    pub fn start_or_skip(self) -> Option<Process> {
        let name = self.path.display().to_string();
        or_skip(self.try_start().map_err(|error| format!("{name}: {error}")))
    }
}

/// A child that the test and its time limit may both kill. The lock keeps either from killing it after it was
/// reaped, when its pid may be another process's.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    child: Arc<Mutex<Child>>,
    pid: u32,
}

impl Handle {
    fn new(child: Child) -> Self {
        let pid = child.id();
        Self { child: Arc::new(Mutex::new(child)), pid }
    }

    pub(crate) fn kill(&self) {
        // Child::kill does nothing once the child has been reaped.
        let _ = self.child.lock().unwrap().kill();
    }

    fn try_wait(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().expect("wait for a child")
    }

    fn wait(&self) -> ExitStatus {
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A running process. Going out of scope kills it.
#[derive(Debug)]
pub struct Process {
    handle: Handle,
    stdout: File,
    stderr: File,
}

impl Process {
    /// Its process id, which is kept from being used again until the process was waited for.
    pub fn pid(&self) -> u32 {
        self.handle.pid
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.handle.try_wait()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: i32) {
        let mut child = self.handle.child.lock().unwrap();
        if child.try_wait().expect("wait for a child").is_none() {
            // SAFETY: takes no pointer. The child is not reaped, so the pid is still its own.
            unsafe { libc::kill(self.handle.pid as i32, signal) };
        }
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) {
        self.handle.kill();
        self.handle.wait();
    }

    /// Waits for its end.
    pub fn wait(self) -> Finished {
        let status = self.handle.wait();
        Finished { status, stdout: read_all(&self.stdout), stderr: read_all(&self.stderr) }
    }

    /// What it has written to its standard error so far.
    pub fn stderr(&self) -> String {
        read_all(&self.stderr)
    }

    /// What it has written to its standard output so far.
    pub fn stdout(&self) -> String {
        read_all(&self.stdout)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("process {} of the failed test: {:?}", self.pid(), self.ended());
            eprint!("{}", self.stderr());
        }
        self.kill();
    }
}

/// The file's text from its beginning. The offset is shared with the child, which appends at it:
/// so it is read by position.
fn read_all(file: &File) -> String {
    use std::os::unix::fs::FileExt;
    let length = file.metadata().expect("size of an output file").len();
    let mut bytes = vec![0; length as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) => panic!("read an output file: {e}"),
        }
    }
    bytes.truncate(done);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All it wrote to its standard output.
    pub stdout: String,
    /// All it wrote to its standard error.
    pub stderr: String,
}

impl Finished {
    /// Its exit status, or minus the signal that ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap_or(0))
    }

    /// Fails the test if it wrote anything to its standard error.
    #[track_caller]
    pub fn assert_stderr_empty(&self) -> &Self {
        assert!(self.stderr.is_empty(), "it has said something: {self:?}");
        self
    }

    /// Fails the test unless it exited with 0 and wrote nothing to its standard error.
    #[track_caller]
    pub fn assert_clean(&self) -> &Self {
        assert!(self.status.success() && self.stderr.is_empty(), "not a clean end: {self:?}");
        self
    }
}
