//! Circles in a graph of imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who imports whom, with the first line that does.
#[derive(Debug, Default)]
pub(super) struct Graph(BTreeMap<String, BTreeMap<String, usize>>);

impl Graph {
    pub(super) fn add(&mut self, from: String, to: String, line: usize) {
        let seen = self.0.entry(from).or_default().entry(to).or_insert(line);
        *seen = line.min(*seen);
    }

    /// For each group whose members all reach one another its first member, the line there, and the shortest
    /// circle through it in words: the line of each step, and all members if the circle has not all of them.
    pub(super) fn circles(&self) -> Vec<(String, usize, String)> {
        let mut done = BTreeSet::new();
        let mut circles = Vec::new();
        for start in self.0.keys() {
            if done.contains(start.as_str()) {
                continue;
            }
            let Some(circle) = self.shortest(start) else { continue };
            let reached = self.reached(start);
            let group: Vec<_> =
                reached.into_iter().filter(|other| self.reached(other).contains(start.as_str())).collect();
            let steps = circle.windows(2).filter_map(|pair| {
                let line = self.0.get(pair[0])?.get(pair[1])?;
                Some(format!("{}:{line}", pair[0]))
            });
            let mut said = steps.collect::<Vec<_>>().join(" -> ");
            said += &format!(" -> {start}");
            if group.len() > circle.len() - 1 {
                said += &format!("; all of these reach one another: {}", group.join(", "));
            }
            done.extend(group);
            let line = circle.get(1).and_then(|next| self.0.get(start)?.get(*next)).copied();
            circles.push((start.clone(), line.unwrap_or(0), said));
        }
        circles
    }

    /// The shortest way from a member back to itself, with it at both ends.
    fn shortest<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut ways = VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for next in self.next(way.last()?) {
                let longer = || way.iter().copied().chain([next]).collect();
                if next == start {
                    return Some(longer());
                }
                if seen.insert(next) {
                    ways.push_back(longer());
                }
            }
        }
        None
    }

    fn reached<'a>(&'a self, start: &str) -> BTreeSet<&'a str> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = self.next(start).collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(self.next(next));
            }
        }
        seen
    }

    fn next<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(from).into_iter().flat_map(|steps| steps.keys().map(String::as_str))
    }
}
