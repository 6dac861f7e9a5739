//! `PIN_TARGET`: which executables the library acts in.
//!
//! Shells, `timeout` and wrappers inherit `LD_PRELOAD` as well, so the library asks this first in every
//! process. The answer is cheap and never an error.

use super::items::{self, Separators};
use super::mistake::{Mistake, shown};
use crate::glob::{MAX_GLOB_BYTES, glob_matches, too_long};

/// No value has more globs. The command asks about every process of the host, with the value that the process
/// has in its environment, so a long value must not cost the command time.
const GLOBS_LIMIT: usize = 64;

/// The globs that decide where `PIN_TARGET` is not set.
pub const DEFAULT_TARGETS: &str = "qemu-system-*,.qemu-system-*-wrapped,qemu-kvm,kvm";

/// Whether the library acts in an executable of this basename.
///
/// `target` is the value of `PIN_TARGET`: globs, separated by commas. An empty or blank one decides as if
/// it were not set ([`Policy::parse`](crate::Policy::parse) reports it). Globs past the 64th, and those of more
/// than 256 bytes, do not count (it reports them too).
pub fn acts_in(target: Option<&[u8]>, basename: &[u8]) -> bool {
    let globs = target.filter(|value| !trim(value).is_empty()).unwrap_or(DEFAULT_TARGETS.as_bytes());
    globs
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|glob| !glob.is_empty())
        .take(GLOBS_LIMIT)
        .filter(|glob| glob.len() <= MAX_GLOB_BYTES)
        .any(|glob| glob_matches(glob, basename))
}

/// A text without the white space around it: the same characters that [`mistakes`] takes for white space.
fn trim(text: &[u8]) -> &[u8] {
    let is_other = |&byte: &u8| !items::is_blank(char::from(byte));
    let first = text.iter().position(is_other).unwrap_or(text.len());
    let end = text.iter().rposition(is_other).map_or(first, |last| last + 1);
    text.get(first..end).unwrap_or_default()
}

/// Everything wrong with a value of `PIN_TARGET`.
pub(crate) fn mistakes(value: &str) -> Vec<Mistake> {
    let (mut globs, mut mistakes) = items::split(value, 1, Separators::EveryComma);
    items::limit(&mut globs, GLOBS_LIMIT, "globs", &mut mistakes);
    if items::is_blank_text(value) {
        let hint = "name executables by basename or unset the variable";
        mistakes.push(Mistake::at(1, "the value is empty").hint(hint));
    }
    for glob in globs {
        if glob.text.len() > MAX_GLOB_BYTES {
            mistakes.push(Mistake::at(glob.column, too_long()));
        } else if let Some((_, basename)) = glob.text.rsplit_once('/') {
            let hint = if basename.is_empty() {
                "write a basename".to_owned()
            } else {
                format!("did you mean {}?", shown(basename))
            };
            mistakes.push(
                Mistake::at(glob.column, "executables go by basename, and a basename holds no /").hint(hint),
            );
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_TARGETS, acts_in, mistakes};

    /// The wrapper for libvirt adds to it.
    #[test]
    fn the_wrapper_has_the_same_default() {
        let wrapper = include_str!("../../../scripts/qemu-pinned");
        assert!(wrapper.contains(&format!("\ntargets='{DEFAULT_TARGETS}'\n")));
    }

    #[test]
    fn by_default_only_in_qemus_system_emulators() {
        for basename in ["qemu-system-x86_64", ".qemu-system-arm-wrapped", "qemu-kvm", "kvm"] {
            assert!(acts_in(None, basename.as_bytes()), "{basename}");
            assert!(acts_in(Some(b" "), basename.as_bytes()), "{basename}");
        }
        for basename in ["qemu-img", "bash", "timeout", "kvm2", "qemu-x86_64", ""] {
            assert!(!acts_in(None, basename.as_bytes()), "{basename}");
        }
    }

    #[test]
    fn pin_target_replaces_the_default() {
        let target = Some(&b"vmm-* , my vm,,x\xff"[..]);
        assert!(acts_in(target, b"vmm-1"));
        assert!(acts_in(target, b"my vm"));
        assert!(acts_in(target, b"x\xff"));
        assert!(!acts_in(target, b"kvm"));
        assert!(!acts_in(target, b""));
    }

    /// Other white space is part of a name for the one as for the other.
    #[test]
    fn what_is_asked_and_what_is_checked_agree_on_white_space() {
        assert!(acts_in(Some(b"kvm\r"), b"kvm\r"));
        assert!(!acts_in(Some(b"kvm\r"), b"kvm"));
        assert!(!acts_in(Some(b"\x0c"), b"kvm"));
        assert_eq!(mistakes("\u{c}"), []);
        assert!(acts_in(Some(b" \t\n"), b"kvm"));
        assert_eq!(mistakes(" \t\n").len(), 1);
    }

    #[test]
    fn globs_past_the_limits_do_not_count() {
        let after = |globs: usize| "x, ,".repeat(globs) + "kvm";
        assert!(acts_in(Some(after(63).as_bytes()), b"kvm"));
        assert!(!acts_in(Some(after(64).as_bytes()), b"kvm"));
        assert!(acts_in(Some(&[b'*'; 256]), b"kvm"));
        assert!(!acts_in(Some(&[b'*'; 257]), b"kvm"));
    }
}
