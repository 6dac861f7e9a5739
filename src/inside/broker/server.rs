//! The broker itself: what runs in the process outside the sandbox.
//!
//! It is a raw clone of a process that may have had other threads, so it makes system calls and touches its
//! own stack; no allocation, no lock, no log, no Rust runtime. Its memory is a copy: the policy in it is
//! as it was before QEMU's guest ran, and nothing QEMU does later changes it. The status page and the
//! answers are shared, and written to by whoever has taken over QEMU: what is read there is checked.
//!
//! What it can be asked: to put a thread of the process that asks (told by the kernel, for each message)
//! on a set of the policy; to look over that process's threads by the same policy. Nothing else.

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

/// All that root's broker keeps, as bits (linux/capability.h): to pin threads of another user's process
/// (CAP_SYS_NICE), to see that it holds the socket (CAP_SYS_PTRACE), to become that user (CAP_SETGID, CAP_SETUID).
const CAPABILITIES: u32 = 1 << 23 | 1 << 19 | 1 << 6 | 1 << 7;

/// What the broker knows.
pub(super) struct Broker {
    policy: &'static Policy,
    page: Option<Page>,
    shared: Shared,
    /// QEMU's end of the socket, by number, and what the kernel calls it.
    their_fd: i32,
    their_socket: StackPath,
    socket: i32,
    /// Where argv stands in memory, to write the broker's name there.
    arguments: std::ops::Range<usize>,
    qemu: i32,
}

impl Broker {
    /// Everything that is easier to find out before the clone.
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

/// Where the kernel finds this process's argv: proc_pid_stat(5), fields arg_start and arg_end.
fn arguments() -> Option<std::ops::Range<usize>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // The first field after the name is the third; arg_start is the 48th.
    let start: usize = fields.nth(48 - 3)?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && start < end).then_some(start..end)
}

/// Never returns: ends when the last holder of QEMU's end of the socket has ended.
pub(super) fn run(broker: &Broker) -> ! {
    let proc_folder = file::open(c"/proc", libc::O_RDONLY | libc::O_DIRECTORY).unwrap_or(-1);
    isolate(broker, proc_folder);
    let _ = direct::place_directly(pinning::Tid(0), broker.policy.set(broker.policy.emulator()));
    let (own_pid, uid) = (thread::getpid(), process::geteuid());
    if filter::install().is_err() {
        // Weaker than it promises to be: rather not be there.
        process::exit(1);
    }
    if let Some(page) = broker.page {
        page.header.broker.store(own_pid as u32, Ordering::Relaxed);
    }
    broker.shared.ready().store(1, Ordering::Release);
    wait::futex_wake(broker.shared.ready());

    let mut service = Service { broker, qemu: broker.qemu, proc_folder, uid, due: Looks::default() };
    loop {
        if wait::wait_readable(broker.socket, service.due.next_wait_ms(wait::monotonic_ns())) {
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

/// Takes on a name of its own, lets go of everything that is QEMU's, and closes itself to QEMU.
fn isolate(broker: &Broker, proc_folder: i32) {
    thread::set_comm(NAME);
    process::set_not_dumpable();
    process::keep_capabilities(CAPABILITIES);
    // Everything but the two descriptors it needs: the monitor, disks and libvirt's pipes are QEMU's.
    let (low, high) = (proc_folder.min(broker.socket), proc_folder.max(broker.socket));
    let mut first = 0;
    for keep in [low, high] {
        // Negative: there is no /proc here.
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
    // SAFETY: the kernel named this range as the process's argv; it is a private copy of this process, in
    // which nothing else runs, and no reference to it is used again.
    let memory = unsafe { std::slice::from_raw_parts_mut(memory, arguments.len()) };
    memory.fill(0);
    for (to, from) in memory.iter_mut().zip(NAME) {
        *to = *from;
    }
    if let Some(last) = memory.last_mut() {
        *last = b'.';
    }
}

struct Service<'a> {
    broker: &'a Broker,
    /// The process whose threads may be pinned.
    qemu: i32,
    proc_folder: i32,
    uid: u32,
    due: Looks,
}

impl Service<'_> {
    fn serve(&mut self, bytes: &[u8], sender: &Credentials) {
        let Some(message) = Message::from_bytes(bytes) else { return };
        if self.is_qemu(sender.pid) {
            self.follow_user(sender);
            match message.kind {
                Kind::Pin => self.answer(&message),
                Kind::LookForKernelThreads => {
                    self.due.add(wait::monotonic_ns(), &KERNEL_THREAD_NS, Scope::KernelThreads)
                }
                Kind::WatchNewThread => {
                    self.due.add(wait::monotonic_ns(), &WATCH_NS, Scope::YoungerThan(YOUNG_NS))
                }
            }
        }
        self.broker.shared.handled().fetch_add(1, Ordering::Release);
    }

    /// After `-runas` QEMU is somebody else; the broker becomes that too, and keeps nothing.
    fn follow_user(&mut self, sender: &Credentials) {
        if self.uid == 0 && sender.uid != 0 && process::become_user(sender.uid, sender.gid).is_ok() {
            self.uid = sender.uid;
        }
    }

    /// `-daemonize` gives QEMU another pid. A privileged sender may claim any; the process meant must
    /// hold QEMU's end of the socket.
    fn is_qemu(&mut self, pid: i32) -> bool {
        if pid != self.qemu && self.holds_the_socket(pid) {
            self.qemu = pid;
        }
        pid == self.qemu
    }

    fn holds_the_socket(&self, pid: i32) -> bool {
        let mut path = StackPath::default();
        let _ = write!(path, "{pid}/fd/{}", self.broker.their_fd);
        let link = StackPath::of_link(self.proc_folder, path.as_c_str());
        !link.as_c_str().is_empty() && link.as_c_str() == self.broker.their_socket.as_c_str()
    }

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

    fn look_where_due(&mut self) {
        while let Some(scope) = self.due.take(wait::monotonic_ns()) {
            let Some(page) = self.broker.page else { continue };
            let view =
                View { pid: self.qemu, policy: self.broker.policy, page, proc_folder: self.proc_folder };
            let _ = scan::scan(&view, scope, |misplaced| {
                let outcome = direct::place_directly(misplaced.tid, self.broker.policy.set(misplaced.set));
                // Nobody reads what a broker says; the page is where it can be seen.
                record(page, misplaced.tid, &outcome);
            });
        }
    }
}
