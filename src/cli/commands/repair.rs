//! Looking at a VM and moving its threads until each is where it belongs, and has the scheduling class that it should have.
//!
//! A thread is moved only when it is certain who it is: one that has not placed itself yet will do so, and
//! moving it before could undo that.

use crate::arguments::Apply;
use crate::output::failure::Failure;
use crate::output::print::Output;
use crate::output::text::count;
use crate::present::table;
use crate::sys::threads::ThreadKey;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::watch::PAUSE;
use crate::vm::class::OtherClass;
use crate::vm::expected::VmThread;
use crate::vm::identify::Evidence;
use crate::vm::look::{Ask, Vm};
use crate::vm::put::{NotPut, give_class, put};
use crate::vm::qmp::{self, Ids};
use crate::vm::unmet;
use pinning::{Class, CpuSet, Policy, RoleKind, Unmet};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Rounds of looking and moving: a thread that was created during one round needs another. A VM whose threads
/// come and go without end is for `--watch`.
const ROUNDS: u32 = 50;

/// So often one thread is put back in one run. Whoever moves it away each time would keep the run busy for
/// ever.
const TRIES: u32 = 3;

/// The repair of one VM.
pub(crate) struct Repair<'a> {
    vm: &'a Vm<'a>,
    arguments: &'a Apply,
    policy: Option<&'a Policy>,
    /// Nothing says where threads belong, only which classes they should have: each may stay where it is.
    pub(crate) leaves_cpus: bool,
    ids: Option<Ids>,
    /// Threads that were not moved, each with where it may run: this is said once, until that changes. Every run tries
    /// again, since what was in the way may be gone: a cpuset may have grown.
    not_moved: HashMap<ThreadKey, CpuSet>,
    /// Threads that were not given their scheduling class, each with the one that it has: as for `not_moved`.
    not_given: HashMap<ThreadKey, Class>,
    /// In this run: how often each thread was put on its set.
    tries: HashMap<ThreadKey, u32>,
    /// In this run: threads that could not be moved, or not be given their class.
    in_vain: HashSet<ThreadKey>,
    moved: usize,
    given: usize,
    /// Names of the policy that no thread has, as the last run has seen.
    unmet: Vec<Unmet>,
    /// The last run has left a thread where it is, since it may be one of several IOThreads.
    is_in_doubt: bool,
    /// What the last run has done.
    pub(crate) moves: Vec<Move>,
    /// The scheduling classes that it has given.
    pub(crate) classes: Vec<GivenClass>,
    /// What it could not do.
    pub(crate) failures: Vec<Unmoved>,
}

/// A thread that was moved; in a dry run, that would be.
pub(crate) struct Move {
    pub(crate) thread: VmThread,
    pub(crate) to: String,
}

