//! The time, and waiting: for a time, for a word of memory, for descriptors.

use crate::sys::errno::{Errno, checked};
use libc::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Nanoseconds of CLOCK_MONOTONIC_COARSE, the time of the last tick: exact enough for ages of tenths of a second.
pub(crate) fn monotonic() -> Result<u64, Errno> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Where the vDSO cannot read the clock it makes the call.
    if !may_call!(libc::SYS_clock_gettime) {
        return Err(Errno::FILTERED);
    }
    // SAFETY: `now` is a live timespec. Through libc, which has the vDSO: no system call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    checked(result.into())?;
    Ok((now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64))
}

/// The same; 0 where the kernel does not tell the time.
pub(crate) fn monotonic_ns() -> u64 {
    monotonic().unwrap_or(0)
}

/// Whether the program's filters let the calling thread wait for others, and wake them.
pub(crate) fn may_wait() -> bool {
    may_call!(libc::SYS_futex, libc::SYS_nanosleep, libc::SYS_sched_yield, libc::SYS_clock_gettime)
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
pub(crate) fn futex_wake(word: &AtomicU32) -> Result<(), Errno> {
    call!(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0).map(drop)
}

/// Waits until one of these descriptors has something to be read, or its other side has ended, for `ms` milliseconds at most
/// (without a limit if that is negative). Answers for each whether it has. A negative descriptor never has.
pub(crate) fn wait_for_any<const N: usize>(fds: [c_int; N], ms: i64) -> Result<[bool; N], Errno> {
    let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let limit = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let limit = if ms < 0 { std::ptr::null() } else { &raw const limit };
    call!(libc::SYS_ppoll, polls.as_mut_ptr(), N, limit, 0, 0)?;
    Ok(polls.map(|poll| poll.revents != 0))
}

#[cfg(test)]
mod tests {
    use super::{futex_wake, monotonic_ns, sleep_us, wait_for_any, wait_while, yield_cpu};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    /// Longer than any test runs.
    fn for_long() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    /// Waits until a thread of this process waits for the word.
    fn wait_for_a_waiter(word: &AtomicU32) {
        let address = format!("0x{:x}", word.as_ptr().addr());
        let waits = |call: &str| {
            let mut fields = call.split_ascii_whitespace();
            fields.next() == Some(&libc::SYS_futex.to_string()) && fields.next() == Some(&address)
        };
        loop {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap();
            let call = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("syscall")).ok();
            let calls: Vec<_> = tasks.filter_map(|task| call(task.ok()?)).collect();
            // Where the kernel does not say what a thread waits for, it is given time to wait.
            if calls.is_empty() {
                return sleep_us(50_000);
            }
            if calls.iter().any(|call| waits(call)) {
                return;
            }
            yield_cpu();
        }
    }

    #[test]
    fn a_word_that_has_another_value_is_not_waited_for() {
        let word = AtomicU32::new(7);
        assert_eq!(wait_while(&word, 6, for_long()), Some(7));
        assert_eq!(wait_while(&word, 6, Instant::now()), Some(7));
    }

    #[test]
    fn a_wait_whose_end_has_come_has_no_answer() {
        let word = AtomicU32::new(7);
        assert_eq!(wait_while(&word, 7, Instant::now()), None);
        assert_eq!(wait_while(&word, 7, Instant::now() + Duration::from_millis(2)), None);
    }

    #[test]
    fn a_wake_ends_the_wait_of_one_thread_once_the_word_is_another() {
        let word = AtomicU32::new(7);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_while(&word, 7, for_long()));
            wait_for_a_waiter(&word);
            // Woken too early it waits again.
            futex_wake(&word).unwrap();
            wait_for_a_waiter(&word);
            word.store(8, Ordering::Release);
            futex_wake(&word).unwrap();
            assert_eq!(waiter.join().unwrap(), Some(8));
        });
    }

    #[test]
    fn a_descriptor_is_waited_for_until_it_can_be_read() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let fd = reader.as_raw_fd();
        assert_eq!(wait_for_any([fd], 0), Ok([false]));
        assert_eq!(wait_for_any([fd], 2), Ok([false]));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_for_any([fd], -1));
            writer.write_all(b"x").unwrap();
            assert_eq!(waiter.join().unwrap(), Ok([true]));
        });
        for ms in [0, 1500, -1] {
            assert_eq!(wait_for_any([fd], ms), Ok([true]));
        }
        drop(reader);
    }

    #[test]
    fn of_several_descriptors_it_says_which() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let (ended, other) = UnixStream::pair().unwrap();
        let fds = [reader.as_raw_fd(), -1, ended.as_raw_fd()];
        assert_eq!(wait_for_any(fds, 0), Ok([false; 3]));
        drop(other);
        assert_eq!(wait_for_any(fds, -1), Ok([false, false, true]));
        writer.write_all(b"x").unwrap();
        assert_eq!(wait_for_any(fds, -1), Ok([true, false, true]));
        // One that is not open would be waited for in vain.
        assert_eq!(wait_for_any([1_000_000], -1), Ok([true]));
        assert_eq!(wait_for_any([-1; 1], 0), Ok([false]));
    }

    #[test]
    fn the_clock_never_goes_back() {
        let before = monotonic_ns();
        assert!(before > 0);
        sleep_us(20_000);
        assert!(monotonic_ns() > before);
    }
}
