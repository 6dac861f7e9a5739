//! The hook's messages: to stderr and to the system's log.
//!
//! libvirt shows a hook's stderr to whoever starts the domain, but only if the hook fails. The system's log
//! has the messages in any case.
//!
//! Names of domains, of threads and of files, and parts of the XML stand in messages. Each message goes out as one
//! line that commands no terminal and is of a bounded length, whatever it holds.

use crate::output::text::{cut, harmless};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The facility of daemons, and three severities (syslog.h).
const DAEMON: u8 = 3 << 3;
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// The longest wait for a log daemon: libvirt waits for the hook.
const PATIENCE: Duration = Duration::from_millis(100);

/// So many characters of a message are written.
const CHARACTERS: usize = 1000;

/// A message as one harmless line of a bounded length.
pub(crate) fn line(what: &str) -> String {
    harmless(cut(what, CHARACTERS).as_bytes())
}

/// The two places that a message goes to.
#[derive(Clone)]
pub(crate) struct Log {
    socket: PathBuf,
    say: fn(&str),
}

impl Log {
    /// A log with this socket of the log daemon (usually `/dev/log`).
    pub(crate) fn new(socket: &Path) -> Self {
        let say = |what: &str| {
            // Where this cannot be written, the system's log still has it.
            let _ = writeln!(std::io::stderr(), "pinshim: {what}");
        };
        Self { socket: socket.to_owned(), say }
    }

    /// The same without stderr, for tests.
    #[cfg(test)]
    pub(crate) fn to_socket_alone(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), say: |_| {} }
    }

    pub(crate) fn info(&self, what: &str) {
        self.log(INFO, what);
    }

    pub(crate) fn warning(&self, what: &str) {
        self.log(WARNING, what);
    }

    /// Why a domain does not start.
    pub(crate) fn refusal(&self, what: &str) {
        self.log(ERROR, what);
    }

    fn log(&self, severity: u8, what: &str) {
        let what = line(what);
        (self.say)(&what);
        // Where no log daemon listens, stderr has it.
        let _ = self.send(severity, &what);
    }

    /// Sends a line as syslog(3) does, but without the date, which the daemon adds itself.
    fn send(&self, severity: u8, what: &str) -> std::io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&self.socket)?;
        let line = format!("<{}>pinshim[{}]: {what}", DAEMON | severity, std::process::id());
        socket.send(line.as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_harmless_line_whatever_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("log");
        let daemon = UnixDatagram::bind(&socket).unwrap();
        Log::to_socket_alone(&socket)
            .warning(&format!("a\n<0>b\x1b[2J\u{9b}\u{202e}{}", "x".repeat(1 << 20)));
        let mut bytes = [0; 4096];
        let length = daemon.recv(&mut bytes).unwrap();
        let text = std::str::from_utf8(&bytes[..length]).unwrap();
        assert!(text.starts_with("<28>pinshim[") && text.contains("]: a?<0>b?[2J??xxx"), "{text}");
        assert!(text.ends_with("x…") && text.chars().count() < CHARACTERS + 30, "{text}");
    }
}
