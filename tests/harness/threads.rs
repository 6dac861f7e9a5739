//! The threads of a process and the processes that it has started, as `/proc` lists them.

use std::collections::BTreeMap;
use std::fs;

/// The id and the name (comm, 15 bytes at most) of each thread of a process. Without those that end meanwhile.
pub fn threads(pid: u32) -> BTreeMap<u32, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("list the threads").flatten();
    let named = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?.trim_end().to_owned();
        Some((task.file_name().to_str()?.parse().ok()?, name))
    });
    named.collect()
}

/// The living processes that a process has started.
pub fn children_of(pid: u32) -> Vec<u32> {
    let lists = threads(pid).into_keys();
    let lists = lists.filter_map(|tid| fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
