//! The memory policy of a process, as /proc shows it.

use crate::sys::process::Process;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// The policy of a process's first mapping, in the kernel's words (`bind:0`); `None` where this user may not read it or the
/// kernel has no NUMA. That mapping is its executable, so it has no policy of its own: it is the main thread's.
///
/// The kernel walks over all memory of a mapping to count its pages, and the guest's may be large: so no more is read than
/// the first line.
pub(crate) fn main_threads_policy(process: Process<'_>) -> Option<String> {
    let mut beginning = [0; 256];
    let file = process.kernel.locate(&process.file("numa_maps")).ok()?;
    let bytes = File::open(file).ok()?.read(&mut beginning).ok()?;
    policy_in(&String::from_utf8_lossy(beginning.get(..bytes)?))
}

/// How much of its memory a process has on each node, in kilobytes, by the lines of its `numa_maps`: `N0=512` pages of
/// `kernelpagesize_kB=4` (proc_pid_numa_maps(5)). Nobody but the kernel can write such words: it writes a blank in a file's name
/// as `\040`.
pub(crate) fn kilobytes_by_node(text: &str) -> BTreeMap<u32, u64> {
    let mut all: BTreeMap<u32, u64> = BTreeMap::new();
    for line in text.lines() {
        let words = || line.split(' ').skip(1).filter_map(|word| word.split_once('='));
        let size = words().find(|(name, _)| *name == "kernelpagesize_kB");
        let kilobytes: u64 = size.and_then(|(_, size)| size.parse().ok()).unwrap_or(4);
        for (name, pages) in words() {
            let node = name.strip_prefix('N').and_then(|node| node.parse().ok());
            let (Some(node), Ok(pages)) = (node, pages.parse::<u64>()) else { continue };
            let on_node = all.entry(node).or_default();
            *on_node = on_node.saturating_add(pages.saturating_mul(kilobytes));
        }
    }
    all
}

/// The second column of the first line. A policy's name may hold a blank: `prefer (many):0-1`.
fn policy_in(text: &str) -> Option<String> {
    let (_, rest) = text.lines().next()?.split_once(' ')?;
    let begins_next = |(at, _): &(usize, &str)| !rest[..*at].ends_with("prefer");
    let end = rest.match_indices(' ').find(begins_next).map_or(rest.len(), |(at, _)| at);
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::{kilobytes_by_node, policy_in};

    #[test]
    fn memory_is_summed_by_node_in_pages_of_each_size() {
        let text = "55d0 default file=/usr/bin/q\\040N7=9 mapped=3 N0=2 N1=1 kernelpagesize_kB=4\n\
                    7f00 bind:0 anon=1 N0=1 kernelpagesize_kB=1048576\n7f01 default stack\n";
        assert_eq!(kilobytes_by_node(text), [(0, 8 + 1_048_576), (1, 4)].into());
        assert_eq!(
            kilobytes_by_node("x y N1=99999999999999999999 N2=18446744073709551615").get(&2),
            Some(&u64::MAX)
        );
        assert!(kilobytes_by_node("").is_empty());
    }

    #[test]
    fn the_policy_stands_between_the_address_and_the_counts() {
        for policy in ["default", "bind:0", "prefer:1", "prefer (many):0-1", "interleave:0-1", "local"] {
            let line =
                format!("55d0c8a00000 {policy} file=/usr/bin/q\\040x mapped=9 N0=9 kernelpagesize_kB=4\n");
            assert_eq!(policy_in(&line).as_deref(), Some(policy));
            assert_eq!(policy_in(&format!("55d0c8a00000 {policy}\n")).as_deref(), Some(policy));
        }
        assert_eq!(policy_in(""), None);
    }
}
