//! Threads that share one word, in every order of their steps, and with every value that the memory model lets them see.
//!
//! The threads run the real functions, on a word that is a list of answers. Each operation takes the next answer; the
//! first one for which there is none ends the run, by a panic that names it. So to find a thread's next step is to run
//! it again from its beginning, and to make that step is to add an answer to its list. This takes no real
//! threads, and a state is a value, so that each is looked at once, however it was reached.
//!
//! The model of memory is C11's for one word. A load, or an exchange that fails, may see any value that is not older
//! than one that its thread knows of; an exchange that succeeds sees the last. What a thread knew when it released a value
//! is known to whoever acquires that value, or another that exchanges alone have put on top of it.

use super::super::{DONE, Handover, STATE, Word};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a thread does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Load(Ordering),
    Store(u32, Ordering),
    Exchange(u32, u32, Ordering, Ordering),
    /// futex(2), FUTEX_WAIT.
    Wait(u32),
    Wake,
    Yield,
    Sleep,
    /// Creates the thread of this number.
    Create(usize),
    /// Waits until the thread of this number has ended, and takes its slot over.
    TakeSlotOf(usize),
    /// Begins to write the handle of the thread of this generation.
    Begin(usize),
    /// Has written it.
    End(usize),
    /// The thread of this generation goes on to its own routine.
    GoOn(usize),
    /// `pthread_create` returns to the creator of this generation.
    Return(usize),
    /// The thread is cancelled.
    Cancelled,
}

const WOKEN: u32 = 0;
const TIMED_OUT: u32 = 1;

/// A word that answers from a list.
pub(super) struct Script {
    answers: Vec<u32>,
    at: Cell<usize>,
    /// The steps that were answered.
    pub(super) steps: RefCell<Vec<Step>>,
}

impl Script {
    pub(super) fn of(answers: Vec<u32>) -> Self {
        Self { answers, at: Cell::new(0), steps: RefCell::default() }
    }

    pub(super) fn step(&self, step: Step) -> u32 {
        let Some(answer) = self.answers.get(self.at.get()) else { resume_unwind(Box::new(step)) };
        self.at.set(self.at.get() + 1);
        self.steps.borrow_mut().push(step);
        *answer
    }
}

impl Word for Script {
    fn load(&self, order: Ordering) -> u32 {
        self.step(Step::Load(order))
    }

    fn store(&self, value: u32, order: Ordering) {
        self.step(Step::Store(value, order));
    }

    fn compare_exchange(&self, old: u32, new: u32, success: Ordering, failure: Ordering) -> Result<u32, u32> {
        let seen = self.step(Step::Exchange(old, new, success, failure));
        if seen == old { Ok(seen) } else { Err(seen) }
    }

    /// As `wait::wait_while` does it.
    fn wait_while(&self, value: u32, _limit: Duration) {
        while self.load(Ordering::Acquire) == value && self.step(Step::Wait(value)) != TIMED_OUT {}
    }

    fn wake(&self) {
        self.step(Step::Wake);
    }

    fn yield_cpu(&self) {
        self.step(Step::Yield);
    }

    fn sleep_us(&self, _us: i64) {
        self.step(Step::Sleep);
    }
}

/// What one thread does, from its beginning to its end.
pub(super) type Program = Box<dyn Fn(&Handover<Script>)>;

/// What a thread knows: the newest value of the word, by number, and the generations whose handle is written, as bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Known {
    value: usize,
    handles: u8,
}

