//! When the threads of a row were born and when they ended.

use crate::record::recording::ThreadLane;

/// The life of a thread, or several lives that are too short to be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    /// The first birth; the recording's beginning if that was before it.
    pub(super) from: u64,
    /// The last end; the recording's end if that is after it.
    pub(super) to: u64,
    /// Whether a birth was seen.
    pub(super) born: bool,
    /// Whether the last end was seen.
    pub(super) ended: bool,
    /// Whose: places of threads.
    pub(super) threads: Vec<usize>,
}

/// The lives of a row's threads: those that come and go within the time of a column are one.
pub(super) fn lives<'a>(
    threads: impl IntoIterator<Item = (usize, &'a ThreadLane)>,
    time: u64,
    column: u64,
) -> Vec<Life> {
    let life = |(place, thread): (usize, &ThreadLane)| Life {
        from: thread.born.unwrap_or(0).min(time),
        to: thread.ended.unwrap_or(time).min(time),
        born: thread.born.is_some(),
        ended: thread.ended.is_some(),
        threads: vec![place],
    };
    let mut each: Vec<Life> = threads.into_iter().map(life).collect();
    each.sort_by_key(|life| (life.from, life.to));
    let mut lives: Vec<Life> = Vec::new();
    for life in each {
        match lives.last_mut() {
            // In the last row of many threads lives may overlap.
            Some(last) if life.from < last.to || life.to.saturating_sub(last.from) < column => {
                last.ended = if life.to >= last.to { life.ended } else { last.ended };
                last.to = last.to.max(life.to);
                last.threads.extend(life.threads);
            }
            _ => lives.push(life),
        }
    }
    lives
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::picture::sample::thread;
    use pinning::RoleKind;

    #[test]
    fn short_lives_side_by_side_are_one() {
        let born_and_ended = [(None, Some(50)), (Some(50), Some(51)), (Some(52), Some(53)), (Some(80), None)];
        let threads = born_and_ended.map(|(born, ended)| ThreadLane {
            born,
            ended,
            ..thread(RoleKind::Worker, "worker", 1)
        });
        let seen = lives(threads.iter().enumerate(), 100, 10);
        let seen: Vec<_> =
            seen.into_iter().map(|life| (life.from, life.to, life.born, life.ended, life.threads)).collect();
        assert_eq!(
            seen,
            [
                (0, 50, false, true, vec![0]),
                (50, 53, true, true, vec![1, 2]),
                (80, 100, true, false, vec![3])
            ]
        );
    }
}
