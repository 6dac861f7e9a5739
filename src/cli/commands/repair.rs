//! Looking at a VM and moving its threads until each is where it belongs.
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
use crate::vm::expected::VmThread;
use crate::vm::identify::Evidence;
use crate::vm::look::{Ask, Vm};
use crate::vm::put::{NotPut, put};
use crate::vm::qmp::{self, Ids};
use crate::vm::unmet;
use pinning::{CpuSet, Policy, RoleKind, Unmet};
use std::collections::HashMap;
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
    ids: Option<Ids>,
    /// Threads that were not moved, each with where it may run: this is said once, until that changes.
    not_moved: HashMap<ThreadKey, CpuSet>,
    /// In this run: how often each thread was put on its set.
    tries: HashMap<ThreadKey, u32>,
    moved: usize,
    /// Names of the policy that no thread has, as the last run has seen.
    unmet: Vec<Unmet>,
    /// The last run has left a thread where it is, since it may be one of several IOThreads.
    is_in_doubt: bool,
    /// What the last run has done.
    pub(crate) moves: Vec<Move>,
    /// What it could not do.
    pub(crate) failures: Vec<Unmoved>,
}

/// A thread that was moved; in a dry run, that would be.
pub(crate) struct Move {
    pub(crate) thread: VmThread,
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
            ids: None,
            not_moved: HashMap::new(),
            tries: HashMap::new(),
            moved: 0,
            unmet: Vec::new(),
            is_in_doubt: false,
            moves: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Whether every thread is where it belongs, as far as the last run has seen, it is clear which one each is, and
    /// the placement named none that is not there. In a dry run it does not count where they are.
    pub(crate) fn is_complete(&self) -> bool {
        let is_done = self.arguments.dry_run || self.failed() == 0;
        is_done && self.unmet.is_empty() && !self.is_in_doubt
    }

    /// Whether the last run has moved a thread, or could not.
    pub(crate) fn has_acted(&self) -> bool {
        !(self.moves.is_empty() && self.failures.is_empty())
    }

    fn failed(&self) -> usize {
        self.not_moved.len() + self.tries.values().filter(|tries| **tries > TRIES).count()
    }

    /// Looks and moves until nothing is left to move. The answer is the threads as the last look saw them.
    pub(crate) fn run(&mut self, output: &mut Output) -> Result<Vec<VmThread>, Failure> {
        self.ask_qemu()?;
        self.tries.clear();
        self.moves.clear();
        self.failures.clear();
        let mut judge = Judge::default();
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let ask = Ask { ids: self.ids.as_ref(), policy: self.policy, ..Ask::default() };
            let threads = self.vm.look(&ask)?.threads;
            let verdicts = judge.judge(&threads);
            let mut again = false;
            for (thread, verdict) in threads.iter().zip(&verdicts) {
                match verdict {
                    Verdict::Off(_) => again |= self.put_back(thread, output),
                    Verdict::Unsure | Verdict::NotPlacedYet => again = true,
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
        if self.not_moved.get(&key) == Some(allowed) {
            return false;
        }
        let tid = thread.thread.tid;
        let who = format!("{tid} {} ({})", thread.name, table::role(thread));
        if self.arguments.dry_run {
            self.not_moved.insert(key, allowed.clone());
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
                self.not_moved.insert(key, now);
                let why = format!("could not be put on {shown}: {why}");
                output.note(format_args!("{who} {why}"));
                self.failures.push(Unmoved { thread: thread.clone(), why });
                false
            }
        }
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
        let failed = match self.failed() {
            0 => String::new(),
            failed => format!(", {failed} could NOT be put where they belong"),
        };
        let moved = match self.moved {
            0 if self.is_in_doubt => ", all else where they belong".to_owned(),
            0 if failed.is_empty() => ", all where they belong".to_owned(),
            moved => format!(", {moved} moved"),
        };
        lines.push(format!("{}: {}{moved}{failed}", self.vm.title(), count(threads.len(), "thread")));
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
