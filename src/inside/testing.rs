//! What the tests of several files need.

use crate::state::page::{self, Page};
use crate::state::shim::Shim;
use crate::sys::{process, sched, thread};
use pinning::{CpuId, CpuSet, Host, Policy, Tid};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// A host of 1024 CPUs.
fn host() -> Host {
    let all = CpuSet::from_words(&[u64::MAX; 16]);
    Host { available: all.clone(), start: all }
}

/// The policy of an environment without a fault, on a host of 1024 CPUs.
pub(crate) fn policy(environment: &[(&str, &str)]) -> Policy {
    let parsed = Policy::parse(environment.iter().copied(), &host());
    assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
    parsed.policy.expect("the environment names a placement")
}

/// The same for the hooks, without a status page.
pub(crate) fn shim(environment: &[(&str, &str)]) -> Shim {
    Shim {
        policy: policy(environment),
        start_class: None,
        page: None,
        executable: 0..0,
        knows_submitters: true,
        daemonizes: false,
    }
}

/// A status page for a policy.
pub(crate) fn page(policy: &Policy) -> Page {
    page::make(policy, &host(), None).expect("there is memory for a page")
}

/// Asks in a forked child, which has no other thread: so it must neither allocate nor panic.
pub(crate) fn in_a_child(ask: impl FnOnce() -> bool) -> bool {
    match process::raw_fork().unwrap() {
        None => process::exit(if ask() { 0 } else { 1 }),
        Some(child) => process::wait_for(child) == Ok(0),
    }
}

/// Two CPUs that threads of this process may run on; `None`, and a line that says so, if there is only one.
pub(crate) fn two_cpus(test: &str) -> Option<(CpuId, CpuId)> {
    let mask = sched::affinity(Tid(0)).expect("a thread may read its own affinity");
    let set = CpuSet::from_words(mask.words());
    let mut cpus = set.iter();
    let two = cpus.next().zip(cpus.next());
    if two.is_none() {
        eprintln!("skipped: there is one CPU only ({test})");
    }
    two
}

/// A thread that does nothing until it is dropped.
pub(crate) struct IdleThread {
    pub(crate) tid: Tid,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IdleThread {
    /// A thread of this name that may run on this CPU alone.
    pub(crate) fn on(cpu: CpuId, name: &[u8]) -> Self {
        let (end, ended) = channel();
        let (tell, told) = channel();
        let name = name.to_vec();
        let thread = std::thread::spawn(move || {
            let mut set = CpuSet::new();
            set.insert(cpu);
            sched::set_affinity(Tid(0), set.words()).expect("it is one of two_cpus");
            thread::set_comm(&name).unwrap();
            tell.send(thread::gettid()).expect("its maker waits");
            let _ = ended.recv();
        });
        Self { tid: told.recv().expect("it runs"), end: Some(end), thread: Some(thread) }
    }
}

impl Drop for IdleThread {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Two pages of memory. The second can be made unreadable.
pub(crate) struct TwoPages {
    base: *mut u8,
}

impl TwoPages {
    /// Bytes of one page, as the kernel protects them.
    pub(crate) fn page_bytes() -> usize {
        // SAFETY: no preconditions.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("POSIX has a page size")
    }

    pub(crate) fn new() -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), 2 * Self::page_bytes(), protection, flags, -1, 0) };
        assert!(base != libc::MAP_FAILED);
        Self { base: base.cast() }
    }

    pub(crate) fn address(&self) -> usize {
        self.base.expose_provenance()
    }

    /// Fills both with 'x', and writes this text so far from their beginning.
    pub(crate) fn write(&mut self, at: usize, text: &[u8]) {
        self.protect_second(libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a mapping of this size, readable and writable, to which nobody else has a reference.
        let all = unsafe { std::slice::from_raw_parts_mut(self.base, 2 * Self::page_bytes()) };
        all.fill(b'x');
        all[at..at + text.len()].copy_from_slice(text);
    }

    /// Makes the second unreadable until something is written.
    pub(crate) fn hide_second(&mut self) {
        self.protect_second(libc::PROT_NONE);
    }

    fn protect_second(&mut self, protection: i32) {
        // SAFETY: the second page lies in the mapping.
        let second = unsafe { self.base.add(Self::page_bytes()) };
        // SAFETY: nobody has a reference to what is in it.
        assert_eq!(unsafe { libc::mprotect(second.cast(), Self::page_bytes(), protection) }, 0);
    }
}

impl Drop for TwoPages {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; nobody has a reference to it.
        unsafe { libc::munmap(self.base.cast(), 2 * Self::page_bytes()) };
    }
}
