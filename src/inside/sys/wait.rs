//! The time, and waiting: for a time, for a word of memory, for a descriptor.

use libc::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Nanoseconds of CLOCK_MONOTONIC_COARSE, the time of the last tick: exact enough for ages of tenths of a second.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live timespec. Through libc, which has the vDSO: no system call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// Lets other threads run on this CPU.
pub(crate) fn yield_cpu() {
    let _ = call!(libc::SYS_sched_yield);
}

/// Sleeps for so many microseconds. Unlike nanosleep(2) of libc this is no cancellation point.
pub(crate) fn sleep_us(us: i64) {
    let pause = libc::timespec { tv_sec: us / 1_000_000, tv_nsec: us % 1_000_000 * 1000 };
    let _ = call!(libc::SYS_nanosleep, &raw const pause, 0);
}

/// Waits until `word` is no longer `value`, and answers what it is then; `None` if `end` comes first. The word may be
/// in memory shared with another process.
pub(crate) fn wait_while(word: &AtomicU32, value: u32, end: Instant) -> Option<u32> {
    loop {
        let now = word.load(Ordering::Acquire);
        if now != value {
            return Some(now);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let limit = libc::timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        let _ = call!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const limit, 0, 0);
    }
}

/// Wakes a thread that waits for `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let _ = call!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0);
}

/// Waits until `fd` can be read, for `ms` milliseconds at most (without a limit if that is negative). True if it can.
pub(crate) fn wait_readable(fd: c_int, ms: i64) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let limit = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let limit = if ms < 0 { std::ptr::null() } else { &raw const limit };
    matches!(call!(libc::SYS_ppoll, &raw mut poll, 1, limit, 0, 0), Ok(1))
}
