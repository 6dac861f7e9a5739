//! The policy: which CPUs each thread of the VM belongs on, read from the environment once.
//!
//! The library asks it as QEMU creates threads, so every method answers without allocating, locking or
//! panicking.

use super::classes::Classes;
use super::placement::{IoThreadId, Placement, VcpuRange};
use super::sets::{BASE, SetId};
use super::vhost::VhostPlacement;
use crate::class::Class;
use crate::cpus::CpuSet;
use crate::glob::glob_matches;
use crate::kernel_thread::KernelThread;
use crate::memory::MemoryPolicy;
use crate::role::Role;

/// A program that arranges cgroups and affinities after QEMU's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// libvirt.
    Libvirt,
}

/// A rule's place in `PIN_THREADS`, from 0. The first rule that matches counts, so of two the lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleIndex(pub u16);

/// Bytes of a name that the kernel keeps as a thread's comm (TASK_COMM_LEN without the NUL).
pub const COMM_BYTES: usize = 15;

/// Which CPUs each thread of the VM belongs on.
///
/// A rule of `PIN_THREADS` wins over the role. It matches a thread by the name that QEMU gave it when it
/// created it, or by the name that the thread has been given since (`pthread_setname_np(3)`,
/// `PR_SET_NAME`), by itself or by another thread; either in full or as the kernel cuts it to a comm. The
/// name that a thread has only inherited from its creator does not count. Whoever is renamed is judged anew at that moment; one that no
/// rule matches any more has its role's set again. The library, `check` and `apply` all go by this; where the
/// library does not act a thread's comm is all that there is.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The distinct sets, by [`SetId`].
    pub(crate) sets: Vec<CpuSet>,
    /// `PIN_VCPUS`.
    pub(crate) vcpus: Option<Placement<VcpuRange, SetId>>,
    /// All CPUs that any vCPU is placed on; the base where none is placed.
    pub(crate) all_vcpus: SetId,
    /// `PIN_IOTHREADS`.
    pub(crate) iothreads: Option<Placement<IoThreadId, SetId>>,
    /// `PIN_EMULATOR`, or the base.
    pub(crate) emulator: SetId,
    /// `PIN_WORKERS`.
    pub(crate) workers: Option<SetId>,
    /// `PIN_MIGRATION`, or the emulator's.
    pub(crate) migration: SetId,
    /// `PIN_VHOST`, or all on the emulator's.
    pub(crate) vhost: VhostPlacement,
    /// `PIN_THREADS`: globs on names, in order, each with its set.
    pub(crate) rules: Vec<(String, SetId)>,
    /// `PIN_SCHED`.
    pub(crate) classes: Option<Classes>,
    /// `PIN_MEMORY`.
    pub(crate) memory: Option<MemoryPolicy>,
    /// `PIN_CORE`.
    pub(crate) core_scheduling: bool,
    /// `PIN_MANAGER`.
    pub(crate) manager: Option<Manager>,
    /// `PIN_WATCH`, in seconds.
    pub(crate) watch: Option<u32>,
    /// `PIN_NAMES`.
    pub(crate) names_threads: bool,
    /// `PIN_LOG`.
    pub(crate) log_filter: String,
    /// The variables that made the policy, name and value.
    pub(crate) entries: Vec<(String, String)>,
}

/// What [`Policy::set`] answers for a policy without sets, which parsing never makes.
static NO_CPU: CpuSet = CpuSet::new();

impl Policy {
    /// The distinct sets of the policy; a [`SetId`] is an index into them, 0 is the base.
    pub fn sets(&self) -> &[CpuSet] {
        &self.sets
    }

    /// The set with this number; the base if the policy has no such number.
    pub fn set(&self, id: SetId) -> &CpuSet {
        self.sets.get(usize::from(id.0)).or(self.sets.first()).unwrap_or(&NO_CPU)
    }

    /// The set of all threads that nothing else names.
    pub fn base(&self) -> SetId {
        BASE
    }

