//! The memory policy of a process, as /proc shows it.

use crate::sys::process::Process;
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

/// The second column of the first line. A policy's name may hold a blank: `prefer (many):0-1`.
fn policy_in(text: &str) -> Option<String> {
    let (_, rest) = text.lines().next()?.split_once(' ')?;
    let begins_next = |(at, _): &(usize, &str)| !rest[..*at].ends_with("prefer");
    let end = rest.match_indices(' ').find(begins_next).map_or(rest.len(), |(at, _)| at);
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::policy_in;

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
