//! Which executables the library acts in.
//!
//! An inherited `LD_PRELOAD` reaches shells, `timeout` and wrappers: asked before anything else, so it must
//! cost next to nothing and never fail.

use crate::glob::glob_matches;

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

#[cfg(test)]
mod tests {
    use super::acts_in;

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
}
