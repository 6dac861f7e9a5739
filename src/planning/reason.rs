//! Why a plan is as it is, and why there is none.

use crate::request::Taken;
use pinning::CpuSet;
use std::fmt;

/// The most vCPUs that a QEMU runs (`KVM_MAX_VCPUS` of Linux's arch/x86/include/asm/kvm_host.h).
pub(crate) const MOST_VCPUS: u32 = 4096;

/// Something that a user should know about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// How close together the vCPUs are: in so many packages, NUMA nodes, caches.
    Together {
        /// Packages.
        packages: usize,
        /// NUMA nodes.
        nodes: usize,
        /// Caches.
        caches: usize,
    },
    /// vCPUs share cores, as many on each as it has CPUs.
    Siblings,
    /// The vCPUs have their cores to themselves: these siblings should stay idle.
    WholeCores(CpuSet),
    /// One core has fewer vCPUs than the others, so that the guest cannot be told of siblings.
    Odd,
    /// Somebody else has siblings of these CPUs.
    SharedCores(CpuSet),
    /// The CPUs of the vCPUs are of different speeds: these are the slower ones.
    Slower(CpuSet),
    /// All vCPUs are on isolated CPUs.
    Isolated,
    /// These CPUs are not near the device.
    Far(CpuSet),
    /// A node with vCPUs has less free memory than the guest wants.
    LackingMemory,
    /// The emulator or IOThreads are on another node than the vCPUs.
    Away,
    /// IOThreads share CPUs with each other or with the emulator, as there are no cores left for them.
    IoThreadsShare,
    /// Others may run on these CPUs too.
    Others(CpuSet),
    /// A vCPU is on the core of CPU 0, which has the host's own work.
    CpuZero,
    /// An AMD processor shows siblings to its guest only with a CPU feature.
    Topoext,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPlan {
    /// No vCPU was asked for, or too many.
    Count(u32),
    /// There is no such node.
    Node(u32),
    /// There is no room.
    Room {
        /// The vCPUs that were asked for.
        vcpus: u32,
        /// How many were to be on a core, at most.
        threads_per_core: u32,
        /// The most vCPUs that there is room for in that way, with a core for the emulator.
        could: u32,
        /// The most with as many on a core as it has CPUs.
        could_with_siblings: u32,
        /// The fewest cores that it takes.
        cores: u32,
        /// The cores of which something is free.
        free_cores: u32,
        /// The CPUs of them that are free.
        free: CpuSet,
        /// The CPUs of other VMs.
        taken: Vec<Taken>,
        /// CPUs that are outside the cpuset.
        outside: CpuSet,
        /// CPUs that the user keeps for something else.
        reserved: CpuSet,
    },
}

impl Reason {
    /// Whether it says that something could be better, if more of the host were free.
    pub fn is_compromise(&self) -> bool {
        match self {
            Self::Together { caches, .. } => *caches > 1,
            Self::Siblings | Self::WholeCores(_) | Self::Odd | Self::Isolated | Self::Topoext => false,
            Self::SharedCores(_)
            | Self::Slower(_)
            | Self::Far(_)
            | Self::LackingMemory
            | Self::Away
            | Self::IoThreadsShare
            | Self::Others(_)
            | Self::CpuZero => true,
        }
    }
}

impl fmt::Display for Reason {
    /// A sentence without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Together { caches: 1, .. } => write!(f, "all vCPUs share one cache"),
            Self::Together { nodes: 1, caches, .. } => {
                write!(f, "no cache has as many free cores: the vCPUs are in {caches}, of one NUMA node")
            }
            Self::Together { packages: 1, nodes, .. } => write!(
                f,
                "no NUMA node has as many free cores: the vCPUs are on {nodes}, of one package; tell the guest of \
                 NUMA nodes"
            ),
            Self::Together { packages, nodes, .. } => write!(
                f,
                "no package has as many free cores: the vCPUs are on {nodes} NUMA nodes in {packages} packages; tell \
                 the guest of NUMA nodes"
            ),
            Self::Siblings => write!(f, "vCPUs that are siblings in the guest are siblings on the host"),
            Self::WholeCores(idle) => {
                write!(f, "each vCPU has a core to itself: keep the siblings {idle} idle")
            }
            Self::Odd => {
                write!(f, "one core has fewer vCPUs than the others, so the guest is told of no siblings")
            }
            Self::SharedCores(cpus) => write!(f, "somebody else has siblings of CPUs {cpus}"),
            Self::Slower(cpus) => write!(f, "CPUs {cpus} are slower than the others"),
            Self::Isolated => write!(f, "all vCPUs are on isolated CPUs"),
            Self::Far(cpus) => write!(f, "CPUs {cpus} are not near the device"),
            Self::LackingMemory => {
                write!(f, "a NUMA node of the vCPUs has less free memory than the guest wants")
            }
            Self::Away => write!(f, "the emulator or IOThreads are on another NUMA node than the vCPUs"),
            Self::IoThreadsShare => write!(f, "there are no cores left for each IOThread: they share"),
            Self::Others(cpus) => write!(f, "other programs may run on CPUs {cpus} too"),
            Self::CpuZero => write!(f, "a vCPU is on the core of CPU 0, which has the host's own work"),
            Self::Topoext => write!(
                f,
                "the guest sees siblings on AMD's processors only with topoext: -cpu host,topoext=on"
            ),
        }
    }
}

impl fmt::Display for NoPlan {
    /// What is wrong, and what could be had, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(vcpus) => write!(f, "{vcpus} vCPUs: a VM has 1 to {MOST_VCPUS}"),
            Self::Node(node) => write!(f, "there is no NUMA node {node}"),
            Self::Room {
                vcpus,
                threads_per_core,
                could,
                could_with_siblings,
                cores,
                free_cores,
                free,
                taken,
                outside,
                reserved,
            } => {
                let each = if *threads_per_core == 1 {
                    "one a core".into()
                } else {
                    format!("{threads_per_core} a core")
                };
                write!(f, "no room for {} ({each}) and a core for the emulator: ", plural(*vcpus))?;
                match free_cores {
                    0 => write!(f, "that is {cores} cores, none is free")?,
                    1 => write!(f, "that is {cores} cores, 1 is free ({free})")?,
                    have if have < cores => write!(f, "that is {cores} cores, {have} are free ({free})")?,
                    // Enough of them, but others have some of their siblings.
                    _ => write!(f, "that is {cores} cores with all their CPUs, free are {free}")?,
                }
                for Taken { cpus, by, is_leased } in taken {
                    write!(f, "; {by} has {}{cpus}", if *is_leased { "leased " } else { "" })?;
                }
                for (cpus, why) in [(outside, "outside the cpuset"), (reserved, "reserved")] {
                    if !cpus.is_empty() {
                        write!(f, "; {why}: {cpus}")?;
                    }
                }
                match (*could, *could_with_siblings) {
                    (0, 0) => write!(f, "; no VM would fit"),
                    (0, siblings) => {
                        write!(f, "; a VM with {} would fit with all siblings of a core", plural(siblings))
                    }
                    (could, siblings) if siblings > could => write!(
                        f,
                        "; a VM with {} would fit, or with {siblings} with all siblings of a core",
                        plural(could)
                    ),
                    (could, _) => write!(f, "; a VM with {} would fit", plural(could)),
                }
            }
        }
    }
}

fn plural(vcpus: u32) -> String {
    if vcpus == 1 { "1 vCPU".to_owned() } else { format!("{vcpus} vCPUs") }
}
