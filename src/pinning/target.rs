//! Which executables the library acts in.
//!
//! An inherited `LD_PRELOAD` reaches shells, `timeout` and wrappers: asked before anything else, so it must
//! cost next to nothing and never fail.

use crate::glob_matches;

/// The globs that decide where `PIN_TARGET` does not.
pub const DEFAULT_TARGETS: &str = "qemu-system-*,.qemu-system-*-wrapped,qemu-kvm,kvm";

/// Whether the library acts in an executable of this basename.
///
/// `target` is the value of `PIN_TARGET`: globs, separated by commas. An empty or blank one decides as if
/// it were not set ([`Policy::read`](crate::Policy::read) reports it).
pub fn acts_in(target: Option<&[u8]>, basename: &[u8]) -> bool {
    let globs = target.filter(|value| !value.trim_ascii().is_empty()).unwrap_or(DEFAULT_TARGETS.as_bytes());
    globs
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|glob| !glob.is_empty())
        .any(|glob| glob_matches(glob, basename))
}
