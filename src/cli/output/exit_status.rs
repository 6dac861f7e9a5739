//! Every exit status of the command, in one table; `docs/command.md` has the same for users.
//!
//! The numbers are part of the interface: scripts test for them.

/// What was asked for is done, or is so.
pub(crate) const SUCCESS: u8 = 0;

/// `check` and `apply`: a thread is not where it belongs, or could not be put there.
pub(crate) const OFF: u8 = 1;

/// What was asked for could not be done. clap uses the same for arguments that make no sense.
pub(crate) const FAILED: u8 = 2;

/// `check` and `apply`: the process is not pinned (and `apply` was given no placement).
pub(crate) const NOT_PINNED: u8 = 3;

/// `libvirt-hook`, at `prepare`: the domain must not start. The library ends QEMU with the same status.
pub(crate) const REFUSED: u8 = pinning::EX_CONFIG;

/// `run` itself could not do its part. As env(1), nice(1), stdbuf(1) and timeout(1) have it.
pub(crate) const OWN_FAILURE: u8 = 125;

/// `run`: the command is there and cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;

/// `run`: there is no such command.
pub(crate) const NOT_FOUND: u8 = 127;

/// How a process ends whose reader has gone, by the convention of shells: 128 + SIGPIPE.
pub(crate) const READER_HAS_GONE: i32 = 141;