/// A thread that was given a scheduling class; in a dry run, that would be.
pub(crate) struct GivenClass {
    pub(crate) thread: VmThread,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// A thread that could not be put where it belongs.
pub(crate) struct Unmoved {
    pub(crate) thread: VmThread,
    pub(crate) why: String,
}

impl<'a> Repair<'a> {
    /// The repair of a VM by a policy, or by its own where there is none.
    pub(crate) fn new(vm: &'a Vm<'a>, arguments: &'a Apply, policy: Option<&'a Policy>) -> Self {
        Self {
            vm,
            arguments,
            policy,
            leaves_cpus: false,
            ids: None,
            not_moved: HashMap::new(),
            not_given: HashMap::new(),
            tries: HashMap::new(),
            in_vain: HashSet::new(),
            moved: 0,
            given: 0,
            unmet: Vec::new(),
            is_in_doubt: false,
            moves: Vec::new(),
            classes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Whether every thread is where it belongs, as far as the last run has seen, it is clear which one each is, and
    /// the placement named none that is not there. In a dry run it does not count where they are.
    pub(crate) fn is_complete(&self) -> bool {
        let is_done = self.arguments.dry_run || (self.failed() == 0 && self.not_given.is_empty());
        is_done && self.unmet.is_empty() && !self.is_in_doubt
    }

    /// Whether the last run has moved a thread, or could not.
    pub(crate) fn has_acted(&self) -> bool {
        !(self.moves.is_empty() && self.classes.is_empty() && self.failures.is_empty())
    }

    fn failed(&self) -> usize {
        self.not_moved.len() + self.tries.values().filter(|tries| **tries > TRIES).count()
    }

    /// Looks and moves until nothing is left to move. The answer is the threads as the last look saw them.
    pub(crate) fn run(&mut self, output: &mut Output) -> Result<Vec<VmThread>, Failure> {
        self.ask_qemu()?;
        self.tries.clear();
        self.in_vain.clear();
        self.moves.clear();
        self.classes.clear();
        self.failures.clear();
        let mut judge = Judge::default();
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let ask = Ask { ids: self.ids.as_ref(), policy: self.policy, ..Ask::default() };
            let mut threads = self.vm.look(&ask)?.threads;
            if self.leaves_cpus {
                threads.iter_mut().for_each(|thread| thread.expected = Some(thread.thread.allowed.clone()));
            }
            let verdicts = judge.judge(&threads);
            let mut again = false;
            for (thread, verdict) in threads.iter().zip(&verdicts) {
                match verdict {
                    Verdict::Off(_) => again |= self.put_back(thread, output),
                    Verdict::Unsure | Verdict::NotPlacedYet => again = true,
                    _ => {}
                }
            }
            // Another look finds those that were moved where they belong: only then it is known what a class does there.
            let may_be_real_time = !again;
            let are_off = verdicts.iter().any(Verdict::may_be_off);
            for (thread, verdict) in threads.iter().zip(&verdicts) {
                match verdict {
                    Verdict::Class(other) if may_be_real_time || !other.expected.kind.is_real_time() => {
                        again |= self.give_class(thread, *other, are_off, output);
                    }
                    _ => {}
                }
            }
            last = threads;
            if !again {
                break;
            }
            self.vm.process.kernel.sleep(PAUSE);
        }
        // Forget threads that have ended.
        let is_there = |key: &ThreadKey| last.iter().any(|thread: &VmThread| thread.thread.key() == *key);
        self.not_moved.retain(|key, _| is_there(key));
        self.not_given.retain(|key, _| is_there(key));
        self.tries.retain(|key, _| is_there(key));
        self.unmet = self.unmet_wishes(&last);
        self.is_in_doubt = last.iter().any(|thread| thread.expected.is_none() && !thread.may_be.is_empty());
        Ok(last)
    }

    /// What the placement on the command line names and none of these threads is. One that QEMU was started with may
    /// name a vCPU that is plugged in some day.
    fn unmet_wishes(&self, threads: &[VmThread]) -> Vec<Unmet> {
        let Some(policy) = self.policy.filter(|_| !self.arguments.placement.variables().is_empty()) else {
            return Vec::new();
        };
        let mut unmet = unmet::unmet(policy, threads);
        unmet.extend(unmet::unmet_rules(policy, threads));
        unmet
    }

    fn ask_qemu(&mut self) -> Result<(), Failure> {
        let Some(socket) = &self.arguments.qmp else { return Ok(()) };
        match qmp::ask(socket) {
            Ok(ids) => self.ids = Some(ids),
            // Another client may be connected for a while; the earlier answer is mostly still true.
            Err(_) if self.ids.is_some() => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Moves a thread and says so. The answer is whether another look is worth it.
    fn put_back(&mut self, thread: &VmThread, output: &mut Output) -> bool {
        let (Some(expected), allowed) = (&thread.expected, &thread.thread.allowed) else { return false };
        let shown = thread.expected_shown().unwrap_or_default();
        let key = thread.thread.key();
        if self.in_vain.contains(&key) {
            return false;
        }
        let tid = thread.thread.tid;
        let who = format!("{tid} {} ({})", thread.name, table::role(thread));
        if self.arguments.dry_run {
            if self.not_moved.insert(key, allowed.clone()).as_ref() == Some(allowed) {
                return false;
            }
            self.say(output, format_args!("would move {who} from {allowed} to {shown}"));
            self.moves.push(Move { thread: thread.clone(), to: shown });
            return false;
        }
        let tries = self.tries.entry(key).or_default();
        *tries += 1;
        if *tries > TRIES {
            if *tries == TRIES + 1 {
                let why = format!("is moved away from {shown} each time that it is put there");
                output.note(format_args!("{who} {why}"));
                self.failures.push(Unmoved { thread: thread.clone(), why });
            }
            return false;
        }
        match put(self.vm, &thread.thread, expected) {
            // The next look finds a thread that was moved again, and it is put back once more.
            Ok(()) | Err(NotPut::MovedAgain) => {
                self.moved += 1;
                self.not_moved.remove(&key);
                self.say(output, format_args!("moved {who} from {allowed} to {shown}"));
                self.moves.push(Move { thread: thread.clone(), to: shown });
                true
            }
            Err(NotPut::Ended) => false,
            Err(NotPut::Because(why)) => {
                // A cpuset may have left it a part of the set, and then it may run there now.
                let now = self.vm.process.kernel.affinity(tid).unwrap_or_else(|_| allowed.clone());
                self.in_vain.insert(key);
                if self.not_moved.insert(key, now.clone()) != Some(now) {
                    let why = format!("could not be put on {shown}: {why}");
                    output.note(format_args!("{who} {why}"));
                    self.failures.push(Unmoved { thread: thread.clone(), why });
                }
                false
            }
        }
    }

    /// Gives a thread, which is where it belongs, its scheduling class and says so. `are_off`: others are not where they belong.
    /// The answer is whether another look is worth it.
    fn give_class(
        &mut self,
        thread: &VmThread,
        other: OtherClass,
        are_off: bool,
        output: &mut Output,
    ) -> bool {
        let (key, OtherClass { seen, expected, .. }) = (thread.thread.key(), other);
        if self.in_vain.contains(&key) {
            return false;
        }
        let who = format!("{} {} ({})", thread.thread.tid, thread.name, table::role(thread));
        let given =
            || GivenClass { thread: thread.clone(), from: seen.to_string(), to: expected.to_string() };
        if self.arguments.dry_run {
            if self.not_given.insert(key, seen) == Some(seen) {
                return false;
            }
            self.say(output, format_args!("would give {who} {expected} in place of {seen}"));
            self.classes.push(given());
            return false;
        }
        // Where another thread is may be where this one would run for ever.
        let is_trap = expected.kind.is_real_time() && are_off;
        let given_to = if other.is_withheld() || is_trap {
            let why = "a real-time class would keep threads that are not where they belong from its CPUs";
            Err(NotPut::Because(why.to_owned()))
        } else {
            give_class(self.vm, &thread.thread, expected)
        };
        match given_to {
            Ok(()) => {
                self.given += 1;
                self.not_given.remove(&key);
                self.say(output, format_args!("gave {who} {expected} in place of {seen}"));
                self.classes.push(given());
                true
            }
            // Somebody else gives it another at the same time; the next run tries again.
            Err(NotPut::MovedAgain) => {
                self.fail_to_give(thread, seen, output, format!("did not keep {expected}"));
                false
            }
            Err(NotPut::Ended) => false,
            Err(NotPut::Because(why)) => {
                self.fail_to_give(thread, seen, output, format!("could not be given {expected}: {why}"));
                false
            }
        }
    }

    fn fail_to_give(&mut self, thread: &VmThread, seen: Class, output: &mut Output, why: String) {
        let key = thread.thread.key();
        self.in_vain.insert(key);
        if self.not_given.insert(key, seen) == Some(seen) {
            return;
        }
        output.note(format_args!("{} {} ({}) {why}", thread.thread.tid, thread.name, table::role(thread)));
        self.failures.push(Unmoved { thread: thread.clone(), why });
    }

    /// Writes a line about a move; the JSON document has its own.
    fn say(&self, output: &mut Output, line: impl fmt::Display) {
        if !self.arguments.json {
            output.line(line);
        }
    }

    /// What was done, and what was only assumed about these threads, in lines.
    pub(crate) fn summary(&self, threads: &[VmThread]) -> Vec<String> {
        let mut lines = self.notes(threads);
        if self.arguments.dry_run {
            return lines;
        }
        let mut failed = match self.failed() {
            0 => String::new(),
            failed => format!(", {failed} could NOT be put where they belong"),
        };
        match self.not_given.len() {
            0 => {}
            1 => failed += ", 1 could NOT be given its class",
            failures => failed += &format!(", {failures} could NOT be given their class"),
        }
        let moved = match self.moved {
            0 if self.given > 0 => String::new(),
            0 if self.is_in_doubt => ", all else where they belong".to_owned(),
            0 if failed.is_empty() => ", all where they belong".to_owned(),
            moved => format!(", {moved} moved"),
        };
        let given = match self.given {
            0 => String::new(),
            1 => ", 1 given its class".to_owned(),
            given => format!(", {given} given their class"),
        };
        lines.push(format!("{}: {}{moved}{given}{failed}", self.vm.title(), count(threads.len(), "thread")));
        lines
    }

    /// A wish that was not met, in a sentence.
    fn said_unmet(&self, wish: &Unmet) -> String {
        match wish {
            // glibc refuses a name of more than 15 bytes, so that QEMU's thread stays without one (pthread_setname_np(3)).
            Unmet::IoThread(id) if self.ids.is_none() && self.vm.creates_iothread(id) => format!(
                "PIN_IOTHREADS places {id}, and no thread's name tells which one that is; --qmp SOCKET tells IOThreads"
            ),
            _ => wish.to_string(),
        }
    }

    /// What was only assumed about these threads, and what was not met, each a sentence.
    pub(crate) fn notes(&self, threads: &[VmThread]) -> Vec<String> {
        let mut lines: Vec<String> = self.ids.iter().filter_map(Ids::not_told).collect();
        let is_assumed =
            |thread: &VmThread| thread.evidence == Evidence::Assumed && thread.role == RoleKind::Emulator;
        let assumed = tids(threads, is_assumed);
        if self.vm.page.is_err() && !assumed.is_empty() {
            let hint = match self.arguments.qmp {
                Some(_) => "",
                None => "; --qmp SOCKET tells vCPUs and IOThreads",
            };
            lines.push(format!(
                "{} could not be told by name and counted as the emulator's: {}{hint}",
                count(assumed.len(), "thread"),
                assumed.join(", ")
            ));
        }
        let unseen = tids(threads, |thread| thread.evidence == Evidence::Unseen);
        if !unseen.is_empty() {
            lines.push(format!(
                "{} created unseen by another library's pthread_create, and left alone: {}; --qmp SOCKET tells vCPUs and IOThreads",
                count(unseen.len(), "thread"),
                unseen.join(", ")
            ));
        }
        let home_assumed = tids(threads, |thread| thread.home_assumed);
        if !home_assumed.is_empty() {
            lines.push(format!(
                "{} counted as the main loop's, whose home could not be told: {}; --workers says where workers belong",
                count(home_assumed.len(), "worker"),
                home_assumed.join(", ")
            ));
        }
        let is_in_doubt = |thread: &&VmThread| thread.expected.is_none() && !thread.may_be.is_empty();
        let in_doubt = threads.iter().filter(is_in_doubt);
        lines.extend(in_doubt.map(|thread| {
            format!(
                "{} {} may be {} and is left where it is, on {}; --qmp SOCKET tells IOThreads",
                thread.thread.tid,
                thread.name,
                thread.may_be.join(" or "),
                thread.thread.allowed
            )
        }));
        lines.extend(self.unmet.iter().map(|wish| self.said_unmet(wish)));
        lines
    }
}

fn tids(threads: &[VmThread], are: impl Fn(&VmThread) -> bool) -> Vec<String> {
    threads.iter().filter(|thread| are(thread)).map(|thread| thread.thread.tid.to_string()).collect()
}
