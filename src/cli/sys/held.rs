//! A process that is held on to, so that no later process of the same id is taken for it.

use crate::sys::process::Process;
use crate::sys::threads::{self, ThreadKey};
use std::fs::File;
use std::io;

/// A process from the moment on that it was found.
#[derive(Debug)]
pub(crate) struct Held<'k> {
    process: Process<'k>,
    /// Stands for this process alone, also when its id is used again; `None` before Linux 5.3.
    pidfd: Option<File>,
    /// When it was started, in clock ticks since boot; `None` if it had ended already.
    started: Option<u64>,
}

impl<'k> Held<'k> {
    /// Takes hold of the process that has this id now. What is read about it later belongs to it as long as
    /// [`Held::is_same`] says so afterwards.
    pub(crate) fn new(process: Process<'k>) -> Self {
        // pidfd_open(2) takes the id of a process and not that of another thread, which a user may give too.
        let pidfd = process.kernel.pidfd(process.pid).ok();
        Self { process, pidfd, started: threads::started(process, process.main_thread()) }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `Unsupported` before Linux 5.3, where another process could get it.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        let pidfd = self.pidfd.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        self.process.kernel.signal(pidfd, signal)
    }

    /// The process, as long as [`Held::is_same`].
    pub(crate) fn process(&self) -> Process<'k> {
        self.process
    }

    /// Whether the process's id still is the process's.
    pub(crate) fn is_same(&self) -> bool {
        match &self.pidfd {
            Some(pidfd) => !self.process.kernel.has_ended(pidfd),
            None => {
                self.started.is_some()
                    && threads::started(self.process, self.process.main_thread()) == self.started
            }
        }
    }

    /// Whether a thread's id still is that thread's, and the thread one of the process's.
    pub(crate) fn has(&self, thread: ThreadKey) -> bool {
        let tid = thread.tid();
        // Until the process has ended nobody else gets its id, and a thread that is its own now was so before:
        // in this order, as the thread's start is read by both ids.
        threads::started(self.process, tid) == Some(thread.started())
            && self.process.kernel.has_thread(self.process.pid, tid)
            && self.is_same()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use crate::sys::linux::Linux;
    use crate::sys::threads::{Migrations, list};
    use crate::vm::sample::threads_of_web;
    use std::process::Command;

    #[test]
    fn a_process_is_the_same_until_it_ends() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let kernel = Linux::new();
        let process = Process::new(&kernel, i32::try_from(child.id()).unwrap()).unwrap();
        let (held, without) = (Held::new(process), Held { pidfd: None, ..Held::new(process) });
        let thread = list(process, Migrations::Ignore).unwrap()[0].key();
        assert!(held.pidfd.is_some() && held.is_same() && without.is_same());
        assert!(held.has(thread) && without.has(thread));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!held.is_same() && !without.is_same());
        assert!(!held.has(thread) && !without.has(thread));
    }

    #[test]
    fn a_later_process_of_the_same_id_is_another_with_pidfds_and_without() {
        for has_pidfds in [true, false] {
            let kernel = FakeKernel::new();
            if !has_pidfds {
                kernel.without_pidfds();
            }
            let same = threads_of_web(&kernel);
            let process = Process::new(&kernel, 100).unwrap();
            let held = Held::new(process);
            assert!(held.pidfd.is_some() == has_pidfds && held.is_same());
            // The kernel shows a thread's start, and a process may write anything else about itself.
            same.write("cmdline", "another\0");
            assert!(held.is_same());
            kernel.end_process(100);
            assert!(!held.is_same());
            threads_of_web(&kernel);
            kernel.change(100, |thread| thread.started = 7000);
            assert!(!held.is_same(), "pidfds: {has_pidfds}");
        }
    }

    #[test]
    fn a_later_thread_of_the_same_id_is_another() {
        let kernel = FakeKernel::new();
        threads_of_web(&kernel);
        let process = Process::new(&kernel, 100).unwrap();
        let held = Held::new(process);
        let thread = list(process, Migrations::Ignore).unwrap()[1].key();
        assert!(held.has(thread));
        kernel.change(101, |thread| thread.started = 7000);
        assert!(!held.has(thread));
    }
}
