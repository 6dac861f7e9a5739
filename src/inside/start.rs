//! This process: whether the library acts in it, with what policy, and who owns the status page.
//!
//! Decided once, by the first of the library's constructor and its first hook (another library's
//! constructor may create a thread before ours has run). In a process that is not a target, or has no
//! placement, the answer is "no", and nothing has been done.

use crate::broker;
use crate::identity::{qemu, role};
use crate::placing::enlist;
use crate::report;
use crate::state::shim::{self, Shim};
use crate::state::{current, end, ownership, page, slots};
use crate::sys::errno::keeping_errno;
use crate::sys::{sched, thread};
use pinning::{CpuSet, EX_CONFIG, Host, MASK_WORDS, OnError, Policy, Reading, Tid};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

/// The shim, if it acts in this process; decides it if nobody has.
pub fn shim_or_start() -> Option<&'static Shim> {
    match shim::decided() {
        Some(decided) => decided,
        None => start(),
    }
}

#[cold]
fn start() -> Option<&'static Shim> {
    // An allocator that creates a thread when it is first used comes here again while we decide.
    if current::thread().deciding {
        return None;
    }
    keeping_errno(|| {
        current::update(|current| current.deciding = true);
        let shim = start_once();
        current::update(|current| current.deciding = false);
        shim
    })
}

fn start_once() -> Option<&'static Shim> {
    let shim = shim::decide_once(decide);
    if let Some(shim) = shim {
        // The first caller only: slot 0 is taken once.
        if ownership::claim(thread::getpid()) {
            enlist_main(shim);
        }
    }
    shim
}

/// Reads the environment. Ends the process if it is a target and its placement is bad, unless
/// `PIN_ERRORS=warn`.
fn decide() -> Option<Shim> {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let target = environment.iter().find(|(name, _)| name == "PIN_TARGET").map(|(_, value)| value.as_bytes());
    let arguments = environment.iter().map(|(name, value)| (name, value));
    if !pinning::acts_in(target, executable_name()?.as_bytes()) || !Policy::names_placement(arguments.clone())
    {
        return None;
    }
    report::note_stderr();
    let host = host();
    let reading = Policy::parse(arguments, &host);
    say(&reading);
    if !reading.faults.is_empty() && reading.on_error == OnError::Exit {
        // SAFETY: _exit ends the process without running anything of QEMU's, which has not begun.
        unsafe { libc::_exit(EX_CONFIG.into()) };
    }
    let policy = reading.policy?;
    report::start(policy.log_filter());
    end::make_key();
    Some(Shim {
        page: page::make(&policy, &host),
        executable: qemu::executable_code(),
        daemonizes: daemonizes(),
        policy,
    })
}

/// Whether `-daemonize` is among the arguments. Read from /proc: Rust knows them only once the
/// constructor of its own library has run, and another library's may have brought us here before.
fn daemonizes() -> bool {
    let arguments = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| matches!(argument, b"-daemonize" | b"--daemonize"))
}

fn say(reading: &Reading) {
    for fault in &reading.faults {
        report::line(format_args!("{fault}"));
    }
    for warning in &reading.warnings {
        report::line(format_args!("warning: {warning}"));
    }
}

/// The last part of the executable's path.
fn executable_name() -> Option<OsString> {
    let path = std::fs::read_link("/proc/self/exe").ok().or_else(executable_by_auxv)?;
    Some(OsStr::from_bytes(pinning::strip_deleted(path.file_name()?.as_bytes())).to_owned())
}

/// Where there is no /proc: the path that was given to execve(2).
fn executable_by_auxv() -> Option<std::path::PathBuf> {
    // SAFETY: getauxval has no preconditions.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    if address == 0 {
        return None;
    }
    // SAFETY: getauxval(3): AT_EXECFN is a pointer to a C string that lives as long as the process.
    let path = unsafe { std::ffi::CStr::from_ptr(std::ptr::with_exposed_provenance(address as usize)) };
    Some(std::path::PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

/// What limits a set here: not the affinity this process was started with, but its cpuset, which the
/// kernel tells to whoever asks for more than it has.
fn host() -> Host {
    let start = sched::affinity(Tid(0)).map(|mask| CpuSet::from_words(mask.words())).unwrap_or_default();
    let everything = [u64::MAX; MASK_WORDS];
    let available = match sched::set_affinity(Tid(0), &everything) {
        Ok(()) => {
            let all = sched::affinity(Tid(0)).map(|mask| CpuSet::from_words(mask.words()));
            // As it was, before anything else runs.
            let _ = sched::set_affinity(Tid(0), start.words());
            all.unwrap_or_else(|_| start.clone())
        }
        // Already inside a sandbox: what it has is what it can have.
        Err(_) => start.clone(),
    };
    Host { available, start }
}

/// Places the calling thread if it is the main thread, which nobody creates.
fn enlist_main(shim: &Shim) {
    let pid = thread::getpid();
    let tid = thread::gettid();
    if tid.0 != pid {
        return;
    }
    if let Some(page) = shim.page {
        page.set_owner(pid);
    }
    let identity = role::main_thread(&shim.policy);
    let slot = slots::take_main_slot(&identity);
    current::identify(&identity, slot);
    enlist::enlist(shim, tid, &identity, slot, true);
}

/// After `-daemonize` the VM is run by a child of a child of the process that was started. Such a child
/// takes the register over when it creates a thread of QEMU's; its parents only wait for it and end.
/// Any other forked child writes nothing.
pub(crate) fn take_over_after_daemonize(shim: &Shim, start: usize) {
    if !shim.daemonizes || ownership::is_ours() || !qemu::is_thread_start(start) {
        return;
    }
    let pid = thread::getpid();
    if thread::gettid().0 != pid {
        return;
    }
    ownership::claim(pid);
    slots::UNPLACED.store(0, Ordering::Release);
    broker::forget_pending();
    slots::forget_all(shim.page);
    enlist_main(shim);
}
