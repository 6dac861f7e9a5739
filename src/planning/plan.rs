//! The question and the answer.

use crate::arrange::{Arranged, arrange, reasons};
use crate::choose::choose;
use crate::guest::GuestTopology;
use crate::reason::{MOST_VCPUS, NoPlan, Reason};
use crate::request::{Free, Request};
use crate::topology::Topology;
use pinning::{CpuId, CpuSet};

/// Which CPUs a VM's threads should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The CPU of each vCPU, in the order of their numbers.
    pub vcpus: Vec<CpuId>,
    /// The CPUs of each IOThread, in their order.
    pub iothreads: Vec<CpuSet>,
    /// The CPUs of the emulator, its workers, and all threads besides.
    pub emulator: CpuSet,
    /// CPUs that nobody should have: siblings of the vCPUs' CPUs.
    pub idle: CpuSet,
    /// The guest's topology that fits.
    pub guest: GuestTopology,
    /// Whether the guest sees its threads only with the CPU feature `topoext` (AMD's processors).
    pub needs_topoext: bool,
    /// Why these.
    pub reasons: Vec<Reason>,
}

impl Plan {
    /// All of them together: what no other VM should get, those that are to be left idle included.
    pub fn cpus(&self) -> CpuSet {
        let vcpus: CpuSet = self.vcpus.iter().copied().collect();
        let sets = self.iothreads.iter().chain([&self.emulator, &self.idle]);
        sets.fold(vcpus, |all, set| all.union(set))
    }
}

/// Chooses the CPUs of a VM.
///
/// # Errors
/// Where there is no room, with what there is room for.
pub fn plan(host: &Topology, free: &Free, request: &Request) -> Result<Plan, NoPlan> {
    if request.vcpus == 0 || request.vcpus > MOST_VCPUS {
        return Err(NoPlan::Count(request.vcpus));
    }
    if let Some(node) = request.node {
        if !host.iter().any(|(_, cpu)| cpu.node == node) {
            return Err(NoPlan::Node(node));
        }
    }
    let chosen = choose(host, free, request)?;
    let arranged = arrange(&chosen, request);
    let guest = GuestTopology::of(&arranged.vcpus, host);
    let needs_topoext = host.is_amd() && guest.threads > 1;
    let mut reasons = reasons(&chosen, &arranged, host, free, request);
    if needs_topoext {
        reasons.push(Reason::Topoext);
    }
    let Arranged { vcpus, iothreads, emulator, idle } = arranged;
    Ok(Plan { vcpus, iothreads, emulator, idle, guest, needs_topoext, reasons })
}
