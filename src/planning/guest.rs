//! vCPUs numbered so that the guest's topology is the host's.

use crate::topology::{HostCpu, Topology};
use pinning::CpuId;
use std::fmt;

/// What QEMU's `-smp` and libvirt's `<topology>` say: how the guest's vCPUs share sockets and cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestTopology {
    /// Sockets of the guest.
    pub sockets: u32,
    /// Cores of a socket.
    pub cores: u32,
    /// Threads of a core.
    pub threads: u32,
}

impl GuestTopology {
    /// The topology of vCPUs that are on these CPUs in this order, sibling beside sibling. It tells the guest of SMT
    /// only where every core has the same number of its vCPUs, and of sockets only where every package has.
    pub(crate) fn of(vcpus: &[CpuId], host: &Topology) -> Self {
        let about = |of: fn(&HostCpu) -> u32| -> Vec<u32> {
            vcpus.iter().filter_map(|&cpu| host.get(cpu)).map(of).collect()
        };
        let threads = equal_runs(&about(|cpu| cpu.core)).unwrap_or(1);
        let per_package = equal_runs(&about(|cpu| cpu.package));
        let all = u32::try_from(vcpus.len()).unwrap_or(u32::MAX);
        let per_socket = per_package.unwrap_or(all);
        Self {
            sockets: all.checked_div(per_socket).unwrap_or(1),
            cores: per_socket.checked_div(threads).unwrap_or(1),
            threads,
        }
    }

    /// All vCPUs.
    pub fn vcpus(&self) -> u32 {
        self.sockets * self.cores * self.threads
    }
}

impl fmt::Display for GuestTopology {
    /// As QEMU's `-smp` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sockets, cores, threads } = self;
        write!(f, "{},sockets={sockets},cores={cores},threads={threads}", self.vcpus())
    }
}

/// How often each number stands in a row, if all do so equally often.
fn equal_runs(numbers: &[u32]) -> Option<u32> {
    let runs: Vec<usize> = numbers.chunk_by(|one, next| one == next).map(<[u32]>::len).collect();
    let first = *runs.first()?;
    runs.iter().all(|&run| run == first).then(|| u32::try_from(first).ok())?
}
