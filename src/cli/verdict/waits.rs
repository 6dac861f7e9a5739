//! How long threads waited for a CPU between two looks at a VM.
//!
//! The kernel counts a wait when it ends ([`Schedstat`]). So one that began before the first of two looks counts whole, and
//! one that goes on at the second does not count yet.

use crate::sys::schedstat::Schedstat;
use crate::sys::threads::{Thread, ThreadKey};
use crate::vm::expected::VmThread;
use std::collections::HashMap;
use std::time::Duration;

/// What the threads of a VM had waited when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    /// When that was, by the kernel's clock.
    pub(crate) at: Duration,
    before: HashMap<ThreadKey, Option<Schedstat>>,
    /// When the youngest of them was started.
    youngest: u64,
}

/// How long a thread waited since an earlier look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// For how long, in all.
    pub(crate) waited: Duration,
    /// How often it got a CPU meanwhile.
    pub(crate) runs: u64,
}

impl Waits {
    /// What these threads have waited so far.
    pub(crate) fn of(threads: &[VmThread], at: Duration) -> Self {
        let threads = threads.iter().map(|vm_thread| &vm_thread.thread);
        Self {
            at,
            youngest: threads.clone().map(|thread| thread.started).max().unwrap_or(0),
            before: threads.map(|thread| (thread.key(), thread.schedstat)).collect(),
        }
    }

    /// What has come on top since, of a thread of the same VM. `None` where the kernel does not tell, or it is not known what
    /// the thread had waited then.
    pub(crate) fn since(&self, thread: &Thread) -> Option<Wait> {
        let now = thread.schedstat?;
        let before = match self.before.get(&thread.key()) {
            Some(before) => (*before)?,
            // It is younger than all that there were: its whole life is since then.
            None if thread.started >= self.youngest => Schedstat::default(),
            // A list of threads may miss one of them while another ends.
            None => return None,
        };
        Some(Wait {
            waited: now.waited.saturating_sub(before.waited),
            runs: now.runs.saturating_sub(before.runs),
        })
    }

    /// Writes down how long each of these threads waited since then.
    pub(crate) fn fill_in(&self, threads: &mut [VmThread]) {
        for vm_thread in threads {
            vm_thread.delay = self.since(&vm_thread.thread).map(|wait| wait.waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::sample;
    use pinning::RoleKind;

    fn vm_thread(tid: i32, waited: Option<(u64, u64)>) -> VmThread {
        let mut vm_thread = sample::vm_thread(tid, RoleKind::Worker, "worker");
        vm_thread.thread.schedstat = waited.map(|(ms, runs)| Schedstat {
            ran: Duration::ZERO,
            waited: Duration::from_millis(ms),
            runs,
        });
        vm_thread
    }

    fn wait(ms: u64, runs: u64) -> Option<Wait> {
        Some(Wait { waited: Duration::from_millis(ms), runs })
    }

    #[test]
    fn what_has_come_on_top_is_what_counts() {
        let before = Waits::of(&[vm_thread(7, Some((5, 2)))], Duration::ZERO);
        assert_eq!(before.since(&vm_thread(7, Some((8, 4))).thread), wait(3, 2));
        let mut later = vec![vm_thread(7, Some((8, 4))), vm_thread(6, Some((9, 9)))];
        before.fill_in(&mut later);
        let delays: Vec<Option<Duration>> = later.iter().map(|thread| thread.delay).collect();
        // The older one was there and was not seen: what it had waited then is not known.
        assert_eq!(delays, [Some(Duration::from_millis(3)), None]);
    }

    #[test]
    fn of_a_thread_that_is_new_everything_counts_and_of_an_older_one_of_its_id_nothing() {
        let before = Waits::of(&[vm_thread(7, Some((5, 2)))], Duration::ZERO);
        assert_eq!(before.since(&vm_thread(8, Some((4, 1))).thread), wait(4, 1));
        let mut replaced = vm_thread(7, Some((4, 1)));
        replaced.thread.started = 9000;
        assert_eq!(before.since(&replaced.thread), wait(4, 1));
    }

    #[test]
    fn where_the_kernel_does_not_tell_nothing_is_made_up() {
        let before = Waits::of(&[vm_thread(7, None)], Duration::ZERO);
        assert_eq!(before.since(&vm_thread(7, None).thread), None);
        assert_eq!(before.since(&vm_thread(7, Some((4, 1))).thread), None);
        // Nor can a count go back.
        let before = Waits::of(&[vm_thread(7, Some((5, 2)))], Duration::ZERO);
        assert_eq!(before.since(&vm_thread(7, Some((4, 1))).thread), wait(0, 0));
    }
}
