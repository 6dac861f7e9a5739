//! The CPUs and NUMA nodes of this host, for a program that is started from here.

use crate::sys::kernel::Kernel;
use pinning::{CpuSet, Host, MASK_WORDS, NodeSet, Tid};

/// What the library would find in a QEMU that is started from here, found in the same way. The cpuset limits
/// a set, and the kernel shows it: a request for all CPUs is cut to the cpuset.
pub(crate) fn here(kernel: &dyn Kernel) -> Host {
    let start = kernel.affinity(Tid(0)).unwrap_or_default();
    let available = match kernel.set_affinity(Tid(0), &[u64::MAX; MASK_WORDS]) {
        Ok(()) => {
            let all = kernel.affinity(Tid(0));
            // Put it back for the program that is started next.
            let _ = kernel.set_affinity(Tid(0), start.words());
            all.unwrap_or_else(|_| start.clone())
        }
        Err(_) => start.clone(),
    };
    Host { available, start }
}

/// Has this command run on other CPUs than these, where it may and there are any.
pub(crate) fn stay_off(kernel: &dyn Kernel, cpus: &CpuSet) {
    let Ok(own) = kernel.affinity(Tid(0)) else { return };
    let left = own.difference(cpus);
    if !left.is_empty() && left != own {
        // Where that is refused, it runs where it does.
        let _ = kernel.set_affinity(Tid(0), left.words());
    }
}

/// The NUMA nodes that the library would find there: those of this command's cpuset (proc_pid_status(5)). `None` where that
/// cannot be read.
pub(crate) fn nodes(kernel: &dyn Kernel) -> Option<NodeSet> {
    let status = kernel.read_text("/proc/self/status").ok()?;
    NodeSet::parse(status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"))?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::Linux;

    #[test]
    fn the_starting_affinity_is_put_back() {
        let kernel = Linux::new();
        let available = here(&kernel).available;
        for cpu in available.iter() {
            let mut one = CpuSet::new();
            one.insert(cpu);
            kernel.set_affinity(Tid(0), one.words()).unwrap();
            let host = here(&kernel);
            assert_eq!((&host.start, &kernel.affinity(Tid(0)).unwrap()), (&one, &one));
            assert_eq!(host.available, available);
        }
    }
}