impl Known {
    fn join(&mut self, other: Known) {
        self.value = self.value.max(other.value);
        self.handles |= other.handles;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Thread {
    exists: bool,
    ended: bool,
    waits: bool,
    /// What it was answered so far, by number.
    progress: usize,
    known: Known,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Handle {
    begun: bool,
    ended: bool,
    gone_on: bool,
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// The values that the word has had, and what is known to whoever acquires each.
    values: Vec<(u32, Known)>,
    threads: Vec<Thread>,
    handles: Vec<Handle>,
}

/// What each thread was answered so far, and its step after that.
#[derive(Default)]
struct Progress {
    steps: Vec<(usize, Vec<u32>, Option<Step>)>,
    numbers: HashMap<(usize, Vec<u32>), usize>,
}

/// What the model leaves out, so that something goes wrong.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Without {
    Nothing,
    Wake,
    Acquire,
    Release,
}

/// The threads with even numbers are creators and there from the beginning; each has created the one that follows it.
pub(super) struct Model {
    programs: Vec<Program>,
    without: Without,
    may_time_out: bool,
    progress: RefCell<Progress>,
}

impl Model {
    pub(super) fn of(programs: Vec<Program>) -> Self {
        let progress = RefCell::default();
        Self { programs, without: Without::Nothing, may_time_out: false, progress }
    }

    /// The same without something.
    pub(super) fn without(self, without: Without) -> Self {
        Self { without, ..self }
    }

    /// The same with creators that are cancelled: a thread that nobody wakes goes on in the end, without a handle.
    pub(super) fn with_cancelled_creators(self) -> Self {
        Self { may_time_out: true, ..self }
    }

    /// Looks at every state that can be reached; answers how many there are, or what is wrong in one of them.
    pub(super) fn explore(&self) -> Result<usize, String> {
        let thread = |number: usize| Thread {
            exists: number % 2 == 0,
            ended: false,
            waits: false,
            progress: self.progress_number(number, Vec::new()),
            known: Known::default(),
        };
        let first = State {
            values: vec![(0, Known::default())],
            threads: (0..self.programs.len()).map(thread).collect(),
            handles: vec![Handle::default(); self.programs.len() / 2],
        };
        let mut seen = HashSet::from([first.clone()]);
        let mut left = vec![first];
        while let Some(state) = left.pop() {
            for next in self.successors(&state)? {
                if seen.insert(next.clone()) {
                    left.push(next);
                }
            }
        }
        Ok(seen.len())
    }

    /// The number of what a thread was answered so far.
    fn progress_number(&self, thread: usize, answers: Vec<u32>) -> usize {
        let mut progress = self.progress.borrow_mut();
        let Progress { steps, numbers } = &mut *progress;
        *numbers.entry((thread, answers)).or_insert_with_key(|(thread, answers)| {
            steps.push((*thread, answers.clone(), self.next_step(*thread, answers)));
            steps.len() - 1
        })
    }

    /// Runs a thread from its beginning; `None` if these answers lead to its end.
    fn next_step(&self, thread: usize, answers: &[u32]) -> Option<Step> {
        let handover = Handover(Script::of(answers.to_vec()));
        let run = catch_unwind(AssertUnwindSafe(|| (self.programs[thread])(&handover)));
        run.err().map(|end| *end.downcast::<Step>().expect("it ends at a step"))
    }

    /// What was answered before, and this answer.
    fn answered(&self, before: usize, answer: u32) -> usize {
        let (thread, mut answers) = {
            let (thread, answers, _) = &self.progress.borrow().steps[before];
            (*thread, answers.clone())
        };
        answers.push(answer);
        self.progress_number(thread, answers)
    }

    fn successors(&self, state: &State) -> Result<Vec<State>, String> {
        let mut all = Vec::new();
        let mut cancelled = 0;
        for (number, thread) in state.threads.iter().enumerate() {
            if !thread.exists || thread.ended || thread.waits {
                continue;
            }
            let step = self.progress.borrow().steps[thread.progress].2;
            let (next, alone) = match step {
                None => {
                    let mut next = state.clone();
                    next.threads[number].ended = true;
                    (vec![next], true)
                }
                Some(Step::Cancelled) => {
                    cancelled += 1;
                    (Vec::new(), false)
                }
                // The other threads' next steps are the same before and after these, except that nobody may write the
                // handle of a thread that is gone: so the worst is that it goes at once. No other order needs a look.
                Some(step @ (Step::Create(_) | Step::TakeSlotOf(_) | Step::GoOn(_) | Step::Return(_))) => {
                    (self.make(state, number, step)?, true)
                }
                Some(step) => (self.make(state, number, step)?, false),
            };
            if alone && !next.is_empty() {
                return Ok(next);
            }
            all.extend(next);
        }
        if all.is_empty() {
            let waiting = state.threads.iter().filter(|thread| thread.waits).count();
            let ended = state.threads.iter().filter(|thread| thread.ended).count();
            if waiting > 0 && self.may_time_out {
                let mut next = state.clone();
                for thread in next.threads.iter_mut().filter(|thread| thread.waits) {
                    thread.waits = false;
                    thread.progress = self.answered(thread.progress, TIMED_OUT);
                }
                return Ok(vec![next]);
            }
            if ended + cancelled < state.threads.len() {
                return Err(format!("{waiting} threads wait for ever, {ended} have ended"));
            }
        }
        Ok(all)
    }

    /// The states after this step of a thread: none if it cannot be made now, several if it may see several values.
    fn make(&self, state: &State, number: usize, step: Step) -> Result<Vec<State>, String> {
        let last = state.values.len() - 1;
        let known = state.threads[number].known;
        let answered = |answer: u32, change: &dyn Fn(&mut State, &mut Known)| {
            let (mut next, mut known) = (state.clone(), known);
            change(&mut next, &mut known);
            let thread = &mut next.threads[number];
            thread.known = known;
            thread.progress = self.answered(thread.progress, answer);
            next
        };
        let see = |value: usize, order| {
            answered(state.values[value].0, &move |state, known| {
                known.value = value;
                if self.acquires(order) {
                    known.join(state.values[value].1);
                }
            })
        };
        let exchange = |value, order| {
            answered(state.values[last].0, &move |state, known| {
                if self.acquires(order) {
                    known.join(state.values[last].1);
                }
                self.write(state, known, value, order, true);
            })
        };
        let one = match step {
            Step::Load(order) => return Ok((known.value..=last).map(|value| see(value, order)).collect()),
            Step::Exchange(old, new, success, failure) => {
                let others = (known.value..=last).filter(|value| state.values[*value].0 != old);
                let mut all: Vec<_> = others.map(|value| see(value, failure)).collect();
                if state.values[last].0 == old {
                    all.push(exchange(new, success));
                }
                return Ok(all);
            }
            Step::Store(value, order) => {
                answered(0, &move |state, known| self.write(state, known, value, order, false))
            }
            Step::Yield | Step::Sleep if known.handles & 1 << (number / 2) != 0 => {
                return Err(format!("generation {}: the creator waits for another's thread", number / 2));
            }
            // It turns in a circle until another thread has done something.
            Step::Yield | Step::Sleep if known.value == last => return Ok(Vec::new()),
            Step::Yield | Step::Sleep => answered(0, &move |_, known| known.value = last),
            Step::Wait(value) if state.values[last].0 != value => {
                answered(WOKEN, &move |_, known| known.value = last)
            }
            Step::Wait(_) => {
                let mut next = state.clone();
                next.threads[number].waits = true;
                next
            }
            Step::Wake => {
                let waiting = (0..state.threads.len()).filter(|other| state.threads[*other].waits);
                let waiting: Vec<_> = waiting.filter(|_| self.without != Without::Wake).collect();
                if waiting.is_empty() {
                    return Ok(vec![answered(0, &|_, _| {})]);
                }
                let wake = |other: usize| {
                    answered(0, &move |state, _| {
                        let woken = &mut state.threads[other];
                        woken.waits = false;
                        woken.known.value = last;
                        woken.progress = self.answered(woken.progress, WOKEN);
                    })
                };
                return Ok(waiting.into_iter().map(wake).collect());
            }
            Step::Create(other) => answered(0, &move |state, known| {
                state.threads[other].exists = true;
                state.threads[other].known.join(*known);
            }),
            Step::TakeSlotOf(other) if !state.threads[other].ended => return Ok(Vec::new()),
            Step::TakeSlotOf(other) => {
                answered(0, &move |state, known| known.join(state.threads[other].known))
            }
            Step::Begin(_) | Step::End(_) | Step::GoOn(_) | Step::Return(_) => {
                self.check(state, known, step)?;
                answered(0, &move |state, known| match step {
                    Step::Begin(generation) => state.handles[generation].begun = true,
                    Step::End(generation) => {
                        state.handles[generation].ended = true;
                        known.handles |= 1 << generation;
                    }
                    Step::GoOn(generation) => state.handles[generation].gone_on = true,
                    _ => {}
                })
            }
            Step::Cancelled => return Ok(Vec::new()),
        };
        Ok(vec![one])
    }

    /// Whether a thread that knows this may make this step: what the handover promises.
    fn check(&self, state: &State, known: Known, step: Step) -> Result<(), String> {
        let (Step::Begin(generation)
        | Step::End(generation)
        | Step::GoOn(generation)
        | Step::Return(generation)) = step
        else {
            return Ok(());
        };
        let handle = state.handles[generation];
        let is_written = handle.ended && known.handles & 1 << generation != 0;
        let fault = match step {
            Step::Begin(_) if handle.begun => "the handle is written twice",
            Step::Begin(_) if handle.gone_on => "the handle is written when the thread is gone",
            Step::End(_) if handle.gone_on => "the thread does not wait until the handle is written",
            Step::GoOn(_) if !is_written && !self.may_time_out && !self.is_closed(generation) => {
                "the thread goes on without a handle"
            }
            Step::Return(_) if !is_written => "the creator returns without a handle",
            _ => return Ok(()),
        };
        Err(format!("generation {generation}: {fault}"))
    }

    /// Whether the creator of this generation does without a handover. Then it puts an end to it before all else.
    fn is_closed(&self, generation: usize) -> bool {
        let answers = if generation > 0 { &[0, 0][..] } else { &[0][..] };
        let step = self.next_step(2 * generation, answers);
        matches!(step, Some(Step::Store(value, _)) if value & STATE == DONE)
    }

    /// Puts a new value behind the last; `on_top` of it, if the same operation has read that.
    fn write(&self, state: &mut State, known: &mut Known, value: u32, order: Ordering, on_top: bool) {
        let last = state.values.len() - 1;
        known.value = last + 1;
        let mut told = if self.releases(order) { *known } else { Known { value: last + 1, handles: 0 } };
        if on_top {
            told.join(state.values[last].1);
        }
        state.values.push((value, told));
    }

    fn acquires(&self, order: Ordering) -> bool {
        let acquires = matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst);
        acquires && self.without != Without::Acquire
    }

    fn releases(&self, order: Ordering) -> bool {
        let releases = matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst);
        releases && self.without != Without::Release
    }
}
