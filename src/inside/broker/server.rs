//! What runs in the broker's process.
//!
//! That is a raw clone of a process that may have had other threads, so it makes system calls and touches its own stack:
//! no allocation, no lock, no log. Its memory is a copy: the policy in it is as it was before QEMU's guest ran, and nothing
//! that QEMU does later changes it. The status page and the answers are shared, and whoever has taken over QEMU can
//! write to them, so what is read there is checked.
//!
//! The broker does two things for the process that asks (the kernel tells which that is, with each message). It puts a
//! thread of that process on a set of the policy, and it looks over that process's threads by the same policy.

use crate::affinity::direct::{self, Outcome};
use crate::affinity::record::record;
use crate::affinity::scan::{self, Scope, View};
use crate::broker::filter;
use crate::broker::looks::{KERNEL_THREAD_NS, Looks, WATCH_NS, YOUNG_NS};
use crate::broker::message::{Answer, Kind, Message, Reply};
use crate::broker::shared::Shared;
use crate::state::page::Page;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::path::StackPath;
use crate::sys::process;
use crate::sys::socket::{self, Credentials, Received};
use crate::sys::thread;
use crate::sys::wait;
use pinning::{BROKER_NAME, Policy};
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// The name that ps, top and pidof see. The kernel keeps 15 bytes of it.
const NAME: &[u8] = BROKER_NAME.as_bytes();

/// The capabilities that root's broker keeps, as bits (linux/capability.h): to set affinities of another user's threads
/// (CAP_SYS_NICE), to see that their process holds the socket (CAP_SYS_PTRACE), to become that user (CAP_SETGID,
/// CAP_SETUID).
const CAPABILITIES: u32 = 1 << 23 | 1 << 19 | 1 << 6 | 1 << 7;

/// What the broker knows from its start.
pub(super) struct Broker {
    /// Where each thread should run.
    policy: &'static Policy,
    /// The status page, to read who the threads are and write what became of them.
    page: Option<Page>,
    /// The answers.
    shared: Shared,
    /// The number of QEMU's end of the socket.
    their_fd: i32,
    /// What the kernel calls that end in /proc/PID/fd.
    their_socket: StackPath,
    /// The broker's end.
    socket: i32,
    /// Where argv is in memory. The broker's name is written there.
    arguments: std::ops::Range<usize>,
    /// The process that starts the broker.
    qemu: i32,
}

impl Broker {
    /// Finds out what is easier to find out before the clone.
    pub(super) fn new(shim: &'static Shim, shared: Shared, their_fd: i32, socket: i32) -> Self {
        let mut path = StackPath::default();
        let _ = write!(path, "/proc/self/fd/{their_fd}");
        Self {
            policy: &shim.policy,
            page: shim.page,
            shared,
            their_fd,
            their_socket: StackPath::of_link(libc::AT_FDCWD, path.as_c_str()),
            socket,
            arguments: arguments().unwrap_or(0..0),
            qemu: thread::getpid(),
        }
    }
}

/// Where this process's argv is in memory: the fields arg_start and arg_end of proc_pid_stat(5).
fn arguments() -> Option<std::ops::Range<usize>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // The first field after the name is the third; arg_start is the 48th.
    let start: usize = fields.nth(48 - 3)?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && start < end).then_some(start..end)
}

/// Runs the broker. The process ends when the last process that has QEMU's end of the socket ends.
pub(super) fn run(broker: &Broker) -> ! {
    let proc_folder = file::open(c"/proc", libc::O_RDONLY | libc::O_DIRECTORY).unwrap_or(-1);
    isolate(broker, proc_folder);
    let _ = direct::place_directly(pinning::Tid(0), broker.policy.set(broker.policy.emulator()));
    let (own_pid, uid) = (thread::getpid(), process::geteuid());
    if filter::install().is_err() {
        // Without its filter the broker would be less safe than promised, so QEMU gets none.
        process::exit(1);
    }
    if let Some(page) = broker.page {
        page.header.broker.store(own_pid as u32, Ordering::Relaxed);
    }
    broker.shared.ready().store(1, Ordering::Release);
    wait::futex_wake(broker.shared.ready());

    let mut service = Service { broker, qemu: broker.qemu, proc_folder, uid, looks: Looks::default() };
    loop {
        if wait::wait_readable(broker.socket, service.looks.next_wait_ms(wait::monotonic_ns())) {
            match socket::receive::<{ Message::BYTES }>(broker.socket) {
                Ok(Received::End) => process::exit(0),
                Ok(Received::Message { bytes, sender }) => service.serve(bytes.as_slice(), &sender),
                Ok(Received::Nonsense) | Err(Errno(libc::EINTR | libc::EAGAIN)) => {}
                Err(_) => process::exit(1),
            }
        }
        service.look_where_due();
    }
}

/// Gives the process a name of its own, closes all that is QEMU's, and forbids QEMU to trace it.
fn isolate(broker: &Broker, proc_folder: i32) {
    thread::set_comm(NAME);
    process::set_not_dumpable();
    process::keep_capabilities(CAPABILITIES);
    // Close all descriptors but the two that the broker needs: the monitor, disks and libvirt's pipes are QEMU's.
    let (low, high) = (proc_folder.min(broker.socket), proc_folder.max(broker.socket));
    let mut first = 0;
    for keep in [low, high] {
        // Negative: there is no /proc.
        let Ok(keep) = u32::try_from(keep) else { continue };
        if keep > first {
            file::close_range(first, keep - 1);
        }
        first = keep + 1;
    }
    file::close_range(first, u32::MAX);
    write_arguments(&broker.arguments);
}

