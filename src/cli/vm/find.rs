//! Which VM a user means, and which VMs there are.

use crate::arguments::Wanted;
use crate::output::failure::Failure;
use crate::output::text::count;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::vm::command_line;
use crate::vm::look::Vm;
use crate::vm::page::Missing;
use pinning::{BROKER_NAME, acts_in};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The longest time in which all processes are looked at. On a host with thousands of processes it takes less
/// than a second; somebody may have made it long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What is said where that time is over.
pub(crate) const SLOW: &str = "looking at all processes takes longer than 10 s";

/// The VM that a user names by its PID or by its name (`-name` on QEMU's command line).
///
/// # Errors
/// There is none, or several have this name.
pub(crate) fn wanted<'k>(kernel: &'k dyn Kernel, wanted: &Wanted) -> Result<Vm<'k>, Failure> {
    look_up(kernel, wanted)?.ok_or_else(|| match wanted {
        Wanted::Pid(pid) => no_process(*pid),
        Wanted::Word(word) => word.parse().map_or_else(|_| no_vm(word), no_process),
    })
}

/// The same of a word that may be either.
#[cfg(test)]
pub(crate) fn named<'k>(kernel: &'k dyn Kernel, word: &str) -> Result<Vm<'k>, Failure> {
    wanted(kernel, &Wanted::Word(word.to_owned()))
}

/// Whether only a name was given: a VM of that name may appear some day, a process of an id that no process has
/// will be another one.
pub(crate) fn may_appear(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Word(word) if word.parse::<i32>().is_err())
}

/// The same; `None` if there is none.
///
/// # Errors
/// Several have this name, or not all processes could be looked at.
pub(crate) fn look_up<'k>(kernel: &'k dyn Kernel, wanted: &Wanted) -> Result<Option<Vm<'k>>, Failure> {
    let word = match wanted {
        Wanted::Word(word) => word,
        Wanted::Pid(pid) => return Ok(Process::new(kernel, *pid).ok().map(Vm::new)),
    };
    let pid = word.parse().ok();
    // A VM may be called 7: the process with that id is meant.
    if let Some(process) = pid.and_then(|pid| Process::new(kernel, pid).ok()) {
        return Ok(Some(Vm::new(process)));
    }
    let until = kernel.now() + PATIENCE;
    let mut namesakes = Vec::new();
    for process in Process::all(kernel).map_err(no_proc)? {
        if kernel.now() > until {
            return Err(Failure::new(format!("{SLOW}: not all of them were looked at for {word:?}"))
                .next("name the VM by its PID"));
        }
        if command_line::vm_name(&process.arguments()).is_some_and(|name| name == *word) {
            namesakes.push(process);
        }
    }
    // A wrapper such as timeout has QEMU's arguments too, and is no QEMU.
    let mut vms: Vec<Vm<'_>> =
        namesakes.into_iter().map(Vm::new).filter(|vm| vm.is_pinned() || is_qemu(vm.process)).collect();
    let pids: Vec<String> = vms.iter().map(|vm| whose(vm.process)).collect();
    match (vms.pop(), pids.len()) {
        (Some(vm), 1) => Ok(Some(vm)),
        (None, _) => Ok(None),
        (Some(_), several) => Err(Failure::new(format!("{several} QEMUs are called {word:?}"))
            .next(format!("name one by its PID: {}", pids.join(", ")))),
    }
}

/// A process's id, with its user where that is not the one that this command acts as: `7 (user nobody)`.
fn whose(process: Process<'_>) -> String {
    match process.other_user() {
        Some(user) => format!("{} ({user})", process.pid),
        None => process.pid.to_string(),
    }
}

/// What to do next where nothing was found.
const LIST: &str = "`pinshim show` without a name lists the pinned VMs";

fn no_process(pid: i32) -> Failure {
    Failure::new(format!("there is no process {pid}")).next(LIST)
}

fn no_vm(word: &str) -> Failure {
    Failure::new(format!("no QEMU is called {word:?}")).next(LIST)
}

fn no_proc(error: std::io::Error) -> Failure {
    Failure::new(format!("/proc cannot be read: {error}"))
}

/// Every QEMU on this host.
#[derive(Debug, Default)]
pub(crate) struct Found<'k> {
    /// Those with a sound status page.
    pub(crate) pinned: Vec<Vm<'k>>,
    /// Those without one.
    pub(crate) not_pinned: Vec<Process<'k>>,
    /// Those that this user may not look into.
    pub(crate) unreadable: Vec<Process<'k>>,
    /// Those whose status page is not sound.
    pub(crate) bad: Vec<Vm<'k>>,
    /// How many processes were not looked at, because that would have taken too long.
    pub(crate) not_looked_at: usize,
    /// Every QEMU with the name that it gives itself.
    names: Vec<(Process<'k>, String)>,
}

