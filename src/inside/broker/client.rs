//! Asking the broker, from inside QEMU.
//!
//! A request is one message on a socket (the kernel adds who sent it) and a slot of shared memory for
//! its answer. Every wait for a broker that does nothing ends after a second; one that has not answered once is not
//! waited for again until it has caught up.

use crate::broker::message::{Answer, Kind, Message, Reply};
use crate::broker::shared::{SLOTS, Shared};
use crate::report::targets;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::{socket, wait};
use once_cell::sync::OnceCell;
use pinning::{SetId, Tid};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No request is waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries while the queue is full: at first, and at the most.
const TURN_US: i64 = 200;
const LONGEST_TURN_US: i64 = 50_000;

/// QEMU's end.
pub(super) struct Channel {
    pub(super) socket: i32,
    pub(super) shared: Shared,
}

/// Unset until somebody starts the broker; `None` if it could not be started, which was said then.
pub(super) static CHANNEL: OnceCell<Option<Channel>> = OnceCell::new();

/// It let a request wait for the whole of [`PATIENCE`].
static SILENT: AtomicBool = AtomicBool::new(false);

/// Has the broker put a thread of this process on a set of the policy, and waits for its answer, for a
/// second at most.
pub(crate) fn ask(shim: &Shim, tid: Tid, set: SetId) -> Answer {
    let channel = match CHANNEL.get() {
        Some(Some(channel)) => channel,
        Some(None) => return Answer::None,
        None => return Answer::Refused(Errno(libc::EPERM)),
    };
    let behind = SILENT.load(Ordering::Relaxed) && {
        let shared = channel.shared;
        shared.sent().load(Ordering::Relaxed) != shared.handled().load(Ordering::Relaxed)
    };
    if behind {
        // It will do it when it goes on.
        channel.send(Message::pin(tid, set, None));
        return Answer::None;
    }
    SILENT.store(false, Ordering::Relaxed);
    let answer = ask_and_wait(channel, tid, set);
    if let (Answer::Placed | Answer::Cut, Some(page)) = (&answer, shim.page) {
        page.header.brokered.fetch_add(1, Ordering::Relaxed);
    }
    answer
}

/// A burst of births can be larger than the answers' slots or the socket's queue: then a request waits for its
/// turn, for as long as the broker gets on.
fn ask_and_wait(channel: &Channel, tid: Tid, set: SetId) -> Answer {
    let handled = || channel.shared.handled().load(Ordering::Relaxed);
    let (mut end, mut seen, mut turn) = (Instant::now() + PATIENCE, handled(), TURN_US);
    loop {
        if let Some(slot) = AnswerSlot::take() {
            let Some(word) = channel.shared.answer(slot.number) else { return Answer::None };
            let generation = word.load(Ordering::Relaxed).wrapping_add(Reply::GENERATION) & !Reply::MASK;
            let pending = generation | Reply::PENDING;
            word.store(pending, Ordering::Release);
            match channel.send(Message::pin(tid, set, Some((slot.number, generation)))) {
                Sent::Yes => {
                    let answered = wait::wait_while(word, pending, Instant::now() + PATIENCE);
                    return answered.map_or_else(give_up, Reply::read);
                }
                Sent::QueueFull => {}
                Sent::Gone => return Answer::None,
            }
        }
        if Instant::now() >= end {
            return give_up();
        }
        // Longer each time: a thousand threads that poll would take the broker's CPU from it.
        wait::sleep_us(turn);
        turn = (turn * 2).min(LONGEST_TURN_US);
        if handled() != seen {
            (end, seen) = (Instant::now() + PATIENCE, handled());
        }
    }
}

fn give_up() -> Answer {
    SILENT.store(true, Ordering::Relaxed);
    static SAID: AtomicBool = AtomicBool::new(false);
    warn_once(
        &SAID,
        format_args!("the broker does not answer; new threads stay on their creator's CPUs until it does"),
    );
    Answer::None
}

fn warn_once(said: &AtomicBool, what: std::fmt::Arguments<'_>) {
    if !said.swap(true, Ordering::Relaxed) {
        log::warn!(target: targets::BROKER, "{what}");
    }
}

/// What became of a message.
enum Sent {
    Yes,
    /// The broker is stopped, or behind.
    QueueFull,
    /// There is no broker any more.
    Gone,
}

impl Channel {
    /// Sends without waiting.
    fn send(&self, message: Message) -> Sent {
        self.shared.sent().fetch_add(1, Ordering::Relaxed);
        let Err(errno) = socket::send(self.socket, &message.to_bytes()) else { return Sent::Yes };
        self.shared.sent().fetch_sub(1, Ordering::Relaxed);
        if errno == Errno(libc::EAGAIN) {
            return Sent::QueueFull;
        }
        static SAID: AtomicBool = AtomicBool::new(false);
        warn_once(
            &SAID,
            format_args!(
                "the broker has ended; inside QEMU's sandbox nobody else can pin, so new threads stay on their creator's CPUs"
            ),
        );
        Sent::Gone
    }
}

/// One of the answers' slots, taken for one request.
struct AnswerSlot {
    number: u32,
}

static BUSY: [AtomicBool; SLOTS] = [const { AtomicBool::new(false) }; SLOTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl AnswerSlot {
    /// `None` if each is waited for by somebody, which takes as many births at the same moment.
    fn take() -> Option<Self> {
        let first = NEXT.fetch_add(1, Ordering::Relaxed);
        (first..first + SLOTS).map(|i| i % SLOTS).find_map(|i| {
            let free = BUSY.get(i)?.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            free.ok().map(|_| Self { number: i as u32 })
        })
    }
}

impl Drop for AnswerSlot {
    fn drop(&mut self) {
        if let Some(busy) = BUSY.get(self.number as usize) {
            busy.store(false, Ordering::Release);
        }
    }
}

/// In a forked child the threads that waited are not there.
pub(crate) fn forget_pending() {
    for busy in &BUSY {
        busy.store(false, Ordering::Relaxed);
    }
}

/// Tells the broker that the kernel is about to make a thread in this process.
pub(crate) fn look_soon() {
    tell(Kind::LookForKernelThreads);
}

/// Tells the broker something that needs no answer, if there is a broker.
pub(super) fn tell(kind: Kind) {
    if let Some(Some(channel)) = CHANNEL.get() {
        channel.send(Message::of(kind));
    }
}
