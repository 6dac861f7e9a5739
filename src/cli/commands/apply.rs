//! `pinshim apply`: puts the threads of a running QEMU where they belong.
//!
//! A thread is moved only when it is certain whose it is: one that is being born places itself, and to
//! move it then could undo that.

use crate::arguments::Apply;
use crate::output::exit_status::{FAILED, NOT_PINNED, OFF};
use crate::output::failure::{Done, Failure};
use crate::output::print::Output;
use crate::output::text::count;
use crate::present::table;
use crate::sys::cpuset;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::threads::Migrations;
use crate::verdict::diagnosis;
use crate::verdict::judge::{Judge, Verdict};
use crate::verdict::watch::PAUSE;
use crate::vm::expected::Member;
use crate::vm::find::{self, is_qemu};
use crate::vm::identify::Known;
use crate::vm::look::{Look, Vm};
use crate::vm::page::Missing;
use crate::vm::put::{self, NotPut};
use crate::vm::qmp::{self, Ids};
use pinning::{CpuSet, Host, Policy, RoleKind, Tid};
use std::collections::HashMap;
use std::process::ExitCode;

/// Rounds of looking and moving: what was created meanwhile needs a round more. Threads that come and go
/// without end are for `--watch`.
const ROUNDS: u32 = 50;

/// Puts the threads where the VM's own policy, or the one given, says.
pub(crate) fn apply(arguments: &Apply, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let vm = find::named(kernel, &arguments.vm)?;
    let policy = match policy(&vm, arguments, output)? {
        Some(Given::Policy(policy)) => Some(policy),
        Some(Given::Faulty) => return Ok(ExitCode::from(FAILED)),
        None => None,
    };
    let mut mender = Mender {
        vm: &vm,
        arguments,
        policy: policy.as_ref(),
        ids: None,
        judge: Judge::default(),
        given_up: HashMap::new(),
        moved: 0,
    };
    let all = mender.mend(output)?;
    output.print(mender.summary(all));
    let Some(pause) = arguments.watch else {
        return Ok(if mender.given_up.is_empty() || arguments.dry_run {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(OFF)
        });
    };
    loop {
        kernel.sleep(pause);
        match mender.mend(output) {
            Err(_) if !vm.process.is_alive() => {
                output.note(vm.ended());
                return Ok(ExitCode::SUCCESS);
            }
            done => done?,
        };
    }
}

/// What the command line says.
enum Given {
    Policy(Policy),
    /// What is wrong was said.
    Faulty,
}

/// The policy that was given; `None` where the VM's own counts.
fn policy(vm: &Vm<'_>, arguments: &Apply, output: &mut Output) -> Result<Option<Given>, Failure> {
    let variables = arguments.placement.variables();
    let content = vm.look(Migrations::Ignore, None, None)?;
    if variables.is_empty() {
        return match content.content {
            Ok(_) => Ok(None),
            Err(missing) => {
                let why = diagnosis::why_not_pinned(vm.process, &missing);
                let status = if missing == Missing::NotPermitted { FAILED } else { NOT_PINNED };
                Err(Failure::new(format!("process {} has no policy to apply: {why}", vm.process.shown()))
                    .next("say where its threads belong, with --cpus and the like")
                    .status(status))
            }
        };
    }
    if content.content.is_err() && !is_qemu(vm.process) {
        return Err(Failure::new(format!("process {} does not look like a QEMU", vm.process.shown()))
            .next("if it is one, name its executable in PIN_TARGET"));
    }
    let start = match &content.content {
        Ok(content) => content.snapshot.sets.first().cloned(),
        Err(_) => content
            .members
            .iter()
            .find(|m| m.thread.tid.0 == vm.process.pid)
            .map(|m| m.thread.allowed.clone()),
    };
    let host = Host { available: cpuset::available_to(vm.process), start: start.unwrap_or_default() };
    let reading = Policy::read(variables.iter().map(|(name, value)| (name, value)), &host);
    for fault in &reading.faults {
        output.note(fault);
    }
    if !reading.faults.is_empty() {
        say_whose_limit(vm.process, &host.available, output);
    }
    Ok(Some(reading.policy.map_or(Given::Faulty, Given::Policy)))
}

/// Names the cpuset, where one limits the process to less than is online.
fn say_whose_limit(process: Process<'_>, available: &CpuSet, output: &mut Output) {
    if let Some(cpuset) =
        cpuset::of_thread(process, Tid(process.pid)).filter(|_| *available != cpuset::online(process.kernel))
    {
        output.note(format_args!(
            "process {} is limited to {available} by its cgroup ({})",
            process.shown(),
            cpuset.file.display()
        ));
    }
}

