//! The threads of a process, as `/proc` lists them.

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
