//! Whom the broker serves: one process, for as long as it lives.
//!
//! A pid is no identity: the kernel gives it to another process when its process has ended. A process is known here by a
//! descriptor of it (a pidfd) or, before Linux 5.3, by its pid and start time. And who holds QEMU's end of the
//! socket is not QEMU for that: QEMU's children hold it, and it can be handed on.
//!
//! `-daemonize` has QEMU fork twice, and the child of the child runs the VM. The process that was started waits until that
//! one is ready (QEMU's os-posix.c, os_daemonize and os_setup_post). Only in that time another process may take over.

use crate::sys::errno::Errno;
use crate::sys::file;
use crate::sys::proc_stat::ProcStat;
use crate::sys::process;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) known_by: KnownBy,
}

/// What tells a process from a later one with its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownBy {
    /// A pidfd, which can be read from when the process has ended.
    Descriptor(i32),
    /// When it started, as its /proc/PID/stat says.
    StartTime(u64),
}

impl Process {
    /// The process with this pid, which started at this time, if that is known. The caller makes sure, after this call,
    /// that it is the process that it means.
    pub(super) fn open(pid: i32, start_time: Option<u64>) -> Result<Self, Errno> {
        let known_by = match (process::pidfd_open(pid), start_time) {
            (Ok(fd), _) => KnownBy::Descriptor(fd),
            (Err(Errno(libc::ENOSYS)), Some(start_time)) => KnownBy::StartTime(start_time),
            (Err(errno), _) => return Err(errno),
        };
        Ok(Self { pid, known_by })
    }

    /// What to poll to notice its end; negative if there is nothing.
    pub(super) fn descriptor(&self) -> i32 {
        match self.known_by {
            KnownBy::Descriptor(fd) => fd,
            KnownBy::StartTime(_) => -1,
        }
    }

    /// Whether it has ended, where there is no descriptor to poll: `stat` is what the stat file of its pid holds now.
    pub(super) fn has_ended_by(&self, stat: Option<ProcStat<'_>>) -> bool {
        match self.known_by {
            KnownBy::Descriptor(_) => false,
            KnownBy::StartTime(start_time) => {
                stat.is_none_or(|stat| stat.start_time() != Some(start_time) || stat.has_ended())
            }
        }
    }

    /// Closes its descriptor.
    pub(super) fn close(self) {
        if let KnownBy::Descriptor(fd) = self.known_by {
            file::close(fd);
        }
    }
}

/// The process that is served, and whether another may take over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// The process whose threads are placed. `None` after the child of `-daemonize` has ended and before its own child has
    /// taken over.
    current: Option<Process>,
    /// The process that started the broker, while a child of it may still take over.
    starter: Option<Process>,
}

/// What the end of a process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// Nobody is left to serve, and nobody will be.
    End,
}

impl Served {
    /// The process that starts the broker. Another one may take over only if QEMU is becoming a daemon.
    pub(super) fn new(starter: Process, daemonizes: bool) -> Self {
        Self { current: Some(starter), starter: daemonizes.then_some(starter) }
    }

    /// The process that is served.
    pub(super) fn current(&self) -> Option<Process> {
        self.current
    }

    /// The process that started the broker, while another may take over.
    pub(super) fn starter(&self) -> Option<Process> {
        self.starter
    }

    /// Another process takes over. The caller has checked that it may, and that there is a `starter`. Answers whose
    /// descriptor is of no use any more.
    pub(super) fn take_over(&mut self, next: Process) -> Option<Process> {
        let before = self.current.replace(next);
        before.filter(|before| Some(*before) != self.starter)
    }

    /// A vCPU of the served process is about to run: from now on a guest may have taken QEMU over, and nobody else is served.
    /// Answers whose descriptor is of no use any more.
    pub(super) fn vcpu_runs(&mut self) -> Option<Process> {
        self.starter.take().filter(|starter| Some(*starter) != self.current)
    }

    /// These of the two have ended.
    pub(super) fn have_ended(&mut self, current: bool, starter: bool) -> Then {
        if starter {
            // Nobody takes over any more. The starter may be the one that is served.
            if self.current == self.starter {
                self.current = None;
            }
            self.starter = None;
        }
        if current {
            self.current = None;
        }
        if self.current.is_none() && self.starter.is_none() { Then::End } else { Then::GoOn }
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownBy, Process, Served, Then};
    use crate::sys::proc_stat::ProcStat;

    fn process(pid: i32) -> Process {
        Process { pid, known_by: KnownBy::Descriptor(pid + 1000) }
    }

    #[test]
    fn a_process_that_becomes_no_daemon_is_served_until_it_ends_and_nobody_takes_over() {
        let mut served = Served::new(process(1), false);
        assert_eq!((served.current(), served.starter()), (Some(process(1)), None));
        assert_eq!(served.have_ended(false, false), Then::GoOn);
        assert_eq!(served.have_ended(true, false), Then::End);
    }

    #[test]
    fn the_child_of_a_child_takes_over_and_is_served_until_it_ends() {
        let mut served = Served::new(process(1), true);
        assert_eq!(served.take_over(process(2)), None, "the starter is still waited for");
        assert_eq!(served.current(), Some(process(2)));
        // The child ends before its own child has said anything, or after.
        let mut early = served;
        assert_eq!(early.have_ended(true, false), Then::GoOn);
        assert_eq!(early.current(), None);
        assert_eq!(early.take_over(process(3)), None);
        assert_eq!(served.take_over(process(3)), Some(process(2)));
        for mut served in [early, served] {
            assert_eq!(served.have_ended(false, true), Then::GoOn);
            assert_eq!((served.current(), served.starter()), (Some(process(3)), None));
            assert_eq!(served.have_ended(true, false), Then::End);
        }
    }

    #[test]
    fn it_ends_when_the_starter_ends_and_nobody_has_taken_over() {
        let mut served = Served::new(process(1), true);
        assert_eq!(served.have_ended(true, true), Then::End);
        let mut served = Served::new(process(1), true);
        served.take_over(process(2));
        assert_eq!(served.have_ended(true, false), Then::GoOn);
        assert_eq!(served.have_ended(false, true), Then::End);
        let mut served = Served::new(process(1), true);
        served.take_over(process(2));
        assert_eq!(served.have_ended(true, true), Then::End);
    }

    #[test]
    fn nobody_takes_over_once_a_vcpu_runs() {
        let mut served = Served::new(process(1), true);
        served.take_over(process(3));
        assert_eq!(served.vcpu_runs(), Some(process(1)));
        assert_eq!(served.vcpu_runs(), None);
        assert_eq!((served.current(), served.starter()), (Some(process(3)), None));
        assert_eq!(served.have_ended(true, false), Then::End);
    }

    #[test]
    fn a_start_time_tells_a_process_from_the_next_with_its_pid() {
        let process = Process { pid: 1, known_by: KnownBy::StartTime(500) };
        let fields = "1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0";
        let ended_by = |state: &str, start: &str| {
            let text = format!("1 (qemu) {state} {fields} {start} 0");
            process.has_ended_by(ProcStat::new(text.as_bytes()))
        };
        assert!(!ended_by("S", "500") && !ended_by("T", "500"));
        assert!(ended_by("S", "501") && ended_by("Z", "500"));
        assert!(process.has_ended_by(None), "it has no stat file");
    }
}
