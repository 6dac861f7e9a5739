//! What runs in the broker's process.
//!
//! That is a raw clone of a process that may have had other threads, so it makes system calls and touches its own stack:
//! no allocation, no lock, no log. Its memory is a copy: the policy in it is as it was before QEMU's guest ran, and nothing
//! that QEMU does later changes it. The status page and the answers are shared, and whoever has taken over QEMU can
//! write to them, so what is read there is checked.
//!
//! The broker does two things for the process that it serves (`served` says which that is). It puts a thread of that
//! process on a set of the policy, and it looks over that process's threads by the same policy. At an error that it does not
//! expect (`expected`) it ends.

use crate::affinity::direct::{self, Outcome};
use crate::affinity::record::{is_news, record};
use crate::affinity::scan::{self, Scope, View};
use crate::affinity::threads::Threads;
use crate::broker::expected::checked;
use crate::broker::failure::{Failure, Step, at};
use crate::broker::isolate::{Folders, isolate};
use crate::broker::looks::{KERNEL_THREAD_NS, Looks, WATCH_NS, YOUNG_NS};
use crate::broker::message::{Answer, Kind, Message, Reply};
use crate::broker::online::Online;
use crate::broker::served::{KnownBy, Process, Served, Then};
use crate::broker::shared::{READY, Shared};
use crate::broker::watch::{Watch, is_not_meant};
use crate::filters::permitted;
use crate::state::ownership;
use crate::state::page::Page;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::file::FD_FLOOR;
use crate::sys::path::StackPath;
use crate::sys::proc_stat::ProcStat;
use crate::sys::process::{self, STAT_BYTES};
use crate::sys::socket::{self, Credentials, Received};
use crate::sys::thread;
use crate::sys::wait;
use pinning::Policy;
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Milliseconds between two looks whether the process has ended, where the kernel has no pidfd to wait for.
const WITHOUT_PIDFD_MS: i64 = 500;

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
    arguments: Range<usize>,
    /// The process that starts the broker.
    qemu: Process,
    /// When that process started, in clock ticks, where it is known.
    start_time: Option<u64>,
    /// Whether the ids in the names of the kernel's threads are those that it knows.
    knows_submitters: bool,
    /// Whether a child of that process is going to run the VM.
    daemonizes: bool,
}

impl Broker {
    /// Finds out what is easier to find out before the clone. A process is asked about by itself, so that its pid can
    /// be nobody else's yet.
    pub(super) fn new(
        shim: &'static Shim,
        shared: Shared,
        their_fd: i32,
        socket: i32,
    ) -> Result<Self, Failure> {
        let mut room = [0; STAT_BYTES];
        let stat = process::own_stat(&mut room);
        let start_time = stat.and_then(ProcStat::start_time);
        let mut qemu = Process::open(thread::getpid(), start_time).map_err(at(Step::Identity))?;
        if let KnownBy::Descriptor(fd) = &mut qemu.known_by {
            *fd = file::move_fd(*fd, FD_FLOOR);
        }
        Ok(Self {
            policy: &shim.policy,
            page: shim.page,
            shared,
            their_fd,
            their_socket: StackPath::of_descriptor(their_fd),
            socket,
            arguments: stat.and_then(ProcStat::arguments).unwrap_or(0..0),
            qemu,
            start_time,
            knows_submitters: shim.knows_submitters,
            daemonizes: shim.daemonizes && !ownership::was_taken_over(),
        })
    }

    /// To be called in QEMU once the broker has its own copies.
    pub(super) fn close_descriptors_of_qemu(&self) {
        self.qemu.close();
    }
}

/// Runs the broker. The process ends when the process that it serves has ended.
pub(super) fn run(broker: &Broker) -> ! {
    permitted::forget_all();
    let state = broker.shared.state();
    match Service::start(broker) {
        Ok(mut service) => {
            publish(state, READY);
            service.serve_for_good()
        }
        Err(failure) => {
            publish(state, failure.to_word());
            process::exit(1)
        }
    }
}

