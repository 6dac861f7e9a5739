//! The start: whether the library acts in this process, with what policy, and which process owns the status page.
//!
//! It is decided once, by the library's constructor or its first hook, whichever is first: another library's
//! constructor may create a thread before ours has run. In a process that is not a target, or has no
//! placement, the library does nothing.

use crate::broker;
use crate::filters::permitted;
use crate::identity::{qemu, role};
use crate::leases;
use crate::placing::{at_start, enlist};
use crate::report::{stderr, targets};
use crate::state::exec_chain::{self, ExecChain};
use crate::state::shim::{self, Shim};
use crate::state::{bypass, current, ownership, page, slots};
use crate::sys::errno::keeping_errno;
use crate::sys::{numa, pid_namespace, process, sched, symbol, thread};
use pinning::{
    Class, ClassKind, CpuSet, EX_CONFIG, Host, LEASES_VARIABLE, MASK_WORDS, OnError, ParsedEnvironment,
    Policy, Tid,
};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// What the hooks work with; `None` if the library does not act in this process. Decides that, if nobody has.
pub fn shim_or_start() -> Option<&'static Shim> {
    match shim::decided() {
        Some(decided) => decided,
        None => start(),
    }
}

#[cold]
fn start() -> Option<&'static Shim> {
    // An allocator may create a thread when it is first used, and so call this again while the environment is read.
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
    let mut chain = None;
    let shim = shim::decide_once(|| decide(&mut chain));
    if let Some(shim) = shim {
        // Only the first call lists the main thread.
        if ownership::claim(thread::getpid()) {
            at_start::take_core_cookie(shim);
            at_start::take_memory_policy(shim);
            enlist_main(shim);
            notice_another_pthread_create(shim);
        }
    }
    if let Some(chain) = chain {
        hand_on(chain);
    }
    shim
}

/// Reads the environment. Ends the process if it is a target and its placement is faulty, unless `PIN_ERRORS=warn`.
/// Leaves in `chain` what is to be handed on to the program that this one may become.
fn decide(chain: &mut Option<ExecChain>) -> Option<Shim> {
    // By /etc/ld.so.preload the library may be in a program that has more rights than its user. The user's environment
    // must not decide what such a program does.
    if process::has_foreign_rights() {
        return None;
    }
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let target = environment.iter().find(|(name, _)| name == "PIN_TARGET").map(|(_, value)| value.as_bytes());
    let arguments = environment.iter().map(|(name, value)| (name, value));
    if !pinning::acts_in(target, executable_name()?.as_bytes()) || !Policy::names_placement(arguments.clone())
    {
        return None;
    }
    stderr::note_stderr();
    let mut host = host();
    let placed = host.start.clone();
    let mut start_class = class_now();
    let before = handed_on(&environment);
    let said_before = before.as_ref().map_or(0, |before| before.said);
    if let Some(before) = before {
        start_class = before.start_class(start_class);
        host.start = before.start(host.start);
    }
    let names_nodes = environment.iter().any(|(name, _)| name == "PIN_MEMORY");
    let nodes = names_nodes.then(numa::nodes).flatten();
    let mut parsed = Policy::parse_with_nodes(arguments.clone(), &host, nodes.as_ref());
    if let Some(available) = (!parsed.warnings.is_empty()).then(online).flatten() {
        // A manager gives each thread a cpuset of its own later, so that only a CPU that no thread can have is worth a
        // word now. What a cpuset takes from a thread then is said of that thread.
        parsed.warnings = Policy::parse(arguments, &Host { available, start: host.start.clone() }).warnings;
    }
    let lines = faults(&parsed);
    let said = exec_chain::hash_of(&lines);
    if said != said_before {
        lines.lines().for_each(|line| stderr::line(format_args!("{line}")));
    }
    *chain = process::start_time().map(|started| ExecChain {
        pid: thread::getpid(),
        started,
        start: host.start.clone(),
        placed,
        start_class: Some(start_class),
        given_class: None,
        said,
    });
    if !parsed.faults.is_empty() && parsed.on_error == OnError::Exit {
        // QEMU's main has not run, so no exit handler of QEMU's is left out.
        process::exit(EX_CONFIG.into());
    }
    let policy = parsed.policy?;
    if let Some((_, descriptors)) = environment.iter().find(|(name, _)| name == LEASES_VARIABLE) {
        leases::remember(descriptors);
    }
    stderr::start_log(policy.log_filter());
    let start_class = policy.has_classes().then_some(start_class);
    Some(Shim {
        page: page::make(&policy, &host, start_class),
        start_class,
        executable: qemu::executable_code(),
        knows_submitters: pid_namespace::is_initial(),
        daemonizes: daemonizes(),
        policy,
    })
}

/// Whether `-daemonize` is among QEMU's arguments. Read from /proc, since Rust's standard library knows them only when its
/// own constructor has run, and another library's constructor may have called a hook before.
fn daemonizes() -> bool {
    let arguments = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    arguments.split(|byte| *byte == 0).any(|argument| matches!(argument, b"-daemonize" | b"--daemonize"))
}

