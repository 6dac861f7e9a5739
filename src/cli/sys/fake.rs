//! A kernel for tests: a tree of /proc, /sys and /etc in a folder of its own, a clock that moves only when
//! somebody sleeps, and a list of the affinities that it was asked for.
//!
//! Processes and threads are described with [`FakeKernel::process`]; what happens to them later is planned
//! with [`FakeKernel::at`]. The status page of a process is a real sealed memfd.

use crate::sys::fake_perf::FakePerf;
use crate::sys::kernel::Kernel;
use crate::sys::linux::{SIZE_SEALS, hold_below, memfd, try_lock};
use pinning::status_page::{Entry, Header, NO_INDEX, NewPage, State};
use pinning::{Class, CpuSet, Host, Policy, Role, Tid};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;

/// The user that the command acts as, and whose processes are.
const USER: u32 = 1000;

/// The descriptor of a status page.
const PAGE_FD: u32 = 200;

pub(crate) struct FakeKernel {
    tree: TempDir,
    state: RefCell<FakeState>,
    /// What records what its scheduler does.
    pub(crate) perf: FakePerf,
}

struct FakeState {
    user: u32,
    now: Duration,
    threads: BTreeMap<Tid, FakeThread>,
    pages: HashMap<i32, FakePage>,
    /// What descriptors stand for, by their paths.
    open_files: HashMap<PathBuf, File>,
    /// Files that this user may not look at.
    denied: Vec<PathBuf>,
    asked: Vec<String>,
    plan: Vec<(Duration, Change)>,
    /// The affinity of the calling thread.
    own: CpuSet,
    /// How many processes there were: it numbers them.
    processes: u64,
    /// The number of the process that has an id now.
    numbers: HashMap<i32, u64>,
    has_pidfds: bool,
    has_openat2: bool,
    /// Files that take this long to read.
    slow: Vec<(PathBuf, Duration)>,
    located: usize,
    /// What happens in the moment before the next affinity is asked for.
    before_request: Option<Change>,
    /// What happens in the moment before the next affinity is read.
    before_reading: Option<Change>,
    on_signal: Option<Change>,
    /// Who holds a lock for writing on which file, by its number.
    locks: HashMap<u64, i32>,
}

type Change = Box<dyn FnOnce(&FakeKernel)>;

/// A thread, as its files in /proc show it.
#[derive(Debug, Clone)]
pub(crate) struct FakeThread {
    pid: i32,
    comm: String,
    user: u32,
    /// The process that started its process.
    pub(crate) parent: i32,
    pub(crate) is_stopped: bool,
    pub(crate) is_asleep: bool,
    pub(crate) inner: i32,
    pub(crate) allowed: CpuSet,
    pub(crate) last_cpu: u32,
    pub(crate) class: Class,
    /// The error that a request for another class gets.
    pub(crate) class_refusal: Option<i32>,
    /// Clock ticks since boot, 100 a second.
    pub(crate) started: u64,
    /// Clock ticks, 100 a second.
    pub(crate) cpu_time: u64,
    pub(crate) switches: u64,
    pub(crate) migrations: Option<u64>,
    /// Nanoseconds that it ran and waited, and how often it got a CPU.
    pub(crate) schedstat: Option<(u64, u64, u64)>,
    /// `None`: this user may not ask for it.
    pub(crate) core_cookie: Option<u64>,
    /// The kernel's flags of it (PF_… in include/linux/sched.h).
    pub(crate) flags: u64,
    /// What its cpuset leaves it; `None`: everything.
    pub(crate) cpuset: Option<CpuSet>,
    /// The error that a request for another affinity gets.
    pub(crate) refusal: Option<i32>,
    /// Where somebody else moves it right after a request, one after the other.
    pub(crate) moved_again: Vec<CpuSet>,
}

/// The status page of a process.
struct FakePage {
    file: File,
    policy: Policy,
    entries_at: usize,
    /// The threads in the order of their entries.
    listed: Vec<Tid>,
}

