//! What the log says of a placement. There is one warning for each role and cause.

use crate::affinity::direct::Outcome;
use crate::report::{self, Cause, targets};
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::StackPath;
use crate::sys::sched::{self, Mask};
use pinning::{CpuList, RoleKind, SetId, Tid};
use std::fmt::Write;

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
}

/// Logs what became of a thread: where it runs at level info, or the first time for its role and cause a warning.
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
        // The warning that the broker does not answer was given when it did not.
        Outcome::Unanswered => {}
    }
}

/// The cgroup of a thread's cpuset, for a sentence: a space and its path, or nothing where that cannot be read.
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

/// The cgroup of the cpuset in the text of a /proc/PID/cgroup (cgroups(7)): that of `3:cpuset:/PATH` (version
/// 1), else that of `0::/PATH` (version 2).
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

/// A thread's name for a sentence: a space and the quoted name, or nothing where there is none.
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

#[cfg(test)]
mod tests {
    use super::{Cpuset, Name, cpuset_in};
    use crate::sys::thread;
    use pinning::Tid;
    use proptest::prelude::*;

    #[test]
    fn the_cpuset_is_that_of_version_1_or_the_one_of_version_2() {
        for (text, expected) in [
            ("0::/machine.slice/vm\n", Some("/machine.slice/vm")),
            ("0::/\n", Some("/")),
            // Version 1.
            ("5:memory:/m\n3:cpuset:/c\n1:name=systemd:/s\n", Some("/c")),
            ("3:cpuset,cpu:/c\n", Some("/c")),
            ("3:cpu,cpuset\n4:cpu,cpuset:/c\n", Some("/c")),
            // Both: the cpuset is where its controller is.
            ("3:cpuset:/c\n0::/u\n", Some("/c")),
            ("0::/u\n3:cpuset:/c\n", Some("/c")),
            ("5:memory:/m\n0::/u\n", Some("/u")),
            // Names that look like something else.
            ("0::/a:cpuset:/b\n", Some("/a:cpuset:/b")),
            ("1:name=cpuset:/named\n0::/u\n", Some("/u")),
            ("2:cpusets:/x\n0::/u\n", Some("/u")),
            ("10::/x\n", None),
            // The kernel ends each line; a text that was cut has a last line without an end.
            ("3:cpuset:/lo", Some("/lo")),
            ("5:memory:/m\n0:", None),
            ("5:memory:/m\n", None),
            ("", None),
            ("\n\n::\n", None),
        ] {
            assert_eq!(cpuset_in(text.as_bytes()), expected.map(str::as_bytes), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_cpuset_in_it_or_none(text in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(path) = cpuset_in(&text) {
                prop_assert!(!path.contains(&b'\n'));
                prop_assert!(path.is_empty() || text.windows(path.len()).any(|part| part == path));
            }
        }

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

    #[test]
    fn a_thread_s_cpuset_is_shown_behind_a_space_or_not_at_all() {
        let text = std::fs::read("/proc/thread-self/cgroup").unwrap_or_default();
        let path = String::from_utf8_lossy(cpuset_in(&text).unwrap_or_default()).into_owned();
        let expected = if path.is_empty() { path } else { format!(" {path}") };
        assert_eq!(Cpuset(thread::gettid()).to_string(), expected);
        assert_eq!(Cpuset(Tid(-1)).to_string(), "");
    }
}
