//! Why the broker could not be started: the step that failed, and its error. Where the broker itself fails, it says so to
//! QEMU in a word of the shared memory.

use crate::sys::errno::Errno;
use std::fmt;

/// A step of the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    // In QEMU.
    SharedMemory = 1,
    SocketPair,
    Credentials,
    Identity,
    Clone,
    Wait,
    Ready,
    // In the broker.
    User,
    Proc,
    Name,
    NotDumpable,
    Capabilities,
    CloseRange,
    Affinity,
    Filter,
    Poll,
}

impl Step {
    const ALL: [(Self, &'static str); 16] = [
        (Self::SharedMemory, "mmap"),
        (Self::SocketPair, "socketpair"),
        (Self::Credentials, "setsockopt(SO_PASSCRED)"),
        (Self::Identity, "pidfd_open"),
        (Self::Clone, "clone"),
        (Self::Wait, "wait4"),
        (Self::Ready, "waiting for it"),
        (Self::User, "geteuid"),
        (Self::Proc, "open of /proc"),
        (Self::Name, "prctl(PR_SET_NAME)"),
        (Self::NotDumpable, "prctl(PR_SET_DUMPABLE)"),
        (Self::Capabilities, "capget and capset"),
        (Self::CloseRange, "close_range"),
        (Self::Affinity, "sched_setaffinity"),
        (Self::Filter, "seccomp"),
        (Self::Poll, "ppoll"),
    ];
}

/// A step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

impl Failure {
    /// The bit of the shared word that says that there is a failure in the rest of it.
    const FAILED: u32 = 1 << 31;

    /// The failure as a word. It is neither 0 nor 1.
    pub(super) fn to_word(self) -> u32 {
        Self::FAILED | u32::from(self.step as u8) << 16 | (self.errno.0 as u32 & 0xFFFF)
    }

    /// The failure that a word holds, if it holds one.
    pub(super) fn from_word(word: u32) -> Option<Self> {
        let (step, _) = *Step::ALL.iter().find(|(step, _)| *step as u8 == (word >> 16) as u8)?;
        (word & Self::FAILED != 0).then_some(Self { step, errno: Errno((word & 0xFFFF) as i32) })
    }
}

/// For `map_err`: that this step failed.
pub(super) fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { step, errno }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Step::ALL.iter().find(|(step, _)| *step == self.step).map_or("", |(_, name)| name);
        match self.errno.0 {
            // Of a placement this would say something about its cpuset.
            libc::EINVAL if self.step != Step::Affinity => write!(f, "{name}: invalid argument (EINVAL)"),
            libc::ECHILD => write!(f, "{name}: it has ended"),
            _ => write!(f, "{name}: {}", self.errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Step};
    use crate::sys::errno::Errno;

    #[test]
    fn every_failure_comes_through_the_word() {
        for (step, name) in Step::ALL {
            for errno in [1, 22, 38, 133, 4095] {
                let failure = Failure { step, errno: Errno(errno) };
                assert_eq!(Failure::from_word(failure.to_word()), Some(failure));
                assert!(failure.to_string().starts_with(name));
            }
        }
    }

    #[test]
    fn what_says_not_yet_or_ready_is_no_failure() {
        for word in [0, 1, 1 << 31, 1 << 31 | 0xFF << 16, 8 << 16 | 1] {
            assert_eq!(Failure::from_word(word), None, "{word:x}");
        }
    }

    #[test]
    fn the_step_and_the_error_are_named() {
        let failure = Failure { step: Step::NotDumpable, errno: Errno(libc::EPERM) };
        assert_eq!(failure.to_string(), "prctl(PR_SET_DUMPABLE): not permitted (EPERM)");
    }
}