/// A set from its cpulist.
pub(crate) fn cpus(list: &str) -> CpuSet {
    CpuSet::parse(list, &CpuSet::new()).unwrap()
}

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl FakeKernel {
    /// A host with CPUs 0 to 3 and no process.
    pub(crate) fn new() -> Self {
        let state = FakeState {
            user: USER,
            now: Duration::ZERO,
            threads: BTreeMap::new(),
            pages: HashMap::new(),
            open_files: HashMap::new(),
            denied: Vec::new(),
            asked: Vec::new(),
            plan: Vec::new(),
            own: cpus("0-3"),
            processes: 0,
            numbers: HashMap::new(),
            has_pidfds: true,
            has_openat2: true,
            slow: Vec::new(),
            located: 0,
            before_request: None,
            before_reading: None,
            on_signal: None,
            locks: HashMap::new(),
        };
        // In memory, where that can be had: thousands of files take long on a disk.
        let tree = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let kernel = Self { tree, state: RefCell::new(state), perf: FakePerf::default() };
        kernel.write("/proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        kernel.write("/sys/devices/system/cpu/online", "0-3\n");
        fs::create_dir(kernel.path("/proc/self/ns")).unwrap();
        symlink("pid:[4026531836]", kernel.path("/proc/self/ns/pid")).unwrap();
        kernel
            .write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n");
        kernel
    }

    /// Acts as another user.
    pub(crate) fn act_as(&self, user: u32) {
        self.state.borrow_mut().user = user;
    }

    /// Acts as the user who owns the tree: its files then count as root's.
    pub(crate) fn act_as_owner(&self) {
        self.act_as(fs::metadata(self.tree.path()).unwrap().uid());
    }

    /// Has a process hold a lock for writing on a file.
    pub(crate) fn lock(&self, file: impl AsRef<Path>, pid: i32) {
        let number = fs::metadata(self.path(file)).unwrap().ino();
        self.state.borrow_mut().locks.insert(number, pid);
    }

    /// Ends the lock on a file.
    pub(crate) fn unlock(&self, file: impl AsRef<Path>) {
        let number = fs::metadata(self.path(file)).unwrap().ino();
        self.state.borrow_mut().locks.remove(&number);
    }

    /// Adds a process with these arguments, of which the first is also the path of its executable.
    pub(crate) fn process(&self, pid: i32, arguments: &[&str]) -> FakeProcess<'_> {
        {
            let mut state = self.state.borrow_mut();
            state.processes += 1;
            let number = state.processes;
            state.numbers.insert(pid, number);
        }
        let process = FakeProcess { kernel: self, pid };
        let text: String = arguments.iter().map(|argument| format!("{argument}\0")).collect();
        process.write("cmdline", text).write("environ", "").write("maps", "").write("auxv", "");
        fs::create_dir_all(self.path(process.file("task"))).unwrap();
        fs::create_dir_all(self.path(process.file("fd"))).unwrap();
        process.executable(arguments.first().unwrap())
    }

    /// A process that was added before.
    pub(crate) fn existing(&self, pid: i32) -> FakeProcess<'_> {
        FakeProcess { kernel: self, pid }
    }

    /// Removes a process.
    pub(crate) fn end_process(&self, pid: i32) {
        fs::remove_dir_all(self.path(format!("/proc/{pid}"))).unwrap();
        let mut state = self.state.borrow_mut();
        state.threads.retain(|_, thread| thread.pid != pid);
        state.numbers.remove(&pid);
    }

    /// Removes a thread, and its entry in the register.
    pub(crate) fn end(&self, tid: i32) {
        let pid = self.state.borrow().threads[&Tid(tid)].pid;
        fs::remove_dir_all(self.path(format!("/proc/{pid}/task/{tid}"))).unwrap();
        let mut state = self.state.borrow_mut();
        state.threads.remove(&Tid(tid));
        if let Some(page) = state.pages.get(&pid) {
            page.write_entry(Tid(tid), offset_of!(Entry, tid), &0i32.to_ne_bytes());
        }
    }

    /// Changes a thread.
    pub(crate) fn change(&self, tid: i32, change: impl FnOnce(&mut FakeThread)) {
        let thread = {
            let mut state = self.state.borrow_mut();
            let thread = state.threads.get_mut(&Tid(tid)).unwrap();
            change(thread);
            thread.clone()
        };
        self.write_thread(Tid(tid), &thread);
    }

    /// Has somebody else move a thread.
    pub(crate) fn move_to(&self, tid: i32, set: &str) {
        self.change(tid, |thread| thread.allowed = cpus(set));
    }

    /// Plans a change for a time of the clock, which begins at 0.
    pub(crate) fn at(&self, time: Duration, change: impl FnOnce(&FakeKernel) + 'static) {
        self.state.borrow_mut().plan.push((time, Box::new(change)));
    }

    /// Is a kernel before Linux 5.3.
    pub(crate) fn without_pidfds(&self) {
        self.state.borrow_mut().has_pidfds = false;
    }

    /// Has a file take this long to read.
    pub(crate) fn slow(&self, file: impl Into<PathBuf>, time: Duration) {
        self.state.borrow_mut().slow.push((file.into(), time));
    }

    /// How many files were asked for so far.
    pub(crate) fn located(&self) -> usize {
        self.state.borrow().located
    }

    /// Is a kernel before Linux 5.6.
    pub(crate) fn without_openat2(&self) {
        self.state.borrow_mut().has_openat2 = false;
    }

    /// Plans a change for the moment before the next request for an affinity.
    pub(crate) fn before_request(&self, change: impl FnOnce(&FakeKernel) + 'static) {
        self.state.borrow_mut().before_request = Some(Box::new(change));
    }

    /// Plans a change for the moment before an affinity is read next.
    pub(crate) fn before_reading(&self, change: impl FnOnce(&FakeKernel) + 'static) {
        self.state.borrow_mut().before_reading = Some(Box::new(change));
    }

    /// Plans a change for the moment after a signal is sent next.
    pub(crate) fn on_signal(&self, change: impl FnOnce(&FakeKernel) + 'static) {
        self.state.borrow_mut().on_signal = Some(Box::new(change));
    }

    /// The affinities and classes that were asked for since this was called last, as `TID on SET` and `TID as CLASS`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.borrow_mut().asked)
    }

    /// Where a thread may run.
    pub(crate) fn allowed(&self, tid: i32) -> String {
        self.state.borrow().threads[&Tid(tid)].allowed.to_string()
    }

    /// Hides a file or folder from this user.
    pub(crate) fn deny(&self, file: impl Into<PathBuf>) {
        self.state.borrow_mut().denied.push(file.into());
    }

    /// Writes a file of the tree.
    pub(crate) fn write(&self, file: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Where a file of the tree really is.
    pub(crate) fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.tree.path().join(file.as_ref().strip_prefix("/").unwrap())
    }

    fn write_thread(&self, tid: Tid, thread: &FakeThread) {
        let folder = format!("/proc/{}/task/{tid}", thread.pid);
        let status = format!(
            "Name:\t{comm}\nState:\tR (running)\nUid:\t{user}\t{user}\t{user}\t{user}\nNSpid:\t{tid}\t{inner}\n\
             Cpus_allowed_list:\t{allowed}\nvoluntary_ctxt_switches:\t{switches}\n\
             nonvoluntary_ctxt_switches:\t0\n",
            // As the kernel writes it (proc_pid_status(5)).
            comm = thread.comm.replace('\\', "\\\\").replace('\n', "\\n"),
            user = thread.user,
            inner = thread.inner,
            allowed = thread.allowed,
            switches = thread.switches,
        );
        self.write(format!("{folder}/status"), &status);
        let state = match (thread.is_stopped, thread.is_asleep) {
            (true, _) => 'T',
            (false, true) => 'S',
            (false, false) => 'R',
        };
        let fields: Vec<String> = (4..=52)
            .map(|field| match field {
                4 => thread.parent.to_string(),
                9 => thread.flags.to_string(),
                14 => thread.cpu_time.to_string(),
                22 => thread.started.to_string(),
                19 if !thread.class.kind.has_priority() => thread.class.value.unwrap_or(0).to_string(),
                39 => thread.last_cpu.to_string(),
                40 if thread.class.kind.has_priority() => thread.class.value.unwrap_or(0).to_string(),
                41 => (thread.class.kind as u8).to_string(),
                _ => "0".to_owned(),
            })
            .collect();
        let stat = format!("{tid} ({}) {state} {}\n", thread.comm, fields.join(" "));
        self.write(format!("{folder}/stat"), &stat);
        match thread.migrations {
            Some(migrations) => {
                self.write(format!("{folder}/sched"), format!("se.nr_migrations    :    {migrations}\n"))
            }
            None => _ = fs::remove_file(self.path(format!("{folder}/sched"))),
        }
        match thread.schedstat {
            Some((ran, waited, runs)) => {
                self.write(format!("{folder}/schedstat"), format!("{ran} {waited} {runs}\n"))
            }
            // There is none yet, or it was there.
            None => _ = fs::remove_file(self.path(format!("{folder}/schedstat"))),
        }
        // The process's own are those of its main thread.
        if tid.0 == thread.pid {
            self.write(format!("/proc/{tid}/status"), status);
            self.write(format!("/proc/{tid}/stat"), stat);
        }
    }
}

