//! How long `pinshim run` tries to get CPUs that others have.

use crate::output::failure::Failure;
use crate::output::print::Output;
use crate::sys::kernel::Kernel;
use std::time::Duration;

/// How long to wait before it is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long to wait for a VM that is ending: somebody who starts one anew has just killed it, and its QEMU has its leases
/// until the kernel has taken down all of its threads.
const ENDING: Duration = Duration::from_secs(2);

/// Why CPUs cannot be had now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Busy {
    /// In a sentence.
    pub(crate) why: String,
    /// Whether that may be over in a moment.
    pub(crate) is_passing: bool,
}

/// Tries that were not successful so far.
pub(crate) struct Waiting<'k> {
    kernel: &'k dyn Kernel,
    /// How long the user would wait.
    patience: Option<Duration>,
    began: Duration,
    tries: u32,
}

impl<'k> Waiting<'k> {
    /// The clock begins to run.
    pub(crate) fn new(kernel: &'k dyn Kernel, patience: Option<Duration>) -> Self {
        Self { kernel, patience, began: kernel.now(), tries: 0 }
    }

    /// Waits until it is worth another try, and says once what is waited for. The reason is asked for only where it matters.
    /// The answer is the failure if it was the last try.
    ///
    /// # Errors
    /// The reason cannot be found out.
    pub(crate) fn pause(
        &mut self,
        busy: impl FnOnce() -> Result<Busy, Failure>,
        output: &mut Output,
    ) -> Result<Option<Failure>, Failure> {
        self.tries += 1;
        let waited = self.kernel.now().saturating_sub(self.began);
        let left = self.patience.unwrap_or_default().saturating_sub(waited);
        if self.tries == 1 || left.is_zero() {
            let Busy { why, is_passing } = busy()?;
            // Who was killed just now may not show it at the first look.
            let is_over = self.tries > 1 && !(is_passing && waited < ENDING);
            match self.patience {
                Some(patience) if left.is_zero() && is_over => {
                    let seconds = patience.as_secs_f64();
                    return Ok(Some(Failure::new(format!("not within {seconds} s: {why}"))));
                }
                None if is_over => {
                    let more = "--wait SECONDS waits for others to end";
                    return Ok(Some(Failure::new(why).next(more)));
                }
                Some(patience) if self.tries == 1 => {
                    output.note(format_args!("waiting up to {} s: {why}", patience.as_secs_f64()));
                }
                _ => {}
            }
        } else {
            // What it holds would keep others waiting.
            drop(busy);
        }
        self.kernel.sleep(if left.is_zero() { PAUSE } else { PAUSE.min(left) });
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::transcript::said;
    use crate::sys::fake::{FakeKernel, ms};

    /// How many tries there are, how long they take, and what is said, where CPUs are busy all the time, and a VM is ending
    /// for so long.
    fn tried(patience: Option<Duration>, ending: Duration) -> (u32, Duration, String) {
        let kernel = FakeKernel::new();
        let mut waiting = Waiting::new(&kernel, patience);
        let (_, text) = said(|output| {
            loop {
                let is_passing = kernel.now() < ending;
                let busy = || Ok(Busy { why: "web has leased 2".to_owned(), is_passing });
                if let Some(failure) = waiting.pause(busy, output)? {
                    return Err(failure);
                }
            }
        });
        (waiting.tries, kernel.now(), text)
    }

    #[test]
    fn without_patience_it_is_tried_twice() {
        let (tries, time, text) = tried(None, ms(0));
        assert_eq!((tries, time), (2, ms(200)));
        assert_eq!(text, "2> pinshim: web has leased 2; --wait SECONDS waits for others to end\n");
    }

    #[test]
    fn one_that_is_ending_is_waited_for_but_not_for_ever() {
        assert_eq!(tried(None, ms(500)).1, ms(600));
        assert_eq!(tried(None, ms(50_000)).1, ms(2000));
        assert_eq!(tried(Some(ms(100)), ms(500)).1, ms(500));
    }

    #[test]
    fn what_is_waited_for_is_said_once_and_when_the_time_is_over() {
        let (tries, time, text) = tried(Some(ms(1500)), ms(0));
        assert_eq!((tries, time), (9, ms(1500)));
        let expected = "2> pinshim: waiting up to 1.5 s: web has leased 2\n\
                        2> pinshim: not within 1.5 s: web has leased 2\n";
        assert_eq!(text, expected);
    }
}