/// Writes the broker's name over argv. With a last byte that is not NUL the kernel shows the text up to its
/// first NUL and no more (fs/proc/base.c, get_mm_cmdline).
fn write_arguments(arguments: &std::ops::Range<usize>) {
    if arguments.len() < NAME.len() + 2 {
        return;
    }
    let memory = std::ptr::with_exposed_provenance_mut::<u8>(arguments.start);
    // SAFETY: the kernel says that the process's argv is there. This process has its own copy, no other thread runs in
    // it, and it uses no reference to argv.
    let memory = unsafe { std::slice::from_raw_parts_mut(memory, arguments.len()) };
    memory.fill(0);
    for (to, from) in memory.iter_mut().zip(NAME) {
        *to = *from;
    }
    if let Some(last) = memory.last_mut() {
        *last = b'.';
    }
}

/// The broker while it serves.
struct Service<'a> {
    broker: &'a Broker,
    /// The process whose threads may be placed.
    qemu: i32,
    /// A descriptor of /proc; negative if there is none.
    proc_folder: i32,
    /// The user that the broker runs as.
    uid: u32,
    looks: Looks,
}

impl Service<'_> {
    /// Does what a message asks for, if it comes from QEMU.
    fn serve(&mut self, bytes: &[u8], sender: &Credentials) {
        let Some(message) = Message::from_bytes(bytes) else { return };
        if self.is_qemu(sender.pid) {
            self.follow_user(sender);
            match message.kind {
                Kind::Pin => self.answer(&message),
                Kind::LookForKernelThreads => {
                    self.looks.add(wait::monotonic_ns(), &KERNEL_THREAD_NS, Scope::KernelThreads)
                }
                Kind::WatchNewThread => {
                    self.looks.add(wait::monotonic_ns(), &WATCH_NS, Scope::YoungerThan(YOUNG_NS))
                }
            }
        }
        self.broker.shared.handled().fetch_add(1, Ordering::Release);
    }

    /// After `-runas` QEMU runs as another user than root. The broker becomes that user too, and keeps no capability.
    fn follow_user(&mut self, sender: &Credentials) {
        if self.uid == 0 && sender.uid != 0 && process::become_user(sender.uid, sender.gid).is_ok() {
            self.uid = sender.uid;
        }
    }

    /// Whether this is QEMU's pid. `-daemonize` gives QEMU another one. A privileged sender may claim any pid, so that
    /// process must hold QEMU's end of the socket.
    fn is_qemu(&mut self, pid: i32) -> bool {
        if pid != self.qemu && self.holds_the_socket(pid) {
            self.qemu = pid;
        }
        pid == self.qemu
    }

    /// Whether a process holds QEMU's end of the socket.
    fn holds_the_socket(&self, pid: i32) -> bool {
        let mut path = StackPath::default();
        let _ = write!(path, "{pid}/fd/{}", self.broker.their_fd);
        let link = StackPath::of_link(self.proc_folder, path.as_c_str());
        !link.as_c_str().is_empty() && link.as_c_str() == self.broker.their_socket.as_c_str()
    }

    /// Does what is asked, and writes the answer if the sender still waits for it.
    fn answer(&self, message: &Message) {
        let answer = self.pin(message);
        let Some(word) = self.broker.shared.answer(message.slot) else { return };
        let generation = message.generation & !Reply::MASK;
        let answered = word.compare_exchange(
            generation | Reply::PENDING,
            generation | Reply::of(&answer),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if answered.is_ok() {
            wait::futex_wake(word);
        }
    }

    /// Puts a thread of QEMU's on a set of the policy.
    fn pin(&self, message: &Message) -> Answer {
        let Some(set) = self.broker.policy.sets().get(usize::from(message.set.0)) else {
            return Answer::Refused(Errno(libc::EINVAL));
        };
        if !thread::is_thread_of(self.qemu, message.tid) {
            return Answer::Refused(Errno(libc::ESRCH));
        }
        match direct::place_directly(message.tid, set) {
            Outcome::Placed { .. } => Answer::Placed,
            Outcome::Cut(_) => Answer::Cut,
            Outcome::Refused(errno) => Answer::Refused(errno),
            Outcome::Unanswered => Answer::None,
        }
    }

    /// Does the looks whose time has come.
    fn look_where_due(&mut self) {
        while let Some(scope) = self.looks.take(wait::monotonic_ns()) {
            let Some(page) = self.broker.page else { continue };
            let view =
                View { pid: self.qemu, policy: self.broker.policy, page, proc_folder: self.proc_folder };
            let _ = scan::scan(&view, scope, |misplaced| {
                let outcome = direct::place_directly(misplaced.tid, self.broker.policy.set(misplaced.set));
                // The broker has no log. What became of the thread can be read on the status page.
                record(page, misplaced.tid, &outcome);
            });
        }
    }
}
