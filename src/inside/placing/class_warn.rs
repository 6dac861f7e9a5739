//! What the log says of a scheduling class that a thread does not have. There is one warning for each role and cause.

use crate::placing::warn::{About, Name};
use crate::report::once::{self, Cause};
use crate::report::targets;
use crate::sys::errno::Errno;
use crate::sys::process;
use pinning::{Class, Tid};
use std::fmt;

/// Why a thread does not have all of its class.
pub(super) enum Why {
    /// The kernel refused it.
    Refused(Errno),
    /// This thread, of a usual class, may run on the same CPUs and would wait for ever.
    Withheld(Tid),
    /// It has the class, but the kernel knows no slices.
    NoSlices,
}

/// Warns of it, the first time for the thread's role.
pub(super) fn report(who: &About<'_>, class: Class, why: &Why) {
    let cause = match why {
        Why::Refused(_) => Cause::ClassRefused,
        Why::Withheld(_) => Cause::ClassWithheld,
        Why::NoSlices => Cause::NoSlices,
    };
    if !once::first_time(who.role, cause) {
        return;
    }
    let (tid, role, name) = (who.tid, who.role, Name(who.name));
    match why {
        Why::Refused(errno) => log::warn!(target: targets::SCHED,
            "thread {tid}{name} ({role}) could not be given {class}: {}", Missing::of(class, *errno)
        ),
        Why::Withheld(waiting) => log::warn!(target: targets::SCHED,
            "thread {tid}{name} ({role}) is not given {class}: thread {waiting} may run on the same CPUs, and would wait for \
             ever"
        ),
        Why::NoSlices => log::warn!(target: targets::SCHED,
            "thread {tid}{name} ({role}) has {class} without the slice, which takes Linux 6.12"
        ),
    }
}

/// What a process lacks for a class, and how it gets it (sched(7), "Privileges and resource limits").
enum Missing {
    /// RLIMIT_RTPRIO has to be as high as the priority.
    RtPrio { priority: i8, limit: u64 },
    /// RLIMIT_NICE has to be 20 less the nice value.
    Nice { nice: i8, limit: u64 },
    /// It has all rights, and yet: CONFIG_RT_GROUP_SCHED.
    Budget,
    /// Something else.
    Other(Errno),
}

impl Missing {
    /// What is missing now.
    fn of(class: Class, errno: Errno) -> Self {
        /// linux/capability.h.
        const CAP_SYS_NICE: u32 = 23;
        if errno != Errno(libc::EPERM) {
            return Self::Other(errno);
        }
        let value = class.value.unwrap_or(0);
        let is_privileged = process::capabilities().is_ok_and(|now| now & 1 << CAP_SYS_NICE != 0);
        if class.kind.is_real_time() {
            return match process::limit(libc::RLIMIT_RTPRIO) {
                Ok(limit) if !is_privileged && limit < u64::from(value.unsigned_abs()) => {
                    Self::RtPrio { priority: value, limit }
                }
                _ => Self::Budget,
            };
        }
        match process::limit(libc::RLIMIT_NICE) {
            Ok(limit) if !is_privileged && limit < needed_for(value) => Self::Nice { nice: value, limit },
            _ => Self::Other(errno),
        }
    }
}

/// The RLIMIT_NICE that a nice value takes (getrlimit(2)).
fn needed_for(nice: i8) -> u64 {
    u64::try_from(20 - i32::from(nice)).unwrap_or(0)
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::RtPrio { priority, limit } => write!(
                f,
                "it takes CAP_SYS_NICE or an RLIMIT_RTPRIO of {priority}, which is {limit} (ulimit -r {priority}; \
                 LimitRTPRIO={priority} in a systemd unit)"
            ),
            Missing::Nice { nice, limit } => {
                let needed = needed_for(*nice);
                write!(
                    f,
                    "it takes CAP_SYS_NICE or an RLIMIT_NICE of {needed}, which is {limit} (ulimit -e {needed}; \
                     LimitNICE={nice} in a systemd unit)"
                )
            }
            Missing::Budget => f.write_str(
                "it has the rights, so its cgroup has no real-time budget (RT_GROUP_SCHED: write one to cpu.rt_runtime_us \
                 of its group of the cpu controller, version 1), or its rights are those of a container",
            ),
            Missing::Other(errno) => write!(f, "{errno}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Missing;
    use crate::sys::errno::Errno;

    #[test]
    fn what_is_missing_is_said_with_how_to_give_it() {
        let said = |missing: Missing| missing.to_string();
        assert_eq!(
            said(Missing::RtPrio { priority: 2, limit: 0 }),
            "it takes CAP_SYS_NICE or an RLIMIT_RTPRIO of 2, which is 0 (ulimit -r 2; LimitRTPRIO=2 in a systemd unit)"
        );
        assert_eq!(
            said(Missing::Nice { nice: -5, limit: 0 }),
            "it takes CAP_SYS_NICE or an RLIMIT_NICE of 25, which is 0 (ulimit -e 25; LimitNICE=-5 in a systemd unit)"
        );
        assert!(said(Missing::Budget).contains("cpu.rt_runtime_us"));
        assert_eq!(said(Missing::Other(Errno(libc::EINVAL))), "invalid argument (EINVAL)");
    }
}
