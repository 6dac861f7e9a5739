//! What the log says of a placement: one warning for each role and cause.

use crate::affinity::direct::Outcome;
use crate::report::{self, Cause, targets};
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::StackPath;
use crate::sys::sched::{self, Mask};
use pinning::{CpuList, RoleKind, SetId, Tid};
use std::fmt::Write;

/// Who a warning is about.
pub(crate) struct About<'a> {
    pub(crate) tid: Tid,
    pub(crate) role: RoleKind,
    pub(crate) name: &'a [u8],
    pub(crate) set: SetId,
}

/// Logs what became of a thread: at level info where it runs, else one warning for each role and cause.
pub(crate) fn report(shim: &Shim, who: &About<'_>, outcome: &Outcome) {
    let set = shim.policy.set(who.set);
    let (tid, role, name) = (who.tid, who.role, Name(who.name));
    match outcome {
        Outcome::Placed { .. } => {
            log::info!(target: targets::AFFINITY, "thread {tid}{name} ({role}) runs on {set}")
        }
        Outcome::Cut(left) => {
            if report::first_time(role, Cause::Cut) {
                let left = CpuList(left.as_ref().map(Mask::words).unwrap_or_default());
                let cpuset = Cpuset(tid);
                log::warn!(target: targets::AFFINITY,
                    "thread {tid}{name} ({role}) should run on {set}; its cpuset{cpuset} leaves it {left}"
                );
            }
        }
        Outcome::Refused(errno) => {
            if report::first_time(role, Cause::Refused) {
                match sched::affinity(tid) {
                    // sched_setaffinity(2): none of these CPUs is in its cpuset.
                    Ok(left) if *errno == Errno(libc::EINVAL) => log::warn!(target: targets::AFFINITY,
                        "thread {tid}{name} ({role}) should run on {set}; its cpuset{} leaves it {}",
                        Cpuset(tid),
                        CpuList(left.words())
                    ),
                    _ => {
                        log::warn!(target: targets::AFFINITY, "thread {tid}{name} ({role}) could not be put on {set}: {errno}")
                    }
                }
            }
        }
        // The broker said so itself, once.
        Outcome::Unanswered => {}
    }
}

/// The cgroup in which a thread of this process has its cpuset, in a sentence: nothing where that cannot be
/// read.
struct Cpuset(Tid);

impl std::fmt::Display for Cpuset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut path = StackPath::default();
        write!(path, "/proc/self/task/{}/cgroup", self.0)?;
        let mut room = [0u8; 2048];
        let Ok(file) = file::open(path.as_c_str(), libc::O_RDONLY) else { return Ok(()) };
        let text = file::read(file, &mut room);
        file::close(file);
        let name = cpuset_in(text.unwrap_or_default()).unwrap_or_default();
        if !name.is_empty() {
            f.write_str(" ")?;
        }
        for chunk in name.utf8_chunks() {
            for letter in chunk.valid().chars() {
                f.write_char(if letter.is_control() { '?' } else { letter })?;
            }
        }
        Ok(())
    }
}

/// cgroups(7), /proc/PID/cgroup: `3:cpuset:/PATH` of version 1, else `0::/PATH`.
fn cpuset_in(text: &[u8]) -> Option<&[u8]> {
    let mut unified = None;
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.split(|byte| *byte == b',').any(|name| name == b"cpuset") {
            return Some(path);
        }
        if number == b"0" && controllers.is_empty() {
            unified = Some(path);
        }
    }
    unified
}

/// A thread's name in a sentence: nothing where there is none.
struct Name<'a>(&'a [u8]);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(" \"")?;
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        f.write_str("\"")
    }
}
