//! How a test says that it could not be run here.
//!
//! A skipped test passes for cargo; `scripts/test` collects these lines, so that nobody takes a
//! test that was skipped for one that passed.

use std::io::Write;

/// Prints `skipped: why` past the test runner's capture, with the name of the test.
pub fn skip(why: impl AsRef<str>) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Not eprintln!: the runner swallows what a passing test prints with it.
    let _ = writeln!(std::io::stderr(), "skipped: {} ({test})", why.as_ref());
}

/// What a test needs, or `None` after saying that the test is skipped, and why.
pub fn or_skip<T>(needed: Result<T, String>) -> Option<T> {
    needed.map_err(skip).ok()
}
