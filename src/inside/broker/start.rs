//! Starting the broker, by system calls alone, since QEMU may have several threads by then.
//!
//! It takes two raw clones. The first child makes the second, ends at once, and is waited for here. So the broker, the
//! second, is a child of init's: it never becomes a zombie of QEMU's, and sends it no SIGCHLD. libc's `fork` would run
//! QEMU's atfork handlers, which start a thread in the child.

use crate::broker::client::{CHANNEL, Channel};
use crate::broker::server::{self, Broker};
use crate::broker::shared::Shared;
use crate::report::targets;
use crate::state::shim::Shim;
use crate::sys::errno::{Errno, keeping_errno};
use crate::sys::file;
use crate::sys::file::FD_FLOOR;
use crate::sys::process;
use crate::sys::socket;
use crate::sys::thread;
use crate::sys::wait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to wait until the broker is ready. It needs the time of two forks, but the host may be busy.
const READY: Duration = Duration::from_secs(1);

/// Starts the broker, the first time this is called, and waits until it is ready, for a second at most. Where that fails
/// there is one warning, and QEMU goes on.
pub(crate) fn start(shim: &'static Shim) {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::AcqRel) {
        return;
    }
    keeping_errno(|| {
        let channel = try_start(shim);
        if let Err(errno) = &channel {
            log::warn!(target: targets::BROKER_START,
                "the broker could not be started: {errno}; inside QEMU's sandbox threads stay on their creator's CPUs"
            );
        }
        let _ = CHANNEL.set(channel.ok());
    });
}

fn try_start(shim: &'static Shim) -> Result<Channel, Errno> {
    let shared = Shared::new().ok_or(Errno(libc::ENOMEM))?;
    let (ours, theirs) = socket::socket_pair()?;
    // A forked child has the same numbers. By them the broker knows QEMU after `-daemonize`.
    let (ours, theirs) = (file::move_fd(ours, FD_FLOOR), file::move_fd(theirs, FD_FLOOR));
    socket::receive_credentials(theirs)?;
    let broker = Broker::new(shim, shared, ours, theirs);
    let signals = thread::block_all_signals();
    let made = twice_cloned(&broker);
    thread::restore_signals(signals);
    file::close(theirs);
    if let Err(errno) = made {
        file::close(ours);
        return Err(errno);
    }
    if wait::wait_while(shared.ready(), 0, Instant::now() + READY).is_none() {
        // It may not have isolated itself from QEMU yet. It ends when our end of the socket is closed.
        file::close(ours);
        return Err(Errno(libc::ETIMEDOUT));
    }
    Ok(Channel { socket: ours, shared })
}

/// Makes the broker's process. Returns in QEMU only.
fn twice_cloned(broker: &Broker) -> Result<(), Errno> {
    let Some(child) = process::raw_fork()? else {
        match process::raw_fork() {
            Ok(None) => server::run(broker),
            Ok(Some(_)) => process::exit(0),
            Err(errno) => process::exit(errno.0),
        }
    };
    match process::wait_for(child) {
        Ok(0) => Ok(()),
        Ok(status) => Err(Errno(status)),
        Err(errno) => Err(errno),
    }
}