impl<'k> Found<'k> {
    /// Every QEMU, pinned or not, in the order of their ids.
    ///
    /// # Errors
    /// Not all processes were looked at.
    pub(crate) fn into_vms(self) -> Result<Vec<Vm<'k>>, Failure> {
        if self.not_looked_at > 0 {
            return Err(self.not_all());
        }
        let others = self.not_pinned.into_iter().chain(self.unreadable).map(Vm::new);
        let mut vms: Vec<Vm<'k>> = self.pinned.into_iter().chain(self.bad).chain(others).collect();
        vms.sort_by_key(|vm| vm.process.pid);
        Ok(vms)
    }

    /// The failure where not all processes were looked at.
    pub(crate) fn not_all(&self) -> Failure {
        Failure::new(format!("{SLOW}: {} not looked at", count(self.not_looked_at, "process")))
    }

    /// The other processes that give themselves the name of a VM, each in a sentence. One of them may have
    /// chosen it so that it is taken for the VM.
    pub(crate) fn namesakes(&self, vm: &Vm<'_>) -> Vec<String> {
        let others = self.names.iter().filter(|(process, name)| {
            process.pid != vm.process.pid && vm.name.as_ref().is_some_and(|of| of == name)
        });
        others.map(|(process, name)| format!("process {} is called {name:?} too", whose(*process))).collect()
    }
}

/// Looks for every QEMU. One with a page is found under any name.
pub(crate) fn all(kernel: &dyn Kernel) -> Result<Found<'_>, Failure> {
    let mut found = Found::default();
    let until = kernel.now() + PATIENCE;
    for process in Process::all(kernel).map_err(no_proc)? {
        if kernel.now() > until {
            found.not_looked_at += 1;
            continue;
        }
        let vm = Vm::new(process);
        let has_page = matches!(vm.page, Ok(_) | Err(Missing::Bad(_)));
        if !has_page && !is_qemu(process) {
            continue;
        }
        found.names.extend(vm.name.clone().map(|name| (process, name)));
        match &vm.page {
            Ok(_) => found.pinned.push(vm),
            Err(Missing::Bad(_)) => found.bad.push(vm),
            Err(Missing::None | Missing::OfParent(_)) => found.not_pinned.push(process),
            Err(Missing::NotPermitted) => found.unreadable.push(process),
        }
    }
    Ok(found)
}