/// A process that is being described.
#[derive(Clone, Copy)]
pub(crate) struct FakeProcess<'k> {
    kernel: &'k FakeKernel,
    pid: i32,
}

impl FakeProcess<'_> {
    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid)
    }

    /// Writes one of its files in /proc.
    pub(crate) fn write(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.kernel.write(self.file(name), text);
        self
    }

    /// Has it run this executable.
    pub(crate) fn executable(self, path: &str) -> Self {
        let link = self.kernel.path(self.file("exe"));
        let _ = fs::remove_file(&link);
        symlink(path, link).unwrap();
        self
    }

    /// Gives it this environment.
    pub(crate) fn environment(self, variables: &[(&str, &str)]) -> Self {
        let text: String = variables.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
        self.write("environ", text)
    }

    /// Adds a thread that may run on a set, and ran on its first CPU last.
    pub(crate) fn thread(self, tid: i32, comm: &str, allowed: &str) -> Self {
        let allowed = cpus(allowed);
        let first = allowed.iter().next().unwrap().0;
        let thread = FakeThread {
            pid: self.pid,
            comm: comm.to_owned(),
            user: USER,
            parent: 1,
            is_stopped: false,
            is_asleep: false,
            inner: tid,
            last_cpu: first,
            class: Class::USUAL,
            class_refusal: None,
            allowed,
            started: u64::from(tid.unsigned_abs()),
            cpu_time: 0,
            switches: 1,
            migrations: Some(0),
            schedstat: Some((0, 0, 1)),
            core_cookie: Some(0),
            flags: 0,
            cpuset: None,
            refusal: None,
            moved_again: Vec::new(),
        };
        self.kernel.write_thread(Tid(tid), &thread);
        self.kernel.state.borrow_mut().threads.insert(Tid(tid), thread);
        self
    }

    /// Makes its threads so far another user's.
    pub(crate) fn user(self, user: u32) -> Self {
        let tids: Vec<i32> = {
            let state = self.kernel.state.borrow();
            state.threads.iter().filter(|(_, thread)| thread.pid == self.pid).map(|(tid, _)| tid.0).collect()
        };
        for tid in tids {
            self.kernel.change(tid, |thread| thread.user = user);
        }
        self
    }

    /// Limits a thread to the cpuset of this cgroup. Its affinity stays what it is.
    pub(crate) fn cpuset(self, tid: i32, group: &str, set: &str) -> Self {
        self.write(&format!("task/{tid}/cgroup"), format!("0::{group}\n"));
        self.kernel.write(format!("/sys/fs/cgroup{group}/cpuset.cpus.effective"), format!("{set}\n"));
        self.kernel.change(tid, |thread| thread.cpuset = Some(cpus(set)));
        self
    }

    /// Opens something under a number; `link` is what /proc shows for it.
    pub(crate) fn descriptor(self, number: u32, link: &str, file: File) -> Self {
        let path = self.file(&format!("fd/{number}"));
        symlink(link, self.kernel.path(&path)).unwrap();
        self.kernel.state.borrow_mut().open_files.insert(PathBuf::from(path), file);
        self
    }

    /// Gives it a status page without threads, for a policy that was read with CPUs 0 to 3 available.
    pub(crate) fn page(self, environment: &[(&str, &str)]) -> Self {
        let host = Host { available: cpus("0-3"), start: cpus("0-3") };
        let policy = Policy::parse(environment.iter().copied(), &host).policy.unwrap();
        let (bytes, entries_at) = page_bytes(self.pid, &policy, &host);
        let file = memfd(pinning::status_page::NAME, &bytes, SIZE_SEALS);
        let page = FakePage { file: file.try_clone().unwrap(), policy, entries_at, listed: Vec::new() };
        self.kernel.state.borrow_mut().pages.insert(self.pid, page);
        self.descriptor(PAGE_FD, "/memfd:pinshim (deleted)", file)
    }

    /// Puts a text of variables on its page in place of the policy's, each with a NUL after it.
    pub(crate) fn page_text(self, text: &str) -> Self {
        let size = self.page_file().metadata().unwrap().len();
        let (length, at) = (text.len() as u32, size as u32 - text.len() as u32);
        self.header(at as usize, text.as_bytes())
            .header(offset_of!(Header, text_at), &at.to_ne_bytes())
            .header(offset_of!(Header, text_bytes), &length.to_ne_bytes())
    }

    /// Its status page.
    pub(crate) fn page_file(self) -> File {
        self.kernel.state.borrow().pages[&self.pid].file.try_clone().unwrap()
    }

    /// Lists a thread in the register, as placed where the policy puts it. `order` is an IOThread's place in
    /// the order of creation.
    pub(crate) fn lists(self, tid: i32, role: Role<'_>, order: u32, name: &str) -> Self {
        let mut state = self.kernel.state.borrow_mut();
        let page = state.pages.get_mut(&self.pid).unwrap();
        page.listed.push(Tid(tid));
        let set = page.policy.cpus_for(role, order, page.policy.emulator());
        let index = match role {
            Role::Vcpu(index) => index.0,
            Role::IoThread(_) => order,
            _ => NO_INDEX,
        };
        let home = if matches!(role, Role::IoThread(_)) { set } else { page.policy.emulator() };
        let tid = Tid(tid);
        page.write_entry(tid, offset_of!(Entry, state), &[State::Placed as u8]);
        page.write_entry(tid, offset_of!(Entry, role), &[role.kind() as u8]);
        page.write_entry(tid, offset_of!(Entry, set), &set.0.to_ne_bytes());
        page.write_entry(tid, offset_of!(Entry, index), &index.to_ne_bytes());
        page.write_entry(tid, offset_of!(Entry, home), &home.0.to_ne_bytes());
        page.write_entry(tid, offset_of!(Entry, name_bytes), &(name.len() as u16).to_ne_bytes());
        page.write_entry(tid, offset_of!(Entry, name), name.as_bytes());
        page.write_entry(tid, offset_of!(Entry, tid), &tid.0.to_ne_bytes());
        drop(state);
        self
    }

    /// Changes what the register says about a thread that it lists.
    pub(crate) fn state(self, tid: i32, to: State) -> Self {
        let state = self.kernel.state.borrow();
        state.pages[&self.pid].write_entry(Tid(tid), offset_of!(Entry, state), &[to as u8]);
        drop(state);
        self
    }

    /// Writes to the page at some place, such as a field of its header.
    pub(crate) fn header(self, at: usize, bytes: &[u8]) -> Self {
        self.kernel.state.borrow().pages[&self.pid].file.write_all_at(bytes, at as u64).unwrap();
        self
    }
}

