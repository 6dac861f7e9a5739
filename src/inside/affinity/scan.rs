//! Finding the threads of a process that are off their set.
//!
//! libvirt gives vCPUs and IOThreads affinities of its own while the VM is paused, and the kernel makes threads
//! in the process without any call that the library hooks. A scan goes over the threads of a process as /proc lists
//! them. It runs in QEMU and in the broker, so it only makes system calls and uses the stack.
//! It must leave alone a thread that was created and is not yet placed: that one places itself.

use crate::state::entries;
use crate::state::page::Page;
use crate::state::slots::UNPLACED;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::StackPath;
use crate::sys::sched;
use crate::sys::thread;
use crate::sys::wait;
use pinning::status_page::{Entry, State};
use pinning::{KernelThread, Policy, RoleKind, SetId, Tid, same_cpus};
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// Which threads to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every thread. Only for a scan by QEMU itself, which knows whether threads are created and not yet placed.
    All,
    /// The threads that the kernel made.
    KernelThreads,
    /// The threads that the kernel made, and listed ones younger than this many nanoseconds.
    YoungerThan(u64),
}

/// Whose threads to look at, and how to judge them.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The process.
    pub(crate) pid: i32,
    /// Where its threads should run.
    pub(crate) policy: &'a Policy,
    /// Who its threads are.
    pub(crate) page: Page,
    /// An open descriptor of /proc, or AT_FDCWD to open /proc by its path.
    pub(crate) proc_folder: i32,
}

impl View<'_> {
    /// What to write before the process's id in a path.
    fn prefix(&self) -> &'static str {
        if self.proc_folder == libc::AT_FDCWD { "/proc/" } else { "" }
    }
}

/// A thread that is off its set.
pub(crate) struct Misplaced {
    /// Its id.
    pub(crate) tid: Tid,
    /// Its role.
    pub(crate) role: RoleKind,
    /// The set that it should run on.
    pub(crate) set: SetId,
}

/// Looks at the threads in scope, and calls `put_back` for each that is off its set. Fails where /proc cannot be read.
pub(crate) fn scan(view: &View<'_>, scope: Scope, mut put_back: impl FnMut(&Misplaced)) -> Result<(), Errno> {
    let mut path = StackPath::default();
    let _ = write!(path, "{}{}/task", view.prefix(), view.pid);
    let folder = file::open_at(view.proc_folder, path.as_c_str(), libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut room = [0u8; 2048];
    while let Ok(records) = file::folder_entries(folder, &mut room) {
        if records.is_empty() {
            break;
        }
        for tid in tids(records) {
            if let Some(misplaced) = judge(view, scope, tid) {
                put_back(&misplaced);
            }
        }
    }
    file::close(folder);
    Ok(())
}

/// Whether a thread is in scope and off its set.
fn judge(view: &View<'_>, scope: Scope, tid: Tid) -> Option<Misplaced> {
    let (role, set) = match entries::entry_of(view.page, tid) {
        Some(entry) => of_listed(view.policy, scope, entry)?,
        None => of_unlisted(view, scope, tid)?,
    };
    let affinity = sched::affinity(tid);
    // ESRCH: the thread has ended since. Any other error: QEMU before 6.1 forbids to read affinities in its sandbox, so
    // the thread is to be put on its set in any case.
    let right = match &affinity {
        Ok(mask) => same_cpus(mask.words(), view.policy.set(set).words()),
        Err(errno) => *errno == Errno(libc::ESRCH),
    };
    (!right && thread::is_thread_of(view.pid, tid)).then_some(Misplaced { tid, role, set })
}

/// The role and set of a thread with an entry, if it is in scope and was placed before.
fn of_listed(policy: &Policy, scope: Scope, entry: &Entry) -> Option<(RoleKind, SetId)> {
    let in_scope = match scope {
        Scope::All => true,
        Scope::KernelThreads => false,
        Scope::YoungerThan(ns) => {
            wait::monotonic_ns().saturating_sub(entry.born_ns.load(Ordering::Relaxed)) < ns
        }
    };
    let state = entry.state.load(Ordering::Acquire);
    if !in_scope || state == State::Born as u8 || state == State::LeftAlone as u8 {
        return None;
    }
    let (role, set) = entries::role_and_set(entry)?;
    // A hostile QEMU can write any number to the page; `Policy::set` would take one that is no set for the base set.
    (usize::from(set.0) < policy.sets().len()).then_some((role, set))
}

/// The role and set of a thread without an entry: one that the kernel made, or one of another library's own clone(2).
fn of_unlisted(view: &View<'_>, scope: Scope, tid: Tid) -> Option<(RoleKind, SetId)> {
    let policy = view.policy;
    let mut room = [0u8; 32];
    let comm = comm(view, tid, &mut room)?;
    let Some(kernel_thread) = KernelThread::from_comm(comm) else {
        let to_be_placed = scope == Scope::All && is_foreign_clone(view.page, tid);
        return to_be_placed
            .then(|| (RoleKind::Emulator, policy.rule_for(comm).unwrap_or_else(|| policy.emulator())));
    };
    let home = match kernel_thread {
        KernelThread::IoUringWorker { submitter } => home_of(view, submitter),
        _ => None,
    };
    let set = policy.cpus_for_kernel_thread(kernel_thread, comm, home.unwrap_or_else(|| policy.emulator()));
    Some((kernel_thread.role().kind(), set))
}

/// The set that the workers of a listed thread follow.
fn home_of(view: &View<'_>, tid: u32) -> Option<SetId> {
    let entry = entries::entry_of(view.page, Tid(tid as i32))?;
    let home = SetId(entry.home.load(Ordering::Relaxed));
    (usize::from(home.0) < view.policy.sets().len()).then_some(home)
}

/// Whether a thread that was just seen, and that the kernel did not make, comes from another library's own clone(2).
///
/// A creator counts a thread in [`UNPLACED`] before the thread exists, and the thread lists itself before it is counted
/// off. So if that count is 0 now, a thread that was seen before and is still not listed was not created through the
/// library. Where some threads could not be listed this cannot be told.
fn is_foreign_clone(page: Page, tid: Tid) -> bool {
    page.header.unlisted.load(Ordering::Relaxed) == 0
        && UNPLACED.load(Ordering::Acquire) == 0
        && entries::entry_of(page, tid).is_none()
}

/// The name of a thread as the kernel has it (proc_pid_comm(5)).
fn comm<'a>(view: &View<'_>, tid: Tid, room: &'a mut [u8; 32]) -> Option<&'a [u8]> {
    let mut path = StackPath::default();
    let _ = write!(path, "{}{}/task/{tid}/comm", view.prefix(), view.pid);
    let file = file::open_at(view.proc_folder, path.as_c_str(), libc::O_RDONLY).ok()?;
    let comm = file::read(file, room);
    file::close(file);
    Some(comm.ok()?.trim_ascii_end())
}

/// The names in records of getdents64(2) that are numbers: `.` and `..` are not.
fn tids(mut records: &[u8]) -> impl Iterator<Item = Tid> {
    const LENGTH_AT: usize = std::mem::offset_of!(libc::dirent64, d_reclen);
    const NAME_AT: usize = std::mem::offset_of!(libc::dirent64, d_name);
    std::iter::from_fn(move || {
        loop {
            let length = records.get(LENGTH_AT..LENGTH_AT + 2)?;
            let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?)).max(1);
            let record = records.get(..length)?;
            records = records.get(length..)?;
            let name = record.get(NAME_AT..)?.split(|byte| *byte == 0).next()?;
            if let Some(tid) = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
                return Some(Tid(tid));
            }
        }
    })
}
