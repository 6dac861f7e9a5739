//! Starting the broker, by system calls alone, since QEMU may have several threads by then.
//!
//! It takes two raw clones. The first child makes the second, ends at once, and is waited for here. So the broker, the
//! second, becomes a child of init, or of a subreaper: it is never a zombie of QEMU's, and sends it no SIGCHLD. libc's `fork` would run
//! QEMU's atfork handlers, which start a thread in the child.

use crate::broker::client::{self, CHANNEL, Channel, Waited};
use crate::broker::failure::{Failure, Step, at};
use crate::broker::server::{self, Broker};
use crate::broker::shared::{NOT_YET, Shared};
use crate::filters::permitted;
use crate::report::targets;
use crate::state::shim::Shim;
use crate::sys::errno::{Errno, keeping_errno};
use crate::sys::file;
use crate::sys::file::FD_FLOOR;
use crate::sys::process;
use crate::sys::socket;
use crate::sys::thread;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to wait until the broker is ready. It needs the time of two forks, but the host may be busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the broker, the first time this is called, and waits until it is ready, for a second at most. Where that fails
/// there is one warning, and QEMU goes on.
pub(crate) fn start(shim: &'static Shim) {
    static STARTED: AtomicBool = AtomicBool::new(false);
    // The broker would be under a filter that was loaded before, too.
    if permitted::is_deadly() || !process::may_make_another() {
        return;
    }
    if STARTED.swap(true, Ordering::AcqRel) {
        return;
    }
    keeping_errno(|| {
        let channel = try_start(shim);
        if let Err(failure) = &channel {
            log::warn!(target: targets::BROKER_START,
                "the broker could not be started: {failure}; inside QEMU's sandbox threads stay on their creator's CPUs"
            );
        }
        let _ = CHANNEL.set(channel.ok());
    });
}

fn try_start(shim: &'static Shim) -> Result<Channel, Failure> {
    let shared = Shared::new().ok_or(Failure { step: Step::SharedMemory, errno: Errno(libc::ENOMEM) })?;
    let (ours, theirs) = socket::socket_pair().map_err(at(Step::SocketPair))?;
    // A forked child has the same numbers. By them the broker knows QEMU after `-daemonize`.
    let (ours, theirs) = (file::move_fd(ours, FD_FLOOR), file::move_fd(theirs, FD_FLOOR));
    let started = start_on(shim, shared, ours, theirs);
    file::close(theirs);
    match started.and_then(|()| wait_until_ready(shared, ours)) {
        Ok(()) => Ok(Channel { socket: ours, shared }),
        Err(failure) => {
            // It may not have isolated itself from QEMU. If it still runs it ends when our end of the socket is closed.
            file::close(ours);
            Err(failure)
        }
    }
}

/// Starts the broker on its end of the socket.
fn start_on(shim: &'static Shim, shared: Shared, ours: i32, theirs: i32) -> Result<(), Failure> {
    socket::receive_credentials(theirs).map_err(at(Step::Credentials))?;
    let broker = Broker::new(shim, shared, ours, theirs)?;
    let signals = thread::block_all_signals();
    let made = twice_cloned(&broker);
    thread::restore_signals(signals);
    broker.close_descriptors_of_qemu();
    made
}

/// Waits until the broker is ready, or has said why it is not, or has ended.
fn wait_until_ready(shared: Shared, ours: i32) -> Result<(), Failure> {
    let errno = match client::wait_for_broker(ours, shared.state(), NOT_YET, Instant::now() + PATIENCE) {
        Waited::Word(word) => return Failure::from_word(word).map_or(Ok(()), Err),
        Waited::Ended => libc::ECHILD,
        Waited::InVain => libc::ETIMEDOUT,
    };
    Err(Failure { step: Step::Ready, errno: Errno(errno) })
}

/// Makes the broker's process. Returns in QEMU only.
fn twice_cloned(broker: &Broker) -> Result<(), Failure> {
    let Some(child) = process::raw_fork().map_err(at(Step::Clone))? else {
        match process::raw_fork() {
            Ok(None) => server::run(broker),
            Ok(Some(_)) => process::exit(0),
            Err(errno) => process::exit(errno.0),
        }
    };
    match process::wait_for(child).map_err(at(Step::Wait))? {
        0 => Ok(()),
        status => Err(Failure { step: Step::Clone, errno: Errno(status) }),
    }
}
