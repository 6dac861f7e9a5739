//! Finding the threads of a process that are off their set.
//!
//! libvirt gives vCPUs and IOThreads affinities of its own while the VM is paused, and the kernel makes threads
//! in the process without any call that the library hooks. A scan goes over the threads of a process as /proc lists
//! them. It runs in QEMU and in the broker, so it only makes system calls and uses the stack.
//! It must leave alone a thread that was created and is not yet placed: that one places itself.

use crate::affinity::threads::Threads;
use crate::state::entries;
use crate::state::page::Page;
use crate::state::slots::UNPLACED;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::wait;
use pinning::status_page::{Entry, State};
use pinning::{KernelThread, Policy, RoleKind, SetId, Tid, same_cpus};
use std::sync::atomic::Ordering;

/// Which threads to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every thread. Only for a scan by QEMU itself, which knows whether threads are created and not yet placed.
    All,
    /// Every thread that was placed, and those that the kernel made. A thread of another library's own clone(2) is not
    /// among them: only QEMU itself can tell it from one that is being created.
    Placed,
    /// The threads that the kernel made.
    KernelThreads,
    /// The threads that the kernel made, and listed ones younger than this many nanoseconds.
    YoungerThan(u64),
}

/// Whose threads to look at, and how to judge them.
pub(crate) struct View<'a, T> {
    /// The threads.
    pub(crate) threads: &'a T,
    /// Where its threads should run.
    pub(crate) policy: &'a Policy,
    /// Who its threads are.
    pub(crate) page: Page,
    /// Whether the ids in the names of the kernel's threads are those that the process knows.
    pub(crate) knows_submitters: bool,
}

/// A thread that is off its set.
pub(crate) struct Misplaced {
    /// Its id.
    pub(crate) tid: Tid,
    /// Its role.
    pub(crate) role: RoleKind,
    /// The set that it should run on.
    pub(crate) set: SetId,
    /// Whether the kernel made it.
    pub(crate) made_by_the_kernel: bool,
}

/// Looks at the threads in scope, and calls `put_back` for each that is off its set. Fails where /proc cannot be read.
pub(crate) fn scan<T: Threads>(
    view: &View<'_, T>,
    scope: Scope,
    mut put_back: impl FnMut(&Misplaced),
) -> Result<(), Errno> {
    each_thread(view.threads, |tid| {
        if let Some(misplaced) = judge(view, scope, tid) {
            put_back(&misplaced);
        }
    })
}

/// Calls `look` for each vhost worker of a process that has no entry on its page, with its comm. Fails where /proc cannot be
/// read.
pub(crate) fn unlisted_vhost_workers(
    threads: &impl Threads,
    page: Page,
    mut look: impl FnMut(Tid, &[u8]),
) -> Result<(), Errno> {
    each_thread(threads, |tid| {
        let mut room = [0u8; 32];
        let Ok(comm) = threads.comm(tid, &mut room) else { return };
        let is_one = KernelThread::from_comm(comm) == Some(KernelThread::Vhost);
        if is_one && entries::entry_of(page, tid).is_none() {
            look(tid, comm);
        }
    })
}

