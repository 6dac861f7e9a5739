//! Every exit status of the command, in one table; `docs/command.md` has the same for users.
//!
//! The numbers are part of the interface: scripts test for them.

/// What was asked for is done, or is so.
pub(crate) const SUCCESS: u8 = 0;

/// `check`, `record` and `apply`: a thread is not where it belongs, or could not be put there.
pub(crate) const OFF: u8 = 1;

/// `plan`: there is no room for such a VM.
pub(crate) const NO_ROOM: u8 = 1;

/// `libvirt status`: something is not as it should be.
pub(crate) const NOT_IN_ORDER: u8 = 1;

/// `doctor`: something is to be mended.
pub(crate) const TO_FIX: u8 = 1;

/// What was asked for could not be done. clap uses the same for arguments that make no sense.
pub(crate) const FAILED: u8 = 2;

/// `check`, `record` and `apply`: the process is not pinned (and `apply` was given no placement).
pub(crate) const NOT_PINNED: u8 = 3;

/// The output could not be written, for another reason than that its reader has gone (EX_IOERR, sysexits.h).
pub(crate) const NOT_WRITTEN: u8 = 74;

/// `libvirt-hook`, at `prepare`: the domain must not start. The library ends QEMU with the same status.
pub(crate) const REFUSED: u8 = pinning::EX_CONFIG;

/// `run` itself could not do its part. env(1), nice(1), stdbuf(1) and timeout(1) use the same number.
pub(crate) const OWN_FAILURE: u8 = 125;

/// `run`: the command is there and cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;

/// `run`: there is no such command.
pub(crate) const NOT_FOUND: u8 = 127;

/// Nobody reads the output any more. Shells report the same for a process that SIGPIPE ended: 128 + SIGPIPE.
pub(crate) const READER_HAS_GONE: u8 = 141;

/// Which subcommand ends with which of them, but for `libvirt-hook`, which only libvirt calls.
#[cfg(test)]
pub(crate) const TABLE: [(u8, &[&str]); 11] = [
    (SUCCESS, &["show", "check", "record", "apply", "metrics", "plan", "doctor", "libvirt"]),
    (OFF, &["check", "record", "apply"]),
    (NOT_IN_ORDER, &["libvirt"]),
    (NO_ROOM, &["plan"]),
    (TO_FIX, &["doctor"]),
    (FAILED, &["show", "check", "record", "apply", "metrics", "plan", "doctor", "libvirt"]),
    (NOT_PINNED, &["check", "record", "apply"]),
    (NOT_WRITTEN, &["run", "show", "check", "record", "apply", "metrics", "plan", "doctor", "libvirt"]),
    (OWN_FAILURE, &["run"]),
    (NOT_EXECUTABLE, &["run"]),
    (NOT_FOUND, &["run"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/command.md");

    /// The rows of the table in the document: numbers and subcommands.
    fn documented() -> Vec<(u8, Vec<String>)> {
        let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| exit status | subcommand |"));
        let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
        let row = |line: &str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let subcommands = cells[2].split(", ").map(|name| name.trim_matches('`').to_owned());
            (cells[1].parse().unwrap(), subcommands.collect())
        };
        rows.map(row).collect()
    }

    #[test]
    fn the_document_has_every_exit_status_and_no_other() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let table: Vec<(u8, Vec<String>)> =
            TABLE.iter().map(|(number, names)| (*number, owned(names))).collect();
        assert_eq!(documented(), table);
        assert!(DOCUMENT.contains(&format!("ends with {READER_HAS_GONE}")));
    }
}