impl FakePage {
    fn write_entry(&self, tid: Tid, at: usize, bytes: &[u8]) {
        let Some(number) = self.listed.iter().position(|listed| *listed == tid) else { return };
        let entry = self.entries_at + number * size_of::<Entry>();
        self.file.write_all_at(bytes, (entry + at) as u64).unwrap();
    }
}

/// A page without threads, and where its entries begin.
fn page_bytes(owner: i32, policy: &Policy, host: &Host) -> (Vec<u8>, usize) {
    let new = NewPage::new(policy, host).unwrap();
    let mut page = new.beginning().to_vec();
    page.resize(new.page_bytes(), 0);
    page[offset_of!(Header, owner)..][..4].copy_from_slice(&owner.to_ne_bytes());
    (page, new.entries_at())
}

impl Kernel for FakeKernel {
    fn locate(&self, file: &Path) -> io::Result<PathBuf> {
        {
            let mut state = self.state.borrow_mut();
            let time = state.slow.iter().find_map(|(slow, time)| (file == slow).then_some(*time));
            state.now += time.unwrap_or_default();
            state.located += 1;
        }
        if self.state.borrow().denied.iter().any(|denied| file.starts_with(denied)) {
            return Err(io::Error::from(ErrorKind::PermissionDenied));
        }
        Ok(self.path(file))
    }