/// Writes a word that somebody in QEMU may wait for.
fn publish(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
    wake(word);
}

fn wake(word: &AtomicU32) {
    let _ = checked(libc::SYS_futex, wait::futex_wake(word));
}

/// The broker while it serves.
struct Service<'a> {
    broker: &'a Broker,
    /// Whose threads may be placed.
    served: Served,
    folders: Folders,
    /// The user that the broker runs as.
    uid: u32,
    looks: Looks,
    /// What the looks that come again and again are for.
    watch: Watch,
    /// The CPUs that were online at the last of them.
    online: Online,
}

impl<'a> Service<'a> {
    /// Isolates the broker from QEMU.
    fn start(broker: &'a Broker) -> Result<Self, Failure> {
        let set = broker.policy.set(broker.policy.emulator());
        let keep = [broker.socket, broker.qemu.descriptor()];
        let watch = Watch::of(broker.policy);
        // Asked for first, as the filter allows neither.
        let (pid, uid) = (thread::getpid(), process::geteuid().map_err(at(Step::User))?);
        let folders = isolate(keep, &broker.arguments, set, watch == Watch::ForOnlineCpus)?;
        wait::wait_for_any([broker.socket, broker.qemu.descriptor()], 0).map_err(at(Step::Poll))?;
        if let Some(page) = broker.page {
            page.header.broker.store(pid as u32, Ordering::Relaxed);
        }
        Ok(Self {
            broker,
            served: Served::new(broker.qemu, broker.daemonizes),
            folders,
            uid,
            looks: Looks::new(now(), watch.seconds()),
            watch,
            online: Online::unknown(),
        })
    }

    /// Deals with messages and looks until the process that is served has ended.
    fn serve_for_good(&mut self) -> ! {
        loop {
            if self.wait() {
                match checked(libc::SYS_recvmsg, socket::receive::<{ Message::BYTES }>(self.broker.socket)) {
                    Ok(Received::End) => process::exit(0),
                    Ok(Received::Message { bytes, sender }) => self.serve(bytes.as_slice(), &sender),
                    Ok(Received::Nonsense) | Err(_) => {}
                }
            }
            self.look_where_due();
        }
    }

    /// Waits for a message; true if there is one. Ends the broker if there is nobody left to serve: so whoever is served
    /// when this returns has not ended before it was called.
    fn wait(&mut self) -> bool {
        let of = |process: Option<Process>| process.as_ref().map_or(-1, Process::descriptor);
        let (current, starter) = (self.served.current(), self.served.starter());
        let mut limit = self.looks.next_wait_ms(now());
        let without_pidfd =
            |process: Option<Process>| process.is_some_and(|process| process.descriptor() < 0);
        if without_pidfd(current) || without_pidfd(starter) {
            limit = if limit < 0 { WITHOUT_PIDFD_MS } else { limit.min(WITHOUT_PIDFD_MS) };
        }
        let fds = [self.broker.socket, of(current), of(starter)];
        // Where it was interrupted, it waits again.
        let [message, current_ended, starter_ended] =
            checked(libc::SYS_ppoll, wait::wait_for_any(fds, limit)).unwrap_or_default();
        let current_ended = current_ended || self.has_ended_by_stat(current);
        let starter_ended = starter_ended || self.has_ended_by_stat(starter);
        if self.served.have_ended(current_ended, starter_ended) == Then::End {
            process::exit(0);
        }
        // A descriptor that is of no use any more.
        for (ended, process) in [(starter_ended, starter), (current_ended && current != starter, current)] {
            if let Some(process) = process.filter(|_| ended) {
                process.close();
            }
        }
        message
    }

    /// Whether a process has ended, where that cannot be polled for.
    fn has_ended_by_stat(&self, process: Option<Process>) -> bool {
        let Some(process) = process.filter(|process| process.descriptor() < 0) else { return false };
        let mut room = [0; STAT_BYTES];
        process.has_ended_by(self.stat(process.pid, &mut room))
    }

