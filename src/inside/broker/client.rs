//! Asking the broker. This runs in QEMU.
//!
//! A request is one message on a socket, to which the kernel adds who sent it. The answer comes in a word of shared
//! memory. Every wait for a broker that does nothing ends after a second. If the broker has let one request wait that
//! long, later requests do not wait for it until it has caught up.

use crate::broker::message::{Answer, Kind, Message, Reply};
use crate::broker::shared::{ANSWERS, Shared};
use crate::report::targets;
use crate::state::shim::Shim;
use crate::sys::errno::Errno;
use crate::sys::{socket, wait};
use once_cell::sync::OnceCell;
use pinning::{SetId, Tid};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a request waits for a broker that does nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a wait looks at the answer alone, before it looks whether the broker has ended.
const GLANCE: Duration = Duration::from_millis(20);
/// Microseconds between two tries while the queue is full: at first.
const TURN_US: i64 = 200;
/// The same: the most.
const LONGEST_TURN_US: i64 = 50_000;

/// What QEMU needs to ask the broker.
pub(super) struct Channel {
    /// QEMU's end of the socket.
    pub(super) socket: i32,
    /// The memory for the answers.
    pub(super) shared: Shared,
}

/// Unset until the broker is started; `None` if it could not be started, of which a warning was given then.
pub(super) static CHANNEL: OnceCell<Option<Channel>> = OnceCell::new();

/// Whether the broker has let a request wait for the whole of [`PATIENCE`].
static SILENT: AtomicBool = AtomicBool::new(false);

/// Whether the broker is this process's parent's, and serves no child of it.
static SERVES_THE_PARENT: AtomicBool = AtomicBool::new(false);

/// Has the broker put a thread of this process on a set of the policy, which was refused to the process itself, and waits for
/// its answer, for a second at most. Where there is no broker to be asked that refusal is the answer.
pub(crate) fn ask(shim: &Shim, tid: Tid, set: SetId, refusal: Errno) -> Answer {
    let channel = match CHANNEL.get() {
        _ if SERVES_THE_PARENT.load(Ordering::Relaxed) || !may_ask() => return Answer::Refused(refusal),
        Some(Some(channel)) => channel,
        Some(None) => return Answer::None,
        None => return Answer::Refused(refusal),
    };
    let behind = SILENT.load(Ordering::Relaxed) && {
        let shared = channel.shared;
        shared.sent().load(Ordering::Relaxed) != shared.handled().load(Ordering::Relaxed)
    };
    if behind {
        // The broker places the thread when it goes on.
        channel.send(Message::pin(tid, set));
        return Answer::None;
    }
    SILENT.store(false, Ordering::Relaxed);
    let answer = ask_and_wait(channel, Message::pin(tid, set));
    if let (Answer::Placed | Answer::Cut, Some(page)) = (&answer, shim.page) {
        page.header.brokered.fetch_add(1, Ordering::Relaxed);
    }
    answer
}

/// Whether the program's filters let the calling thread ask the broker.
fn may_ask() -> bool {
    wait::may_wait() && socket::may_send()
}

/// Asks, and waits for the answer. More threads may be created at once than there are slots for answers or places in the
/// socket's queue: then a request waits for its turn, for as long as the broker gets on with others.
fn ask_and_wait(channel: &Channel, message: Message) -> Answer {
    let handled = || channel.shared.handled().load(Ordering::Relaxed);
    let (mut end, mut seen, mut turn) = (Instant::now() + PATIENCE, handled(), TURN_US);
    loop {
        if let Some(slot) = AnswerSlot::take() {
            let Some(word) = channel.shared.answer(slot.number) else { return Answer::None };
            let generation = word.load(Ordering::Relaxed).wrapping_add(Reply::GENERATION) & !Reply::MASK;
            let pending = generation | Reply::PENDING;
            word.store(pending, Ordering::Release);
            match channel.send(message.answered_in(slot.number, generation)) {
                Sent::Yes => {
                    return match wait_for_broker(channel.socket, word, pending, Instant::now() + PATIENCE) {
                        Waited::Word(word) => Reply::read(word),
                        Waited::Ended => {
                            warn_that_it_has_ended();
                            Answer::None
                        }
                        Waited::InVain => give_up(),
                    };
                }
                Sent::QueueFull => {}
                Sent::Gone => return Answer::None,
            }
        }
        if Instant::now() >= end {
            return give_up();
        }
        // Longer each time: a thousand threads that try again would take the broker's CPU from it.
        wait::sleep_us(turn);
        turn = (turn * 2).min(LONGEST_TURN_US);
        if handled() != seen {
            (end, seen) = (Instant::now() + PATIENCE, handled());
        }
    }
}