/// Whether a process looks like a QEMU that the library would act in, by its executable's name.
pub(crate) fn is_qemu(process: Process<'_>) -> bool {
    let target = std::env::var_os("PIN_TARGET");
    let name = process.executable_name();
    // The broker is a copy of QEMU's process, which says so in its arguments.
    acts_in(target.as_ref().map(|target| target.as_bytes()), name.as_bytes())
        && process.arguments().first().is_none_or(|name| name != BROKER_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::{WEB, threads_of_web, web};

    /// The pid of the VM that a word names, or what is said.
    fn found(kernel: &FakeKernel, word: &str) -> Result<i32, String> {
        named(kernel, word).map(|vm| vm.process.pid).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_vm_is_found_by_its_pid_and_by_its_name() {
        let kernel = FakeKernel::new();
        web(&kernel);
        assert_eq!(found(&kernel, "100"), Ok(100));
        assert_eq!(found(&kernel, "web"), Ok(100));
        let no_vm = "no QEMU is called \"we\"; `pinshim show` without a name lists the pinned VMs";
        assert_eq!(found(&kernel, "we"), Err(no_vm.to_owned()));
        let no_process = "there is no process 99; `pinshim show` without a name lists the pinned VMs";
        assert_eq!(found(&kernel, "99"), Err(no_process.to_owned()));
    }

    #[test]
    fn an_id_that_is_given_as_such_is_no_name() {
        let kernel = FakeKernel::new();
        kernel.process(200, &["/usr/bin/qemu-system-x86_64", "-name", "7"]).thread(200, "qemu", "0");
        let by_id = |pid| wanted(&kernel, &Wanted::Pid(pid)).map(|vm| vm.process.pid);
        assert_eq!(by_id(200), Ok(200));
        assert_eq!(by_id(7), Err(no_process(7)));
    }

    #[test]
    fn two_vms_of_one_name_are_both_named_and_neither_is_taken() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        kernel.process(200, &WEB).thread(200, "qemu-system-x86", "0");
        let both = "2 QEMUs are called \"web\"; name one by its PID: 100, 200";
        assert_eq!(found(&kernel, "web"), Err(both.to_owned()));
        assert_eq!(found(&kernel, "200"), Ok(200));
        kernel.existing(200).user(0);
        let both = "2 QEMUs are called \"web\"; name one by its PID: 100, 200 (user root)";
        assert_eq!(found(&kernel, "web"), Err(both.to_owned()));
        kernel.end_process(100);
        assert_eq!(found(&kernel, "web"), Ok(200));
    }

    #[test]
    fn a_process_that_only_has_the_arguments_of_a_qemu_is_not_taken() {
        let kernel = FakeKernel::new();
        // A wrapper, another program, and the broker, which is a copy of QEMU's process.
        let [qemu, option, name] = WEB;
        kernel.process(90, &["/usr/bin/timeout", "9", qemu, option, name]).thread(90, "timeout", "0");
        kernel.process(91, &WEB).executable("/usr/bin/python3").thread(91, "qemu-system-x86", "0");
        kernel.process(101, &["pinshim-broker", option, name]).executable(qemu).thread(101, "x", "0");
        let no_vm = "no QEMU is called \"web\"; `pinshim show` without a name lists the pinned VMs";
        assert_eq!(found(&kernel, "web"), Err(no_vm.to_owned()));
        kernel.process(100, &WEB).thread(100, "qemu-system-x86", "0");
        assert_eq!(found(&kernel, "web"), Ok(100));
    }

    #[test]
    fn under_the_library_a_vm_is_found_whatever_its_executable_is_called() {
        let kernel = FakeKernel::new();
        web(&kernel).executable("/opt/my-vmm");
        assert_eq!(found(&kernel, "web"), Ok(100));
    }

    #[test]
    fn a_number_is_a_pid_before_it_is_a_name() {
        let kernel = FakeKernel::new();
        kernel.process(200, &["/usr/bin/qemu-system-x86_64", "-name", "7"]).thread(200, "qemu", "0");
        assert_eq!(found(&kernel, "7"), Ok(200));
        kernel.process(7, &["/bin/sh"]).thread(7, "sh", "0");
        assert_eq!(found(&kernel, "7"), Ok(7));
    }

    #[test]
    fn every_qemu_is_found_and_put_where_it_belongs() {
        let kernel = FakeKernel::new();
        web(&kernel);
        let qemu = |pid, name| {
            let process = kernel.process(pid, &["/usr/bin/qemu-system-x86_64", "-name", name]);
            process.thread(pid, "qemu-system-x86", "0")
        };
        qemu(200, "without");
        qemu(300, "hidden");
        kernel.deny("/proc/300/fd");
        let unsealed = crate::sys::linux::memfd("pinshim", b"", 0);
        qemu(400, "unsealed").descriptor(200, "/memfd:pinshim (deleted)", unsealed);
        kernel.process(500, &["/bin/sh"]).thread(500, "sh", "0");
        let found = all(&kernel).unwrap();
        let pids = |vms: &[Vm<'_>]| vms.iter().map(|vm| vm.process.pid).collect::<Vec<_>>();
        assert_eq!(pids(&found.pinned), [100]);
        assert_eq!(pids(&found.bad), [400]);
        assert_eq!(found.not_pinned.iter().map(|process| process.pid).collect::<Vec<_>>(), [200]);
        assert_eq!(found.unreadable.iter().map(|process| process.pid).collect::<Vec<_>>(), [300]);
    }

    #[test]
    fn a_search_that_takes_too_long_is_given_up_and_not_taken_for_an_answer() {
        let kernel = FakeKernel::new();
        web(&kernel);
        for pid in [50, 60] {
            kernel.process(pid, &WEB).thread(pid, "qemu-system-x86", "0");
            kernel.slow(format!("/proc/{pid}/cmdline"), Duration::from_secs(6));
        }
        let slow = "looking at all processes takes longer than 10 s: not all of them were looked at for \"web\"; \
                    name the VM by its PID";
        assert_eq!(found(&kernel, "web"), Err(slow.to_owned()));
        assert_eq!(found(&kernel, "100"), Ok(100));
        let found = all(&kernel).unwrap();
        assert_eq!((found.pinned.len(), found.not_looked_at), (0, 2), "one is enough for {PATIENCE:?}");
    }
}