/// Who a thread is: ids are used again.
type Key = (Tid, u64);

struct Mender<'a> {
    vm: &'a Vm<'a>,
    arguments: &'a Apply,
    policy: Option<&'a Policy>,
    ids: Option<Ids>,
    judge: Judge,
    /// Threads that could not be moved, with where they may run: said once.
    given_up: HashMap<Key, CpuSet>,
    moved: usize,
}

impl Mender<'_> {
    /// Looks and moves until nothing is left to move. The threads as they were last.
    fn mend(&mut self, output: &mut Output) -> Result<Vec<Member>, Failure> {
        if let Some(socket) = &self.arguments.qmp {
            match qmp::ask(socket) {
                Ok(ids) => self.ids = Some(ids),
                // What it said before is mostly still true; somebody else may be connected for a while.
                Err(_) if self.ids.is_some() => {}
                Err(failure) => return Err(failure),
            }
        }
        self.judge = Judge::default();
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            let Look { members, .. } = self.vm.look(Migrations::Ignore, self.ids.as_ref(), self.policy)?;
            let verdicts = self.judge.judge(&members);
            let mut again = false;
            for (member, verdict) in members.iter().zip(&verdicts) {
                match verdict {
                    Verdict::Off(_) => again |= self.put_back(member, output),
                    Verdict::Unsure | Verdict::Newborn => again = true,
                    _ => {}
                }
            }
            last = members;
            if !again {
                break;
            }
            self.vm.process.kernel.sleep(PAUSE);
        }
        // Who is gone needs no keeping.
        let there = |key: &Key| last.iter().any(|member| key_of(member) == *key);
        self.given_up.retain(|key, _| there(key));
        Ok(last)
    }

    /// Moves a thread and says so; whether another look is worth it.
    fn put_back(&mut self, member: &Member, output: &mut Output) -> bool {
        let (Some(expected), allowed) = (&member.expected, &member.thread.allowed) else { return false };
        let key = key_of(member);
        if self.given_up.get(&key) == Some(allowed) {
            return false;
        }
        let who = format!("{} {} ({})", member.thread.tid, member.name, table::role(member));
        if self.arguments.dry_run {
            self.given_up.insert(key, allowed.clone());
            output.print(format_args!("would move {who} from {allowed} to {expected}\n"));
            return false;
        }
        match put::put(self.vm.process, member.thread.tid, expected) {
            Ok(()) => {
                self.moved += 1;
                self.given_up.remove(&key);
                output.print(format_args!("moved {who} from {allowed} to {expected}\n"));
                true
            }
            Err(NotPut::Ended) => false,
            Err(NotPut::Because(why)) => {
                // Where a part of the set is left, that is where it may run now.
                let now =
                    self.vm.process.kernel.affinity(member.thread.tid).unwrap_or_else(|_| allowed.clone());
                self.given_up.insert(key, now);
                output.note(format_args!("{who} could not be put on {expected}: {why}"));
                false
            }
        }
    }

    fn summary(&self, members: Vec<Member>) -> String {
        let mut text = String::new();
        let assumed: Vec<&Member> =
            members.iter().filter(|m| m.known == Known::Assumed && m.role == RoleKind::Emulator).collect();
        if self.vm.page.is_err() && !assumed.is_empty() {
            let hint = match self.arguments.qmp {
                Some(_) => "",
                None => "; --qmp SOCKET tells vCPUs and IOThreads",
            };
            text += &format!(
                "{} could not be told by name and counted as the emulator's: {}{hint}\n",
                count(assumed.len(), "thread"),
                tids(&assumed)
            );
        }
        let homeless: Vec<&Member> = members.iter().filter(|member| member.home_assumed).collect();
        if !homeless.is_empty() {
            text += &format!(
                "{} counted as the main loop's, whose home could not be told: {}; --workers says where workers belong\n",
                count(homeless.len(), "worker"),
                tids(&homeless)
            );
        }
        if self.arguments.dry_run {
            return text;
        }
        let failed = self.given_up.len();
        let failed = if failed == 0 {
            String::new()
        } else {
            format!(", {failed} could NOT be put where they belong")
        };
        let moved = match self.moved {
            0 if failed.is_empty() => ", all where they belong".to_owned(),
            moved => format!(", {moved} moved"),
        };
        text + &format!("{}: {}{moved}{failed}\n", self.vm.title(), count(members.len(), "thread"))
    }
}

fn key_of(member: &Member) -> Key {
    (member.thread.tid, member.thread.started)
}

fn tids(members: &[&Member]) -> String {
    members.iter().map(|member| member.thread.tid.to_string()).collect::<Vec<_>>().join(", ")
}