/// Calls `look` for each thread of a process, in the order in which /proc lists them: by their ids.
fn each_thread(threads: &impl Threads, mut look: impl FnMut(Tid)) -> Result<(), Errno> {
    let folder = threads.open(format_args!("{}/task", threads.pid()), libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut room = [0u8; 2048];
    while let Ok(records) = threads.folder_entries(folder, &mut room) {
        if records.is_empty() {
            break;
        }
        tids(records).for_each(&mut look);
    }
    file::close(folder);
    Ok(())
}

/// Calls `each` for each thread that the kernel has made. Fails where /proc cannot be read.
pub(crate) fn kernel_threads(
    threads: &impl Threads,
    page: Page,
    mut each: impl FnMut(Tid),
) -> Result<(), Errno> {
    each_thread(threads, |tid| {
        let mut room = [0u8; 32];
        let is_named_so =
            threads.comm(tid, &mut room).is_ok_and(|comm| KernelThread::from_comm(comm).is_some());
        // Of those that are listed only vhost workers are the kernel's.
        let role = entries::role_and_set_of(page, tid).map(|(role, _)| role);
        if is_named_so && role.is_none_or(|role| role == RoleKind::Vhost) && threads.has(tid) {
            each(tid);
        }
    })
}

/// Whether a thread is in scope and off its set.
fn judge<T: Threads>(view: &View<'_, T>, scope: Scope, tid: Tid) -> Option<Misplaced> {
    let entry = entries::entry_of(view.page, tid);
    let (role, set, made_by_the_kernel) = match entry {
        Some(entry) => of_listed(view.policy, scope, entry).map(|(role, set)| (role, set, false))?,
        None => of_unlisted(view, scope, tid)?,
    };
    let affinity = view.threads.affinity(tid);
    // ESRCH: the thread has ended since. Any other error: QEMU before 6.1 forbids to read affinities in its sandbox, so
    // the thread is to be put on its set in any case.
    let right = match &affinity {
        Ok(mask) => same_cpus(mask.words(), view.policy.set(set).words()),
        Err(errno) => *errno == Errno(libc::ESRCH),
    };
    if let (true, Ok(_), Some(entry)) = (right, &affinity, entry) {
        // It could not be put there, and a manager has since.
        entries::note_placed(entry);
    }
    (!right && view.threads.has(tid)).then_some(Misplaced { tid, role, set, made_by_the_kernel })
}

/// The role and set of a thread with an entry, if it is in scope and was placed before.
fn of_listed(policy: &Policy, scope: Scope, entry: &Entry) -> Option<(RoleKind, SetId)> {
    let in_scope = match scope {
        Scope::All | Scope::Placed => true,
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
/// Whether it is one that the kernel made comes with them.
fn of_unlisted<T: Threads>(view: &View<'_, T>, scope: Scope, tid: Tid) -> Option<(RoleKind, SetId, bool)> {
    let policy = view.policy;
    let mut room = [0u8; 32];
    let comm = view.threads.comm(tid, &mut room).ok()?;
    let Some(kernel_thread) = KernelThread::from_comm(comm) else {
        let to_be_placed = scope == Scope::All && is_foreign_clone(view.page, tid);
        return to_be_placed.then(|| {
            (RoleKind::Emulator, policy.rule_for(comm).unwrap_or_else(|| policy.emulator()), false)
        });
    };
    let home = match kernel_thread {
        KernelThread::IoUringWorker { submitter } if view.knows_submitters => {
            Some(home_of(view, submitter).unwrap_or_else(|| policy.emulator()))
        }
        _ => None,
    };
    // Only QEMU counts them, as they appear (`placing/vhost_workers`).
    if kernel_thread == KernelThread::Vhost && policy.tells_vhost_workers_apart() {
        return None;
    }
    // A worker whose submitter cannot be known is left alone: its mask is the one that its submitter has set for it.
    Some((kernel_thread.role().kind(), policy.cpus_for_kernel_thread(kernel_thread, comm, 0, home)?, true))
}

/// The set that the workers of a listed thread follow.
fn home_of<T>(view: &View<'_, T>, tid: u32) -> Option<SetId> {
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

#[cfg(test)]
mod tests {
    use super::{Misplaced, Scope, View, scan, tids};
    use crate::affinity::threads::Threads;
    use crate::state::entries;
    use crate::state::slots::UNPLACED;
    use crate::state::thread_identity::ThreadIdentity;
    use crate::sys::errno::Errno;
    use crate::sys::{file, thread, wait};
    use crate::testing::{self, IdleThread};
    use pinning::status_page::State;
    use pinning::{Policy, RoleKind, SetId, Tid};
    use proptest::prelude::*;
    use std::sync::atomic::Ordering;

    /// A record of getdents64(2).
    fn record(name: &[u8]) -> Vec<u8> {
        let length = (19 + name.len() + 1).next_multiple_of(8);
        let mut record = [7u64.to_ne_bytes(), 8u64.to_ne_bytes()].concat();
        record.extend((length as u16).to_ne_bytes());
        record.push(libc::DT_DIR);
        record.extend(name);
        record.resize(length, 0);
        record
    }

    proptest! {
        #[test]
        fn the_numbers_among_the_names_are_found(ids in prop::collection::vec(1..=i32::MAX, 0..40)) {
            let mut records = [record(b"."), record(b"..")].concat();
            records.extend(ids.iter().flat_map(|tid| record(tid.to_string().as_bytes())));
            let found: Vec<_> = tids(&records).map(|Tid(tid)| tid).collect();
            prop_assert_eq!(found, ids);
        }

        #[test]
        fn records_that_are_cut_give_the_names_before_the_cut(
            ids in prop::collection::vec(1..=i32::MAX, 1..8), cut in any::<prop::sample::Index>(),
        ) {
            let records: Vec<_> = ids.iter().map(|tid| record(tid.to_string().as_bytes())).collect();
            let all = records.concat();
            let cut = cut.index(all.len());
            let mut room = cut;
            let whole = records.iter().take_while(|record| {
                let fits = record.len() <= room;
                room = room.saturating_sub(record.len());
                fits
            });
            let found: Vec<_> = tids(&all[..cut]).map(|Tid(tid)| tid).collect();
            prop_assert_eq!(found.as_slice(), &ids[..whole.count()]);
        }

        #[test]
        fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(tids(&bytes).count() <= bytes.len());
        }

        #[test]
        fn any_lengths_of_records_come_to_an_end(
            records in prop::collection::vec((0..40u16, any::<[u8; 24]>()), 0..20),
        ) {
            let bytes: Vec<u8> = records
                .into_iter()
                .flat_map(|(length, mut record)| {
                    record[16..18].copy_from_slice(&length.to_ne_bytes());
                    record
                })
                .collect();
            prop_assert!(tids(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn the_kernel_s_own_records_give_the_threads_of_the_process() {
        let folder = file::open(c"/proc/self/task", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        let mut room = [0u8; 2048];
        let mut found = Vec::new();
        loop {
            let records = file::folder_entries(folder, &mut room).unwrap();
            if records.is_empty() {
                break;
            }
            found.extend(tids(records));
        }
        file::close(folder);
        assert!(found.contains(&thread::gettid()));
        assert!(found.contains(&Tid(thread::getpid())));
    }

    /// The threads of a process, whose files are below a folder; below /proc itself for AT_FDCWD.
    struct Below {
        pid: i32,
        proc_folder: i32,
    }

    impl Threads for Below {
        fn pid(&self) -> i32 {
            self.pid
        }

        fn is_alive(&self) -> bool {
            true
        }

        fn checked<T>(&self, _: libc::c_long, answer: Result<T, Errno>) -> Result<T, Errno> {
            answer
        }

        fn open(&self, path: std::fmt::Arguments<'_>, flags: i32) -> Result<i32, Errno> {
            let prefix = if self.proc_folder == libc::AT_FDCWD { "/proc/" } else { "" };
            let path = std::ffi::CString::new(format!("{prefix}{path}")).unwrap();
            file::open_at(self.proc_folder, &path, flags)
        }
    }

    /// A thread on the first of two CPUs, and a policy: `here` is its CPU, `elsewhere` the other.
    struct Judged {
        thread: IdleThread,
        policy: Policy,
        page: super::Page,
        here: SetId,
        elsewhere: SetId,
        knows_submitters: bool,
    }

    impl Judged {
        fn new(name: &[u8], test: &str) -> Option<Self> {
            let (first, second) = testing::two_cpus(test)?;
            let (here, elsewhere) = (first.0.to_string(), second.0.to_string());
            let policy = testing::policy(&[
                ("PIN_CPUS", &here),
                ("PIN_EMULATOR", &elsewhere),
                ("PIN_VHOST", &elsewhere),
                ("PIN_VCPUS", &format!("*@{elsewhere}")),
                ("PIN_THREADS", &format!("kvm-nx-lpage-recovery@{here}")),
            ]);
            let page = testing::page(&policy);
            // The test runner's own threads are on no page.
            page.header.unlisted.store(1, Ordering::Relaxed);
            let (here, elsewhere) = (policy.base(), policy.emulator());
            Some(Self {
                thread: IdleThread::on(first, name),
                policy,
                page,
                here,
                elsewhere,
                knows_submitters: true,
            })
        }

        fn list(&self, slot: u16, set: SetId, home: SetId, state: State) {
            let identity = ThreadIdentity::unnamed(RoleKind::Vcpu, set, home);
            entries::publish(self.page, slot, self.thread.tid, &identity);
            entries::mark(self.page, slot, state);
        }

        /// The set that the thread is to be put back on, by /proc's path and by its descriptor.
        fn misplaced(&self, scope: Scope) -> Option<(RoleKind, SetId)> {
            let proc_folder = file::open(c"/proc", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
            let [by_path, by_descriptor] = [libc::AT_FDCWD, proc_folder].map(|proc_folder| {
                let threads = Below { pid: thread::getpid(), proc_folder };
                let view = View {
                    threads: &threads,
                    policy: &self.policy,
                    page: self.page,
                    knows_submitters: self.knows_submitters,
                };
                let mut found = Vec::new();
                scan(&view, scope, |Misplaced { tid, role, set, .. }| {
                    if *tid == self.thread.tid {
                        found.push((*role, *set));
                    }
                })
                .unwrap();
                assert!(found.len() <= 1, "{found:?}");
                found.pop()
            });
            file::close(proc_folder);
            assert_eq!(by_path, by_descriptor);
            by_path
        }
    }

    const YOUNG: Scope = Scope::YoungerThan(60_000_000_000);

    #[test]
    fn a_listed_thread_that_is_off_its_set_is_found() {
        let Some(judged) = Judged::new(b"judged", "a_listed_thread_that_is_off_its_set_is_found") else {
            return;
        };
        for (set, misplaced) in [(judged.here, false), (judged.elsewhere, true)] {
            judged.list(0, set, set, State::Placed);
            let expected = misplaced.then_some((RoleKind::Vcpu, set));
            assert_eq!(judged.misplaced(Scope::All), expected);
            assert_eq!(judged.misplaced(YOUNG), expected);
            assert_eq!(judged.misplaced(Scope::KernelThreads), None);
        }
    }

    #[test]
    fn a_listed_thread_is_judged_after_its_placement_unless_it_is_to_be_left_alone() {
        let Some(judged) = Judged::new(b"judged", "a_listed_thread_is_judged_after_its_placement") else {
            return;
        };
        for (state, found) in [
            (State::Born, false),
            (State::Placed, true),
            (State::Cut, true),
            (State::Refused, true),
            (State::LeftAlone, false),
        ] {
            judged.list(0, judged.elsewhere, judged.elsewhere, state);
            assert_eq!(judged.misplaced(Scope::All).is_some(), found, "{state}");
        }
    }

    #[test]
    fn a_thread_is_young_for_so_many_nanoseconds() {
        let Some(judged) = Judged::new(b"judged", "a_thread_is_young_for_so_many_nanoseconds") else {
            return;
        };
        judged.list(0, judged.elsewhere, judged.elsewhere, State::Placed);
        let born = &judged.page.entries[0].born_ns;
        for (age, young) in [(0, true), (30_000_000_000, true), (61_000_000_000, false)] {
            // The clock of a machine that was started a moment ago is less than this age.
            let now = wait::monotonic_ns();
            born.store(now.saturating_sub(age), Ordering::Relaxed);
            assert_eq!(judged.misplaced(YOUNG).is_some(), young || now < age, "{age}");
        }
        // A hostile QEMU says that it will be born later.
        born.store(u64::MAX, Ordering::Relaxed);
        assert!(judged.misplaced(YOUNG).is_some());
    }

    #[test]
    fn numbers_that_no_policy_has_are_not_followed() {
        let Some(judged) = Judged::new(b"judged", "numbers_that_no_policy_has_are_not_followed") else {
            return;
        };
        judged.list(0, judged.elsewhere, judged.here, State::Placed);
        assert!(judged.misplaced(Scope::All).is_some());
        for role in [0, 200, u8::MAX] {
            judged.page.entries[0].role.store(role, Ordering::Relaxed);
            assert_eq!(judged.misplaced(Scope::All), None);
        }
        // The base set is elsewhere: a set that is not there must not be taken for it.
        let (_, elsewhere) = testing::two_cpus("numbers").unwrap();
        let judged = Judged { policy: testing::policy(&[("PIN_CPUS", &elsewhere.0.to_string())]), ..judged };
        for (set, found) in [(0, true), (1, false), (u16::MAX, false)] {
            judged.list(0, SetId(set), SetId(0), State::Placed);
            assert_eq!(judged.misplaced(Scope::All).is_some(), found, "{set}");
        }
    }

    #[test]
    fn threads_of_the_kernel_are_known_by_their_names() {
        for (name, role, off_its_set) in [
            (&b"vhost-1234"[..], RoleKind::Vhost, true),
            // A rule spells out the name that the kernel cuts.
            (b"kvm-nx-lpage-recovery", RoleKind::Emulator, false),
            (b"iou-wrk-1", RoleKind::Worker, true),
        ] {
            let Some(judged) = Judged::new(name, "threads_of_the_kernel_are_known_by_their_names") else {
                return;
            };
            for scope in [Scope::All, YOUNG, Scope::KernelThreads] {
                let expected = off_its_set.then_some((role, judged.elsewhere));
                assert_eq!(judged.misplaced(scope), expected, "{}", String::from_utf8_lossy(name));
            }
        }
    }

    #[test]
    fn a_vhost_worker_that_has_a_number_of_its_own_is_left_to_whoever_counts_them() {
        let Some(judged) = Judged::new(b"vhost-1234", "a_vhost_worker_that_has_a_number_of_its_own") else {
            return;
        };
        let elsewhere = judged.policy.set(judged.elsewhere).to_string();
        let map = format!("0@{elsewhere}");
        let policy = testing::policy(&[("PIN_CPUS", &elsewhere), ("PIN_VHOST", &map)]);
        let judged = Judged { policy, ..judged };
        for scope in [Scope::All, YOUNG, Scope::KernelThreads] {
            assert_eq!(judged.misplaced(scope), None);
        }
        let found = || {
            let threads = Below { pid: thread::getpid(), proc_folder: libc::AT_FDCWD };
            let mut found = Vec::new();
            super::unlisted_vhost_workers(&threads, judged.page, |tid, comm| {
                found.push((tid, comm.to_vec()))
            })
            .unwrap();
            found.contains(&(judged.thread.tid, b"vhost-1234".to_vec()))
        };
        assert!(found());
        // Once it is listed it is judged as any other thread.
        judged.list(0, judged.policy.base(), judged.policy.base(), State::Placed);
        assert!(!found());
        assert!(judged.misplaced(Scope::All).is_some());
    }

    #[test]
    fn a_worker_of_an_io_uring_runs_where_its_submitter_s_workers_do() {
        let submitter = thread::gettid();
        let name = format!("iou-wrk-{submitter}");
        let Some(judged) = Judged::new(name.as_bytes(), "a_worker_of_an_io_uring") else { return };
        for (home, expected) in [
            (judged.here, None),
            (judged.elsewhere, Some((RoleKind::Worker, judged.elsewhere))),
            // A number that no policy has: as if the submitter were not known.
            (SetId(u16::MAX), Some((RoleKind::Worker, judged.elsewhere))),
        ] {
            let identity = ThreadIdentity::unnamed(RoleKind::IoThread, judged.here, home);
            entries::publish(judged.page, 3, submitter, &identity);
            assert_eq!(judged.misplaced(Scope::KernelThreads), expected, "{home:?}");
        }
    }

    #[test]
    fn a_worker_of_an_io_uring_is_left_alone_where_its_name_has_another_namespace_s_id() {
        let name = format!("iou-wrk-{}", thread::gettid());
        let Some(judged) = Judged::new(name.as_bytes(), "a_worker_of_an_io_uring_is_left_alone") else {
            return;
        };
        let identity = ThreadIdentity::unnamed(RoleKind::IoThread, judged.here, judged.elsewhere);
        entries::publish(judged.page, 3, thread::gettid(), &identity);
        let judged = Judged { knows_submitters: false, ..judged };
        assert_eq!(judged.misplaced(Scope::KernelThreads), None);
        // Where PIN_WORKERS says where all workers belong, nobody needs to know whose it is.
        let elsewhere = judged.policy.set(judged.elsewhere).to_string();
        let policy = testing::policy(&[("PIN_CPUS", "0"), ("PIN_WORKERS", &elsewhere)]);
        let expected = policy.workers().map(|set| (RoleKind::Worker, set));
        let judged = Judged { policy, ..judged };
        assert_eq!(judged.misplaced(Scope::KernelThreads), expected);
    }

    #[test]
    fn a_clone_of_another_library_is_an_emulator_thread_where_that_can_be_told() {
        let Some(judged) = Judged::new(b"foreign", "a_clone_of_another_library") else { return };
        let header = judged.page.header;
        let found = Some((RoleKind::Emulator, judged.elsewhere));
        for (unlisted, unplaced, scope, expected) in [
            (0, 0, Scope::All, found),
            // It may be a thread that could not be listed, or one that was created and is not yet listed.
            (1, 0, Scope::All, None),
            (0, 1, Scope::All, None),
            (0, 0, Scope::KernelThreads, None),
            (0, 0, YOUNG, None),
        ] {
            header.unlisted.store(unlisted, Ordering::Relaxed);
            UNPLACED.store(unplaced, Ordering::Relaxed);
            assert_eq!(judged.misplaced(scope), expected, "{unlisted} {unplaced} {scope:?}");
        }
        UNPLACED.store(0, Ordering::Relaxed);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let policy = testing::policy(&[("PIN_CPUS", "0")]);
        let page = testing::page(&policy);
        let view = View {
            threads: &Below { pid: -1, proc_folder: libc::AT_FDCWD },
            policy: &policy,
            page,
            knows_submitters: true,
        };
        assert!(scan(&view, Scope::All, |_| unreachable!()).is_err());
        // Nor is this one, where the descriptor is another folder's.
        let folder = file::open(c"/", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        let threads = Below { pid: thread::getpid(), proc_folder: folder };
        let view = View { threads: &threads, ..view };
        assert!(scan(&view, Scope::All, |_| unreachable!()).is_err());
        file::close(folder);
    }
}
