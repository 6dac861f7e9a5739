//! The name of the cgroup that limits a thread, for a warning.

use crate::sys::file;
use crate::sys::path::StackPath;
use pinning::{Tid, is_harmful};
use std::fmt::Write;

/// The cgroup of a thread's cpuset, for a sentence: a space and its path, or nothing where that cannot be read.
pub(crate) struct Cpuset(pub(crate) Tid);

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
                f.write_char(if is_harmful(letter) { '?' } else { letter })?;
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

#[cfg(test)]
mod tests {
    use super::{Cpuset, cpuset_in};
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
