//! Where the hook says what it has to say: stderr, which libvirt shows to whoever starts a domain if the
//! hook fails and drops if it does not, and so the system's log as well.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// syslog.h: the facility of daemons, with the severities below.
const DAEMON: u8 = 3 << 3;
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// No log daemon may keep libvirt waiting.
const PATIENCE: Duration = Duration::from_millis(100);

/// The two places where a line goes.
#[derive(Clone)]
pub(crate) struct Log {
    socket: PathBuf,
    say: fn(&str),
}

impl Log {
    /// With the log daemon's socket, `/dev/log` as a rule.
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
        (self.say)(what);
        // Where no log daemon listens, stderr has it.
        let _ = self.send(severity, what);
    }

    /// As syslog(3) does, without the date: the daemon has a clock too.
    fn send(&self, severity: u8, what: &str) -> std::io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&self.socket)?;
        let line = format!("<{}>pinshim[{}]: {what}", DAEMON | severity, std::process::id());
        socket.send(line.as_bytes()).map(drop)
    }
}
