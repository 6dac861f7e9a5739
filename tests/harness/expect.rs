//! Waiting for something to become true.

use std::thread;
use std::time::{Duration, Instant};

/// Asks again and again, for `seconds` at most, and gives the answer. Fails the test where none
/// comes: `what` then says what was waited for.
#[track_caller]
pub fn until<T>(seconds: u64, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {seconds} s in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