    /// The stat file of a process.
    fn stat<'r>(&self, pid: i32, room: &'r mut [u8; STAT_BYTES]) -> Option<ProcStat<'r>> {
        ProcStat::new(self.threads(pid).text(format_args!("{pid}/stat"), room).ok()?)
    }

    /// The threads of a process, for the files of it that are below /proc.
    fn threads(&self, pid: i32) -> ServedThreads<'_, 'a> {
        ServedThreads { service: self, process: Process { pid, known_by: KnownBy::Descriptor(-1) } }
    }

    /// Does what a message asks for, if it comes from the process that is served.
    fn serve(&mut self, bytes: &[u8], sender: &Credentials) {
        let Some(message) = Message::from_bytes(bytes) else { return };
        if message.kind == Kind::TakeOver {
            let answer =
                if self.take_over(sender) { Answer::Placed } else { Answer::Refused(Errno(libc::EPERM)) };
            self.answer(&message, &answer);
        } else if let Some(process) = self.served.current().filter(|process| process.pid == sender.pid) {
            self.follow_user(sender);
            match message.kind {
                Kind::Pin => self.answer(&message, &self.pin(process, &message)),
                Kind::LookForKernelThreads => {
                    if let Some(useless) = self.served.vcpu_runs() {
                        useless.close();
                    }
                    self.looks.add(now(), &KERNEL_THREAD_NS, Scope::KernelThreads);
                }
                Kind::WatchNewThread => self.looks.add(now(), &WATCH_NS, Scope::YoungerThan(YOUNG_NS)),
                Kind::TakeOver => {}
            }
        }
        self.broker.shared.handled().fetch_add(1, Ordering::Release);
    }

    /// Has another process be the one that is served, if it may be. True if it is now.
    fn take_over(&mut self, sender: &Credentials) -> bool {
        if self.served.starter().is_none() || sender.uid != self.uid {
            return false;
        }
        let start_time = || self.stat(sender.pid, &mut [0; STAT_BYTES]).and_then(ProcStat::start_time);
        let next = Process::open(sender.pid, start_time());
        let Ok(next) = checked(libc::SYS_pidfd_open, next) else { return false };
        // The rest is asked about the pid. It is true of `next` if that still has the pid afterwards.
        let is_younger = start_time() >= self.broker.start_time.or(Some(u64::MAX));
        let may = is_younger && self.holds_the_socket(sender.pid) && !self.has_ended(next);
        if let Some(useless) = if may { self.served.take_over(next) } else { Some(next) } {
            useless.close();
        }
        may
    }

    /// Whether a process has ended by now.
    fn has_ended(&self, process: Process) -> bool {
        let polled = checked(libc::SYS_ppoll, wait::wait_for_any([process.descriptor()], 0));
        // Interrupted: a process that may have ended is not served.
        polled.map_or(true, |[ended]| ended) || self.has_ended_by_stat(Some(process))
    }

    /// After `-run-with user=` QEMU runs as another user than root. The broker becomes that user too, and keeps no capability.
    fn follow_user(&mut self, sender: &Credentials) {
        if self.uid == 0 && sender.uid != 0 {
            // No error is expected: a broker that is half of each user would be more than it should be.
            let _ = checked(libc::SYS_setresuid, process::become_user(sender.uid, sender.gid));
            self.uid = sender.uid;
        }
    }

    /// Whether a process holds QEMU's end of the socket.
    fn holds_the_socket(&self, pid: i32) -> bool {
        let mut path = StackPath::default();
        let _ = write!(path, "{pid}/fd/{}", self.broker.their_fd);
        let mut room = [0u8; 63];
        let link =
            checked(libc::SYS_readlinkat, file::read_link_at(self.folders.proc, path.as_c_str(), &mut room));
        let their_socket = self.broker.their_socket.as_c_str().to_bytes();
        !their_socket.is_empty() && link == Ok(their_socket)
    }

    /// Writes the answer to a message, if its sender still waits for it.
    fn answer(&self, message: &Message, answer: &Answer) {
        let Some(word) = self.broker.shared.answer(message.slot) else { return };
        let generation = message.generation & !Reply::MASK;
        let answered = word.compare_exchange(
            generation | Reply::PENDING,
            generation | Reply::of(answer),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if answered.is_ok() {
            wake(word);
        }
    }

    /// Puts a thread of the process that is served on a set of the policy.
    fn pin(&self, process: Process, message: &Message) -> Answer {
        let Some(set) = self.broker.policy.sets().get(usize::from(message.set.0)) else {
            return Answer::Refused(Errno(libc::EINVAL));
        };
        match direct::place_thread_of(&ServedThreads { service: self, process }, message.tid, set) {
            Outcome::Placed { .. } => Answer::Placed,
            Outcome::Cut(_) => Answer::Cut,
            Outcome::Refused(errno) => Answer::Refused(errno),
            Outcome::Unanswered => Answer::None,
        }
    }

    /// Does the looks whose time has come.
    fn look_where_due(&mut self) {
        while let Some(scope) = self.looks.take(now()) {
            let for_cpus = scope == Scope::Placed && self.watch == Watch::ForOnlineCpus;
            if for_cpus && !self.online_has_changed() {
                continue;
            }
            let Some((page, process)) = self.broker.page.zip(self.served.current()) else { continue };
            let threads = ServedThreads { service: self, process };
            let view = View {
                threads: &threads,
                policy: self.broker.policy,
                page,
                knows_submitters: self.broker.knows_submitters,
            };
            let _ = scan::scan(&view, scope, |misplaced| {
                let set = self.broker.policy.set(misplaced.set);
                if for_cpus && !(self.online.is_back(set) && is_not_meant(&view, misplaced.tid, set)) {
                    return;
                }
                let outcome = direct::place_thread_of(&threads, misplaced.tid, set);
                // The broker has no log. What became of the thread can be read on the status page; one that has ended
                // since is on no set. A watch tries again and again, and what it cannot mend counts once.
                let has_ended = matches!(outcome, Outcome::Refused(Errno(libc::ESRCH)));
                if !has_ended && (scope != Scope::Placed || is_news(page, misplaced.tid, &outcome)) {
                    record(page, misplaced.tid, &outcome);
                }
            });
        }
    }

    /// Looks which CPUs are online; true if others are than at the last look.
    fn online_has_changed(&mut self) -> bool {
        if self.folders.cpus < 0 {
            return false;
        }
        let opened = file::open_at(self.folders.cpus, c"online", libc::O_RDONLY);
        let Ok(file) = checked(libc::SYS_openat, opened) else { return false };
        let mut room = [0u8; 1024];
        let text = checked(libc::SYS_read, file::read(file, &mut room));
        file::close(file);
        text.is_ok_and(|text| self.online.look(text))
    }
}

/// The time. Without it the broker could not wait for the next look.
fn now() -> u64 {
    checked(libc::SYS_clock_gettime, wait::monotonic()).unwrap_or(0)
}

/// The threads of a process, as the broker looks after them: it ends at an error that it does not expect.
struct ServedThreads<'s, 'b> {
    service: &'s Service<'b>,
    process: Process,
}

impl Threads for ServedThreads<'_, '_> {
    fn pid(&self) -> i32 {
        self.process.pid
    }

    fn is_alive(&self) -> bool {
        !self.service.has_ended(self.process)
    }

    fn checked<T>(&self, call: libc::c_long, answer: Result<T, Errno>) -> Result<T, Errno> {
        checked(call, answer)
    }

    fn open(&self, path: fmt::Arguments<'_>, flags: i32) -> Result<i32, Errno> {
        if self.service.folders.proc < 0 {
            return Err(Errno(libc::ENOENT));
        }
        let mut below = StackPath::default();
        let _ = below.write_fmt(path);
        checked(libc::SYS_openat, file::open_at(self.service.folders.proc, below.as_c_str(), flags))
    }
}
