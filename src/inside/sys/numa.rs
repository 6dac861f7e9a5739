//! NUMA nodes, and the calling thread's memory policy.

use crate::sys::errno::Errno;
use libc::c_int;
use pinning::{MemoryPolicy, NODE_LIMIT, NodeSet};

/// The nodes that the calling process may have memory from: those of its cpuset (proc_pid_status(5)). `None` where that
/// cannot be read.
pub(crate) fn nodes() -> Option<NodeSet> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    NodeSet::parse(status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"))?.trim())
}

/// Gives the calling thread a memory policy, which the threads that it creates have from it (set_mempolicy(2)).
pub(crate) fn set_memory_policy(policy: MemoryPolicy) -> Result<(), Errno> {
    // linux/mempolicy.h.
    const MPOL_PREFERRED: c_int = 1;
    const MPOL_BIND: c_int = 2;
    const MPOL_INTERLEAVE: c_int = 3;
    const MPOL_LOCAL: c_int = 4;
    const MPOL_PREFERRED_MANY: c_int = 5;
    let nodes = policy.nodes();
    let mode = match policy {
        MemoryPolicy::Strict(_) => MPOL_BIND,
        MemoryPolicy::Preferred(nodes) if nodes.len() > 1 => MPOL_PREFERRED_MANY,
        MemoryPolicy::Preferred(_) => MPOL_PREFERRED,
        MemoryPolicy::Interleave(_) => MPOL_INTERLEAVE,
        MemoryPolicy::Local => MPOL_LOCAL,
    };
    // The kernel reads one bit fewer than it is told (get_nodes in mm/mempolicy.c).
    call!(libc::SYS_set_mempolicy, mode, nodes.words().as_ptr(), NODE_LIMIT + 1).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{nodes, set_memory_policy};
    use crate::sys::errno::Errno;
    use pinning::{MemoryPolicy, NodeSet};

    #[test]
    fn a_node_that_is_not_there_is_refused_and_one_that_is_there_is_taken() {
        let Some(nodes) = nodes() else { return };
        let first = (0..1024).find(|node| nodes.contains(*node)).unwrap();
        let one = NodeSet::parse(&first.to_string()).unwrap();
        let absent = NodeSet::parse("1023").unwrap();
        // A thread of its own, which takes its policy along when it ends.
        let on_a_thread = move || {
            assert_eq!(set_memory_policy(MemoryPolicy::Strict(absent)), Err(Errno(libc::EINVAL)));
            for policy in [
                MemoryPolicy::Strict(one),
                MemoryPolicy::Preferred(one),
                MemoryPolicy::Interleave(one),
                MemoryPolicy::Local,
            ] {
                assert_eq!(set_memory_policy(policy), Ok(()), "{policy}");
            }
        };
        std::thread::spawn(on_a_thread).join().unwrap();
    }
}