    /// The set of the main loop and of every thread with no role of its own.
    pub fn emulator(&self) -> SetId {
        self.emulator
    }

    /// The set of the `order`-th vhost worker that appeared, from 0.
    pub fn vhost(&self, order: u32) -> SetId {
        self.vhost.of(order, self.emulator)
    }

    /// Whether it matters which vhost worker a thread is.
    pub fn tells_vhost_workers_apart(&self) -> bool {
        matches!(self.vhost, VhostPlacement::Map(_))
    }

    /// The set of all workers (`PIN_WORKERS`). `None` if the variable does not count: then the workers of a
    /// pool follow the pool's home.
    pub fn workers(&self) -> Option<SetId> {
        self.workers
    }

    /// The set of the workers of a pool, or of an io_uring, whose home runs on `home`.
    pub fn workers_of(&self, home: SetId) -> SetId {
        self.workers.unwrap_or(home)
    }

    /// The set of a thread by its role.
    ///
    /// `order` is an IOThread's or a vhost worker's place in the order of creation, from 0; other roles ignore it. `home` is the
    /// set of the home of a worker's pool; other roles ignore it.
    pub fn cpus_for(&self, role: Role<'_>, order: u32, home: SetId) -> SetId {
        match role {
            Role::Emulator | Role::Exempt => self.emulator,
            Role::Vcpu(index) => self.vcpus.as_ref().and_then(|p| p.of_vcpu(index)).copied().unwrap_or(BASE),
            Role::AllVcpus => self.all_vcpus,
            Role::IoThread(id) => {
                self.iothreads.as_ref().and_then(|p| p.of_iothread(id, order)).copied().unwrap_or(BASE)
            }
            Role::Worker => self.workers_of(home),
            Role::Migration => self.migration,
            Role::Vhost => self.vhost(order),
        }
    }

    /// The set of a thread that the kernel made, which has this comm: that of the first rule that matches its
    /// name, else that of its role.
    ///
    /// `order` is a vhost worker's place in the order in which they appeared; other threads ignore it.
    /// `home` is the set of the thread that an io_uring worker serves, `None` if that thread cannot be known; other
    /// threads ignore it. The answer is `None` for a worker whose set would follow a home that is not known.
    pub fn cpus_for_kernel_thread(
        &self,
        thread: KernelThread,
        comm: &[u8],
        order: u32,
        home: Option<SetId>,
    ) -> Option<SetId> {
        let rule = self.rule_for(thread.full_name().map_or(comm, str::as_bytes));
        match thread {
            KernelThread::IoUringWorker { .. } => rule.or(self.workers).or(home).or(self.only_home()),
            _ => rule.or(Some(self.cpus_for(thread.role(), order, self.emulator))),
        }
    }

    /// The set of every home that workers may have, if it is one and the same.
    fn only_home(&self) -> Option<SetId> {
        (self.iothreads.is_none() && self.emulator == BASE).then_some(BASE)
    }

    /// The set that `PIN_THREADS` gives to a thread of this name: that of the first rule that matches.
    pub fn rule_for(&self, name: &[u8]) -> Option<SetId> {
        self.first_rule(name).map(|rule| self.set_of_rule(rule))
    }

    /// The first rule of `PIN_THREADS` that matches a name: in full, or as the kernel cuts it for a comm
    /// ([`COMM_BYTES`]).
    pub fn first_rule(&self, name: &[u8]) -> Option<RuleIndex> {
        let cut = name.get(..COMM_BYTES).unwrap_or(name);
        let matches = |glob: &[u8]| glob_matches(glob, name) || glob_matches(glob, cut);
        let at = self.rules.iter().position(|(glob, _)| matches(glob.as_bytes()))?;
        u16::try_from(at).ok().map(RuleIndex)
    }

