//! What the log says of a placement. There is one warning for each role, cause and cgroup.

use crate::affinity::direct::Outcome;
use crate::placing::cpuset::Cpuset;
use crate::report::once::{self, Cause};
use crate::report::targets;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::sched::{self, Mask};
use pinning::{CpuList, RoleKind, SetId, Tid};

/// The thread that a record of the log is about.
pub(crate) struct About<'a> {
    /// Its id.
    pub(crate) tid: Tid,
    /// Its role.
    pub(crate) role: RoleKind,
    /// QEMU's name for it; empty if that is not known.
    pub(crate) name: &'a [u8],
    /// The set that it should run on.
    pub(crate) set: SetId,
    /// Whether the kernel made it.
    pub(crate) made_by_the_kernel: bool,
}

/// Logs what became of a thread: where it runs at level info, or the first time for its role, cause and, where a manager
/// gives threads cgroups of their own, cgroup a warning.
pub(crate) fn report(shim: &Shim, who: &About<'_>, outcome: &Outcome) {
    let set = shim.policy.set(who.set);
    let (tid, role, name) = (who.tid, who.role, Name(who.name));
    // The cgroup, if a warning is due: it is read for nothing else, unless each cgroup has a warning of its own.
    let if_due = |cause: Cause| {
        if shim.policy.manager().is_none() {
            return once::first_time(role, cause).then(|| Cpuset::of(tid));
        }
        let cpuset = Cpuset::of(tid);
        once::first_time_in(role, cause, cpuset.path()).then_some(cpuset)
    };
    match outcome {
        Outcome::Placed { .. } => {
            log::info!(target: targets::AFFINITY, "thread {tid}{name} ({role}) runs on {set}")
        }
        Outcome::Cut(left) => {
            if let Some(cpuset) = if_due(Cause::Cut) {
                let left = CpuList(left.as_ref().map(Mask::words).unwrap_or_default());
                log::warn!(target: targets::AFFINITY,
                    "thread {tid}{name} ({role}) should run on {set}; its cpuset{cpuset} leaves it {left}"
                );
            }
        }
        Outcome::Refused(errno) => {
            if let Some(cpuset) = if_due(Cause::Refused) {
                // sched_setaffinity(2), EINVAL: none of these CPUs is in the thread's cpuset.
                match (errno, sched::affinity(tid)) {
                    (Errno(libc::EINVAL), Ok(left)) => log::warn!(target: targets::AFFINITY,
                        "thread {tid}{name} ({role}) should run on {set}; its cpuset{cpuset} leaves it {}",
                        CpuList(left.words())
                    ),
                    (Errno(libc::EINVAL), Err(_)) => log::warn!(target: targets::AFFINITY,
                        "thread {tid}{name} ({role}) should run on {set}; its cpuset{cpuset} has none of these CPUs"
                    ),
                    _ => {
                        log::warn!(target: targets::AFFINITY, "thread {tid}{name} ({role}) could not be put on {set}: {errno}")
                    }
                }
            }
        }
        // The warning that the broker does not answer was given when it did not.
        Outcome::Unanswered => {}
    }
}

/// Whether a thread is off its set only until a manager has moved it on. Then it is neither counted nor warned of: it is
/// looked at again.
pub(crate) fn passes(shim: &Shim, who: &About<'_>, outcome: &Outcome) -> bool {
    let is_limited = matches!(outcome, Outcome::Cut(_) | Outcome::Refused(Errno(libc::EINVAL)));
    let manager = shim.policy.manager();
    is_limited
        && manager.is_some()
        && Cpuset::of(who.tid).is_passing(manager, who.role, who.made_by_the_kernel)
}

/// A thread's name for a sentence: a space and the quoted name, or nothing where there is none.
pub(super) struct Name<'a>(pub(super) &'a [u8]);

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

#[cfg(test)]
mod tests {
    use super::Name;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_is_shown_between_quotes_without_what_is_not_utf_8(name in prop::collection::vec(any::<u8>(), 0..40)) {
            let shown = Name(&name).to_string();
            let letters = String::from_utf8_lossy(&name).replace('\u{FFFD}', "");
            // A replacement character of the name's own is a letter as well.
            let shown = shown.replace('\u{FFFD}', "");
            let expected = if name.is_empty() { String::new() } else { format!(" \"{letters}\"") };
            prop_assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_name_is_shown_with_what_of_it_is_utf_8() {
        for (name, shown) in [
            (&b""[..], ""),
            (b"CPU 0/KVM", " \"CPU 0/KVM\""),
            (b"IO \xFFdisk\xC3", " \"IO disk\""),
            (b"\xFF", " \"\""),
        ] {
            assert_eq!(Name(name).to_string(), shown);
        }
        assert_eq!(Name("Größe".as_bytes()).to_string(), " \"Größe\"");
    }
}
