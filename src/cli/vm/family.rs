//! A command, and all processes that it has started: which of them are QEMUs, and how to end them before a guest runs.

use crate::sys::held::Held;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::threads;
use std::collections::HashMap;
use std::time::Duration;

/// A QEMU with so many threads has no vCPU: they are the main thread and `call_rcu`, which QEMU's constructors create
/// before all others. A vCPU never runs in either.
const BEFORE_VCPUS: usize = 2;

/// The longest wait for a process to stop.
const STOPPING: Duration = Duration::from_millis(200);

/// The time between two looks at that.
const PAUSE: Duration = Duration::from_millis(2);

/// The processes that a command became or started. One whose parent has ended stays one of them once it was seen.
pub(crate) struct Family<'k> {
    kernel: &'k dyn Kernel,
    members: Vec<Held<'k>>,
}

impl<'k> Family<'k> {
    /// The family of a process.
    pub(crate) fn new(first: Process<'k>) -> Self {
        Self { kernel: first.kernel, members: vec![Held::new(first)] }
    }

    /// Finds what was started since, and forgets what has ended. `None`: /proc cannot be read.
    pub(crate) fn grow(&mut self) -> Option<()> {
        let own = i32::try_from(std::process::id()).ok()?;
        let all = Process::all(self.kernel).ok()?;
        let parents: HashMap<i32, i32> =
            all.iter().filter_map(|process| Some((process.pid, threads::parent(*process)?))).collect();
        self.members.retain(|member| member.is_same() && member.process().is_alive());
        loop {
            let is_member = |pid: &i32| self.members.iter().any(|member| member.process().pid == *pid);
            let is_new = |process: &&Process<'_>| {
                process.pid != own
                    && !is_member(&process.pid)
                    && parents.get(&process.pid).is_some_and(is_member)
            };
            let new: Vec<Held<'k>> = all.iter().filter(is_new).map(|process| Held::new(*process)).collect();
            if new.is_empty() {
                return Some(());
            }
            self.members.extend(new);
        }
    }

    /// Its processes.
    pub(crate) fn processes(&self) -> impl Iterator<Item = Process<'k>> {
        self.members.iter().map(Held::process)
    }

    /// Ends all of them, if none can have run a guest: they are stopped first, and none of them has more threads than a
    /// QEMU has before its first vCPU. Else all of them go on as before, and the answer is `false`.
    pub(crate) fn end_before_a_guest(&mut self) -> bool {
        if !self.are_early() || !self.stop() {
            return false;
        }
        let before = self.members.len();
        let is_safe = self.grow().is_some() && self.members.len() == before && self.are_early();
        let signal = if is_safe { libc::SIGKILL } else { libc::SIGCONT };
        for member in &self.members {
            // One that has ended needs neither.
            let _ = member.signal(signal);
        }
        is_safe
    }

    fn are_early(&self) -> bool {
        self.processes().all(|process| threads::stopped(process).0 <= BEFORE_VCPUS)
    }

    /// Stops all of them. `false`: one could not be stopped, and all go on.
    fn stop(&self) -> bool {
        let until = self.kernel.now() + STOPPING;
        let is_stopped = |member: &Held<'_>| {
            if member.signal(libc::SIGSTOP).is_err() {
                return false;
            }
            while !threads::stopped(member.process()).1 {
                if self.kernel.now() > until {
                    return false;
                }
                self.kernel.sleep(PAUSE);
            }
            true
        };
        let are_stopped = self.members.iter().all(is_stopped);
        if !are_stopped {
            for member in &self.members {
                let _ = member.signal(libc::SIGCONT);
            }
        }
        are_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;

    /// A script, process 50, that has started process 100 with so many threads.
    fn family(kernel: &FakeKernel, threads: i32) -> Family<'_> {
        kernel.process(50, &["/bin/sh"]).thread(50, "sh", "0");
        let qemu = kernel.process(100, &["/usr/bin/qemu-system-x86_64"]);
        (100..100 + threads).for_each(|tid| {
            qemu.thread(tid, "q", "0");
            kernel.change(tid, |thread| thread.parent = 50);
        });
        kernel.process(200, &["/bin/sh"]).thread(200, "sh", "0");
        let mut family = Family::new(Process::new(kernel, 50).unwrap());
        family.grow().unwrap();
        family
    }

    fn alive(kernel: &FakeKernel) -> Vec<bool> {
        [50, 100, 200].iter().map(|pid| Process::new(kernel, *pid).is_ok()).collect()
    }

    #[test]
    fn a_qemu_without_a_vcpu_is_ended_with_what_started_it() {
        let kernel = FakeKernel::new();
        let mut family = family(&kernel, 2);
        assert_eq!(family.processes().map(|process| process.pid).collect::<Vec<_>>(), [50, 100]);
        assert!(family.end_before_a_guest());
        assert_eq!(alive(&kernel), [false, false, true]);
    }

    #[test]
    fn a_qemu_that_may_run_a_guest_is_left_alone_and_goes_on() {
        let kernel = FakeKernel::new();
        assert!(!family(&kernel, 3).end_before_a_guest());
        assert_eq!(alive(&kernel), [true; 3]);
        // It creates a vCPU while it is being stopped.
        let kernel = FakeKernel::new();
        let mut family = family(&kernel, 2);
        kernel.on_signal(|kernel| {
            kernel.existing(100).thread(102, "CPU 0/KVM", "0");
            kernel.change(102, |thread| (thread.parent, thread.is_stopped) = (50, true));
        });
        assert!(!family.end_before_a_guest());
        assert_eq!(alive(&kernel), [true; 3]);
        let are_stopped = |pid| threads::stopped(Process::new(&kernel, pid).unwrap()).1;
        assert!(!are_stopped(50) && !are_stopped(100));
    }

    #[test]
    fn what_belongs_to_another_user_is_not_ended_nor_what_started_it() {
        let kernel = FakeKernel::new();
        let mut family = family(&kernel, 1);
        kernel.existing(100).user(0);
        assert!(!family.end_before_a_guest());
        assert_eq!(alive(&kernel), [true; 3]);
        assert!(!threads::stopped(Process::new(&kernel, 50).unwrap()).1);
    }

    #[test]
    fn a_process_stays_in_the_family_when_its_parent_has_ended() {
        let kernel = FakeKernel::new();
        let mut family = family(&kernel, 2);
        kernel.change(100, |thread| thread.parent = 1);
        kernel.end_process(50);
        family.grow().unwrap();
        assert_eq!(family.processes().map(|process| process.pid).collect::<Vec<_>>(), [100]);
    }
}