/// What is wrong in the environment, in lines that are printed whatever `PIN_LOG` says.
fn faults(parsed: &ParsedEnvironment) -> String {
    let faults = parsed.faults.iter().map(|fault| format!("{fault}\n"));
    let warnings = parsed.warnings.iter().map(|warning| format!("warning: {warning}\n"));
    faults.chain(warnings).collect()
}

/// What this process has handed on to itself when it was another program, a target too.
fn handed_on(environment: &[(OsString, OsString)]) -> Option<ExecChain> {
    let (_, text) = environment.iter().find(|(name, _)| name == exec_chain::VARIABLE)?;
    ExecChain::parse(text.to_str()?, thread::getpid(), process::start_time()?)
}

/// Leaves for the program that this one may become what it cannot find out itself. To be called when the main thread is placed.
fn hand_on(chain: ExecChain) {
    let placed = sched::affinity(Tid(0)).map(|mask| CpuSet::from_words(mask.words()));
    let given_class = Some(class_now());
    let chain = ExecChain { placed: placed.unwrap_or(chain.placed), given_class, ..chain };
    if chain.placed == chain.start && chain.given_class == chain.start_class && chain.said == 0 {
        return;
    }
    if let (Ok(name), Ok(value)) = (CString::new(exec_chain::VARIABLE), CString::new(chain.to_string())) {
        process::set_variable(&name, &value);
    }
}

/// The last part of the executable's path.
fn executable_name() -> Option<OsString> {
    let by_exec = || Some(PathBuf::from(OsStr::from_bytes(process::executed_path()?.to_bytes())));
    let path = std::fs::read_link("/proc/self/exe").ok().or_else(by_exec)?;
    Some(OsStr::from_bytes(pinning::strip_deleted(path.file_name()?.as_bytes())).to_owned())
}

/// The CPUs that can be named here, and those that QEMU was started with. What limits a set is not the affinity of this
/// process but its cpuset. The kernel cuts a request for all CPUs to it.
fn host() -> Host {
    let start = sched::affinity(Tid(0)).map(|mask| CpuSet::from_words(mask.words())).unwrap_or_default();
    let everything = [u64::MAX; MASK_WORDS];
    let available = match sched::set_affinity(Tid(0), &everything) {
        Ok(()) => {
            let all = sched::affinity(Tid(0)).map(|mask| CpuSet::from_words(mask.words()));
            // Put it back as it was, before anything else runs.
            let _ = sched::set_affinity(Tid(0), start.words());
            all.unwrap_or_else(|_| start.clone())
        }
        // The process is in a sandbox already, and can have no more than it has.
        Err(_) => start.clone(),
    };
    Host { available, start }
}

/// The scheduling class of the calling thread, without the slice, which may be the kernel's own choice.
fn class_now() -> Class {
    let now = sched::scheduling(Tid(0)).ok().flatten().map_or(Class::USUAL, |now| now.class);
    // Nothing may be created by a thread that has a deadline, so no other thread ever has one.
    let now = if now.kind == ClassKind::Deadline { Class::USUAL } else { now };
    Class { slice_us: 0, ..now }
}

/// The CPUs that are online, whatever cpuset there is; `None` where that cannot be read.
fn online() -> Option<CpuSet> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    CpuSet::parse(list.trim(), &CpuSet::new()).ok().filter(|online| !online.is_empty())
}

/// Says so if another library's `pthread_create` is called in place of ours. Threads may then be created without this
/// library's knowing of it.
fn notice_another_pthread_create(shim: &Shim) {
    let Some(file) = symbol::first_definition_elsewhere(c"pthread_create") else { return };
    bypass::note();
    if let Some(page) = shim.page {
        page.header.bypass_is_possible.store(1, Ordering::Relaxed);
    }
    let file = String::from_utf8_lossy(&file).replace(pinning::is_harmful, "?");
    log::warn!(target: targets::THREAD_START,
        "pthread_create of {file} stands before this library's, so threads may be created unseen; put libpinshim.so first in LD_PRELOAD"
    );
}

/// Lists and places the calling thread, if it is the main thread. Nobody creates that one.
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

/// A forked child that goes on without executing another program is a process of its own: a daemon, or one that shuts
/// itself in (virtiofsd). When it creates its first thread, has a session of its own, or is about to load a filter, it
/// becomes the owner of the slots, and of a status page of its own. A forked child that does none of these owns nothing and writes nothing.
pub(crate) fn take_over_in_a_child(shim: &Shim) {
    if !ownership::is_ours() {
        become_the_owner(shim);
    }
}

#[cold]
fn become_the_owner(shim: &Shim) {
    permitted::forget_loading();
    let pid = thread::getpid();
    // Of its parent's threads a child has only the one that has forked, which is its main thread.
    if pid == 0 || thread::gettid().0 != pid {
        return;
    }
    slots::UNPLACED.store(0, Ordering::Release);
    broker::forget_pending();
    // With `-daemonize` the broker goes on with this process, and with the page that it reads.
    let has_a_page = broker::take_over() || shim.page.is_none_or(page::renew);
    if has_a_page {
        ownership::claim(pid);
        slots::forget_all(shim.page);
        enlist_main(shim);
    }
}
