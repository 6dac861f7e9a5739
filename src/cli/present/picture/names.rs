//! What threads, roles and CPUs are called.

use crate::output::text::cpus;
use crate::present::picture::off::OffMark;
use crate::present::picture::spell::{count, length, number, percent, range};
use crate::record::recording::{ThreadLane, Who};
use pinning::RoleKind;

/// The threads of a role.
pub(super) fn threads_of(role: RoleKind) -> &'static str {
    match role {
        RoleKind::Emulator => "emulator",
        RoleKind::Vcpu => "vCPUs",
        RoleKind::IoThread => "IOThreads",
        RoleKind::Worker => "workers",
        RoleKind::Migration => "migration",
        RoleKind::Vhost => "vhost workers",
        RoleKind::Exempt => "exempt",
    }
}

/// A thread's role.
pub(super) fn role(thread: &ThreadLane) -> String {
    let role = match thread.role {
        RoleKind::Emulator => "emulator",
        RoleKind::Vcpu => "vCPU",
        RoleKind::IoThread => "IOThread",
        RoleKind::Worker => "worker",
        RoleKind::Migration => "migration",
        RoleKind::Vhost => "vhost worker",
        RoleKind::Exempt => "exempt",
    };
    let index = match thread.role {
        RoleKind::Vcpu | RoleKind::Vhost => thread.index.map(|index| format!(" {index}")).unwrap_or_default(),
        _ => String::new(),
    };
    let mark = if thread.role_assumed { "?" } else { "" };
    format!("{role}{index}{mark}")
}

/// A thread with its id and its role.
pub(super) fn thread(thread: &ThreadLane) -> String {
    let role = role(thread);
    let name = if role == thread.name { String::new() } else { format!("{}, ", thread.name) };
    format!("{name}{role} (thread {})", thread.tid)
}

/// Several threads: the one that it is, or how many.
pub(super) fn threads<'a>(mut threads: impl ExactSizeIterator<Item = &'a ThreadLane>) -> String {
    let count = threads.len() as u64;
    match threads.next() {
        Some(first) if count == 1 => thread(first),
        Some(first) if threads.all(|other| other.name == first.name) => {
            format!("{} × {}", number(count), first.name)
        }
        _ => format!("{} threads", number(count)),
    }
}

/// The CPUs of a thread's set.
pub(super) fn expected(thread: &ThreadLane) -> String {
    thread.expected.as_ref().map_or_else(String::new, cpus)
}

/// Somebody with a process.
pub(super) fn who(who: &Who) -> String {
    if who.tid.0 == who.pid {
        format!("{} (PID {})", who.comm, who.pid)
    } else {
        format!("{} (thread {} of PID {})", who.comm, who.tid, who.pid)
    }
}

/// What a thread did, in a sentence.
pub(super) fn summary(lane: &ThreadLane, time: u64) -> String {
    let mut words = thread(lane);
    if lane.expected.is_some() {
        words += &format!(", belongs on {}", expected(lane));
    }
    words += &format!(": ran {} ({}) in {}", length(lane.ran), percent(lane.ran, time), number(lane.runs));
    if lane.expected.is_some() {
        words += &format!(", {} off its set", length(lane.off));
    }
    words
        + &format!(", changed its CPU {}, waited {} for one", count(lane.moves, "time"), length(lane.waited))
}

/// What a time off the set says of itself.
pub(super) fn off(mark: &OffMark, who: &str) -> String {
    let runs = if mark.runs == 1 { String::new() } else { format!(" in {}", count(mark.runs, "run")) };
    let (cpus, when) = (cpus(&mark.cpus), range(mark.from, mark.to));
    format!("OFF ITS SET: {who} on {cpus}, {when}, {}{runs}", length(mark.off))
}