    fn hold(&self, link: &Path) -> io::Result<File> {
        let state = self.state.borrow();
        let file = state.open_files.get(link).ok_or_else(|| io::Error::from(ErrorKind::NotFound))?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
    }

    fn hold_below(&self, root: &Path, path: &Path) -> io::Result<File> {
        if !self.state.borrow().has_openat2 {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        hold_below(&self.path(root), path)
    }

    fn affinity(&self, tid: Tid) -> io::Result<CpuSet> {
        let change = self.state.borrow_mut().before_reading.take();
        if let Some(change) = change {
            change(self);
        }
        let state = self.state.borrow();
        if tid.0 == 0 {
            return Ok(state.own.clone());
        }
        let thread = state.threads.get(&tid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        Ok(thread.allowed.clone())
    }

    fn set_affinity(&self, tid: Tid, words: &[u64]) -> io::Result<()> {
        let change = self.state.borrow_mut().before_request.take();
        if let Some(change) = change {
            change(self);
        }
        let asked = CpuSet::from_words(words);
        let online = cpus("0-3");
        if tid.0 == 0 {
            self.state.borrow_mut().own = asked.intersection(&online);
            return Ok(());
        }
        self.state.borrow_mut().asked.push(format!("{tid} on {asked}"));
        let thread = self.state.borrow().threads.get(&tid).cloned();
        let thread = thread.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        if let Some(errno) = thread.refusal {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let left = thread.cpuset.map_or(online.clone(), |set| set.intersection(&online)).intersection(&asked);
        if left.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.change(tid.0, |thread| {
            let is_moved = !thread.moved_again.is_empty();
            thread.allowed = if is_moved { thread.moved_again.remove(0) } else { left };
        });
        Ok(())
    }

    fn core_cookie(&self, tid: Tid) -> io::Result<u64> {
        let state = self.state.borrow();
        let thread = state.threads.get(&tid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        thread.core_cookie.ok_or_else(|| io::Error::from_raw_os_error(libc::EPERM))
    }

    fn class(&self, tid: Tid) -> io::Result<Option<Class>> {
        let state = self.state.borrow();
        let thread = state.threads.get(&tid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        Ok(Some(thread.class))
    }

    fn set_class(&self, tid: Tid, class: Class) -> io::Result<()> {
        let change = self.state.borrow_mut().before_request.take();
        if let Some(change) = change {
            change(self);
        }
        self.state.borrow_mut().asked.push(format!("{tid} as {class}"));
        let refusal = self.state.borrow().threads.get(&tid).map(|thread| thread.class_refusal);
        if let Some(errno) = refusal.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))? {
            return Err(io::Error::from_raw_os_error(errno));
        }
        self.change(tid.0, |thread| thread.class = class);
        Ok(())
    }

    fn pidfd(&self, pid: i32) -> io::Result<File> {
        let state = self.state.borrow();
        if !state.has_pidfds {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        let number = state.numbers.get(&pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        let file = tempfile::tempfile()?;
        file.write_all_at(&number.to_ne_bytes(), 0)?;
        Ok(file)
    }

    fn signal(&self, pidfd: &File, signal: i32) -> io::Result<()> {
        let mut number = [0; 8];
        pidfd.read_exact_at(&mut number, 0)?;
        let number = u64::from_ne_bytes(number);
        let pid =
            self.state.borrow().numbers.iter().find(|(_, running)| **running == number).map(|(pid, _)| *pid);
        let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        let own = self.state.borrow().user;
        let threads: Vec<(i32, u32)> = {
            let state = self.state.borrow();
            let of = state.threads.iter().filter(|(_, thread)| thread.pid == pid);
            of.map(|(tid, thread)| (tid.0, thread.user)).collect()
        };
        if threads.iter().any(|(_, user)| *user != own) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        match signal {
            libc::SIGKILL => self.end_process(pid),
            _ => threads
                .iter()
                .for_each(|(tid, _)| self.change(*tid, |thread| thread.is_stopped = signal == libc::SIGSTOP)),
        }
        let change = self.state.borrow_mut().on_signal.take();
        if let Some(change) = change {
            change(self);
        }
        Ok(())
    }

    fn has_ended(&self, pidfd: &File) -> bool {
        let mut number = [0; 8];
        pidfd.read_exact_at(&mut number, 0).unwrap();
        !self.state.borrow().numbers.values().any(|running| *running == u64::from_ne_bytes(number))
    }

    fn has_thread(&self, pid: i32, tid: Tid) -> bool {
        self.state.borrow().threads.get(&tid).is_some_and(|thread| thread.pid == pid)
    }

    fn user(&self) -> u32 {
        self.state.borrow().user
    }

    fn ticks_per_second(&self) -> u64 {
        100
    }

    fn now(&self) -> Duration {
        self.state.borrow().now
    }

    fn sleep(&self, time: Duration) {
        let due = {
            let mut state = self.state.borrow_mut();
            state.now += time;
            let now = state.now;
            let (due, later) = std::mem::take(&mut state.plan).into_iter().partition(|(at, _)| *at <= now);
            state.plan = later;
            let due: Vec<(Duration, Change)> = due;
            due
        };
        for (_, change) in due {
            change(self);
        }
    }

    fn interruption(&self) -> io::Result<Arc<AtomicBool>> {
        Ok(Arc::clone(&self.perf.interruption))
    }

    fn try_lock(&self, file: &File) -> io::Result<bool> {
        try_lock(file)
    }

    fn write_lock_holder(&self, file: &File) -> io::Result<Option<i32>> {
        Ok(self.state.borrow().locks.get(&file.metadata()?.ino()).copied())
    }
}

impl fmt::Debug for FakeKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeKernel").field("tree", &self.tree.path()).finish_non_exhaustive()
    }
}
