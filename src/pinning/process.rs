//! What the library and the command must agree on about processes.

/// The broker's argv\[0\] and comm. The broker is a copy of QEMU's process, and this name tells it from QEMU.
pub const BROKER_NAME: &str = "pinshim-broker";

/// The exit status after a bad configuration: EX_CONFIG of sysexits.h.
pub const EX_CONFIG: u8 = 78;

/// What the kernel appends to the path of a file that was removed or replaced, as by an upgrade
/// (proc_pid_exe(5)).
pub const DELETED: &str = " (deleted)";

/// A path as it was before its file was removed or replaced: without [`DELETED`].
pub fn strip_deleted(path: &[u8]) -> &[u8] {
    path.strip_suffix(DELETED.as_bytes()).unwrap_or(path)
}

/// The variable by which `run --exclusive` tells the library which descriptors are leases, such as `3,4`.
pub const LEASES_VARIABLE: &str = "PINSHIM_LEASES";

#[cfg(test)]
mod tests {
    use super::strip_deleted;

    #[test]
    fn only_the_kernels_mark_at_the_end_is_taken_off() {
        for (path, stripped) in [
            ("/usr/bin/kvm (deleted)", "/usr/bin/kvm"),
            ("/usr/bin/kvm", "/usr/bin/kvm"),
            ("/a (deleted)/kvm", "/a (deleted)/kvm"),
            ("kvm (deleted) (deleted)", "kvm (deleted)"),
            ("kvm(deleted)", "kvm(deleted)"),
            ("", ""),
        ] {
            assert_eq!(strip_deleted(path.as_bytes()), stripped.as_bytes());
        }
    }
}