    /// The rule that places a thread with these names: of those that match, the one that comes first.
    pub fn first_rule_of<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> Option<RuleIndex> {
        names.into_iter().filter_map(|name| self.first_rule(name)).min()
    }

    /// The set that a rule gives; the base if the policy has no such rule.
    pub fn set_of_rule(&self, RuleIndex(at): RuleIndex) -> SetId {
        self.rules.get(usize::from(at)).map_or(BASE, |(_, set)| *set)
    }

    /// Whether every thread but the vCPUs belongs on the base set, so that it does not matter which of them a thread is.
    pub fn places_vcpus_alone(&self) -> bool {
        let others = [Some(self.emulator), self.workers, Some(self.migration)];
        self.iothreads.is_none()
            && self.rules.is_empty()
            && others.iter().flatten().all(|set| *set == BASE)
            && self.vhost.is_only(BASE, self.emulator)
    }

    /// The CPUs that the placements of vCPUs and IOThreads name: those of the guest's own work.
    pub fn guest_cpus(&self) -> CpuSet {
        let vcpus = self.vcpus.iter().flat_map(Placement::sets);
        let iothreads = self.iothreads.iter().flat_map(Placement::sets);
        vcpus.chain(iothreads).fold(CpuSet::new(), |all, set| all.union(self.set(*set)))
    }

    /// The CPUs that a variable names. Without `PIN_CPUS` the base set is only where threads run that nothing places.
    pub fn named_cpus(&self) -> CpuSet {
        let names_base = self.entries.iter().any(|(name, _)| name == "PIN_CPUS");
        let sets = self.sets.iter().skip(usize::from(!names_base));
        sets.fold(CpuSet::new(), |all, set| all.union(set))
    }

    /// Whether an ordered list ends before this vCPU or IOThread, so that it gets the base set.
    pub fn list_too_short(&self, role: Role<'_>, order: u32) -> bool {
        match role {
            Role::Vcpu(index) => self.vcpus.as_ref().is_some_and(|p| p.is_too_short(index.0)),
            Role::IoThread(_) => self.iothreads.as_ref().is_some_and(|p| p.is_too_short(order)),
            _ => false,
        }
    }

    /// Whether threads have scheduling classes (`PIN_SCHED`): where it does not count, none is looked at.
    pub fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// The scheduling class of a thread by its role; `None` if it has the one that QEMU was started with. The kernel's own
    /// threads have that, and those that QEMU places itself.
    pub fn class_for(&self, role: Role<'_>) -> Option<Class> {
        self.classes.as_ref()?.of(role)
    }

    /// How QEMU's memory is taken from NUMA nodes (`PIN_MEMORY`); `None`: as it would be without the library.
    pub fn memory(&self) -> Option<MemoryPolicy> {
        self.memory
    }

    /// Whether a core that the VM runs on may run nothing else at the same time (`PIN_CORE=vm`).
    pub fn core_scheduling(&self) -> bool {
        self.core_scheduling
    }

    /// Whether threads are to be named after their QEMU name (`PIN_NAMES`).
    pub fn names_threads(&self) -> bool {
        self.names_threads
    }

    /// Who arranges cgroups and affinities after QEMU's start (`PIN_MANAGER`).
    pub fn manager(&self) -> Option<Manager> {
        self.manager
    }

    /// Seconds between two looks at threads that were placed (`PIN_WATCH`); `None` if they are not looked at again.
    pub fn watch(&self) -> Option<u32> {
        self.watch
    }

    /// How much is said at run time, an env_logger filter (`PIN_LOG`).
    pub fn log_filter(&self) -> &str {
        &self.log_filter
    }

    /// Whether a variable counts.
    pub(crate) fn has(&self, variable: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == variable)
    }

    /// The variables that made this policy, name and value, in the order of [`VARIABLES`](crate::VARIABLES).
    ///
    /// [`Policy::parse`] makes the same policy of them again, given the same host.
    pub fn entries(&self) -> &[(String, String)] {
        &self.entries
    }
}