/// What waiting for the broker has come to.
pub(super) enum Waited {
    /// The word is another one now: this.
    Word(u32),
    /// The broker has ended without a word.
    Ended,
    /// The time is over.
    InVain,
}

/// Waits until the broker writes `word`, which is `value` now, or until it has ended; until `end` at most. `socket` is
/// QEMU's end of the socket.
pub(super) fn wait_for_broker(socket: i32, word: &AtomicU32, value: u32, end: Instant) -> Waited {
    loop {
        let now = Instant::now();
        if let Some(word) = wait::wait_while(word, value, end.min(now + GLANCE)) {
            return Waited::Word(word);
        }
        // It sends nothing, so there is something to read only when its end of the socket is closed.
        if wait::wait_for_any([socket], 0).is_ok_and(|[ended]| ended) {
            // It may have written the word and ended since.
            let word = word.load(Ordering::Acquire);
            return if word == value { Waited::Ended } else { Waited::Word(word) };
        }
        if now >= end {
            return Waited::InVain;
        }
    }
}

/// The answer to a request that waited too long.
fn give_up() -> Answer {
    SILENT.store(true, Ordering::Relaxed);
    static SAID: AtomicBool = AtomicBool::new(false);
    warn_once(
        &SAID,
        format_args!("the broker does not answer; new threads stay on their creator's CPUs until it does"),
    );
    Answer::None
}

/// Gives a warning unless it was given before.
fn warn_once(said: &AtomicBool, what: std::fmt::Arguments<'_>) {
    if !said.swap(true, Ordering::Relaxed) {
        log::warn!(target: targets::BROKER, "{what}");
    }
}

fn warn_that_it_has_ended() {
    static SAID: AtomicBool = AtomicBool::new(false);
    warn_once(
        &SAID,
        format_args!(
            "the broker has ended; inside QEMU's sandbox nobody else can pin, so new threads stay on their creator's CPUs"
        ),
    );
}

/// What became of a message.
enum Sent {
    /// It was sent.
    Yes,
    /// The socket's queue is full: the broker is stopped, or behind.
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
        warn_that_it_has_ended();
        Sent::Gone
    }
}

/// One of the slots for answers, taken for one request until this is dropped.
struct AnswerSlot {
    number: u32,
}

/// Which slots are taken.
static BUSY: [AtomicBool; ANSWERS] = [const { AtomicBool::new(false) }; ANSWERS];
/// Where the next request begins to search, so that one slot is not used again at once.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl AnswerSlot {
    /// Takes a free slot; `None` if as many requests are waiting as there are slots.
    fn take() -> Option<Self> {
        let first = NEXT.fetch_add(1, Ordering::Relaxed);
        (first..first + ANSWERS).map(|i| i % ANSWERS).find_map(|i| {
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

/// Frees the slots. A forked child does not have the threads that wait in its parent.
pub(crate) fn forget_pending() {
    for busy in &BUSY {
        busy.store(false, Ordering::Relaxed);
    }
}

/// Tells the broker that this process, a forked child of the one that it serves, runs the VM from now on, and waits until it
/// knows that. To be called while the parent still waits for this process. False if there is no broker, or if it goes on to
/// serve the parent: then this process asks it for nothing.
pub(crate) fn take_over() -> bool {
    let Some(Some(channel)) = CHANNEL.get() else { return false };
    let follows = may_ask() && matches!(ask_and_wait(channel, Message::of(Kind::TakeOver)), Answer::Placed);
    SERVES_THE_PARENT.store(!follows, Ordering::Relaxed);
    follows
}

/// Tells the broker that the kernel is about to make a thread in this process, so that it looks for it soon.
pub(crate) fn look_soon() {
    tell(Kind::LookForKernelThreads);
}

/// Tells the broker something that needs no answer, if there is a broker.
pub(super) fn tell(kind: Kind) {
    let Some(Some(channel)) = CHANNEL.get() else { return };
    if may_ask() && !SERVES_THE_PARENT.load(Ordering::Relaxed) {
        channel.send(Message::of(kind));
    }
}
