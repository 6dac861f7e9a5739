//! Which threads are drawn in which row.
//!
//! Threads that do not live at the same time may share one: a guest that uses its disks makes thousands of workers in an
//! hour, a few at a time.

use crate::record::recording::{Recording, ThreadLane};
use pinning::RoleKind;

/// So many rows at most have a picture's threads; where there are more, the last row of a role has the rest of them.
const MOST_ROWS: usize = 600;

/// The threads of one role.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Their role.
    pub(super) role: RoleKind,
    /// The rows from the top down: places in [`Recording::threads`].
    pub(super) rows: Vec<Vec<usize>>,
}

/// The rows of a recording, by role.
pub(super) fn groups(recording: &Recording) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut left = MOST_ROWS;
    for (place, role) in RoleKind::ALL.into_iter().enumerate() {
        // Each role that is still to come has a row.
        let reserved = RoleKind::ALL.len() - 1 - place;
        let rows = rows(recording, role, left - reserved);
        left -= rows.len();
        if !rows.is_empty() {
            groups.push(Group { role, rows });
        }
    }
    groups
}

fn rows(recording: &Recording, role: RoleKind, most: usize) -> Vec<Vec<usize>> {
    let mut threads: Vec<(usize, &ThreadLane)> =
        recording.threads.iter().enumerate().filter(|(_, thread)| thread.role == role).collect();
    threads.sort_by_key(|(_, thread)| thread.born);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // When the last thread of each row ended; none if it has not.
    let mut ends: Vec<Option<u64>> = Vec::new();
    for (place, thread) in threads {
        let is_free = |end: &Option<u64>| end.is_some_and(|end| thread.born.is_some_and(|born| end <= born));
        let free = ends.iter().position(is_free).filter(|_| may_share(role));
        let row = match free {
            None if rows.len() < most => {
                rows.push(Vec::new());
                ends.push(None);
                rows.len() - 1
            }
            None => most.saturating_sub(1),
            Some(row) => row,
        };
        if let (Some(row), Some(end)) = (rows.get_mut(row), ends.get_mut(row)) {
            row.push(place);
            *end = thread.ended;
        }
    }
    rows
}

/// Whether threads of a role may share a row. vCPUs and IOThreads are few, and each has its own name.
fn may_share(role: RoleKind) -> bool {
    !matches!(role, RoleKind::Vcpu | RoleKind::IoThread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::{blank, thread};
    use proptest::prelude::*;

    fn recording(lives: &[(RoleKind, Option<u64>, Option<u64>)]) -> Recording {
        let mut recording = blank(1000);
        recording.threads = lives
            .iter()
            .map(|(role, born, ended)| ThreadLane { born: *born, ended: *ended, ..thread(*role, "t", 1) })
            .collect();
        recording
    }

    #[test]
    fn threads_that_do_not_live_at_the_same_time_share_a_row() {
        let worker = RoleKind::Worker;
        let lives = [
            (worker, None, Some(100)),
            (worker, Some(50), Some(200)),
            (worker, Some(100), None),
            (RoleKind::Vcpu, Some(10), Some(20)),
            (RoleKind::Vcpu, Some(30), None),
            (worker, Some(250), Some(300)),
        ];
        let rows: Vec<_> = groups(&recording(&lives)).into_iter().map(|group| group.rows).collect();
        assert_eq!(rows, [vec![vec![3], vec![4]], vec![vec![0, 2], vec![1, 5]]]);
    }

    proptest! {
        #[test]
        fn every_thread_has_one_row_and_there_are_never_too_many(
            lives in proptest::collection::vec((0..7usize, 0..900u64, 1..600u64), 1..1500)
        ) {
            let life = |&(role, born, length): &(usize, u64, u64)| {
                let ended = born + length;
                (RoleKind::ALL[role], (born > 100).then_some(born), (ended < 1000).then_some(ended))
            };
            let lives: Vec<_> = lives.iter().map(life).collect();
            let groups = groups(&recording(&lives));
            let mut all: Vec<usize> = groups.iter().flat_map(|group| group.rows.iter().flatten()).copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lives.len()).collect::<Vec<_>>());
            prop_assert!(groups.iter().map(|group| group.rows.len()).sum::<usize>() <= MOST_ROWS);
        }
    }
}
