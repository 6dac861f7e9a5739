//! The table of the environment: the one place that says which `PIN_*` variables there are.
//!
//! README and `--help` are made from it or tested against it.

use super::mistake::Mistake;
use super::target::DEFAULT_TARGETS;

/// No value of a variable is longer, in bytes. The kernel takes no longer string into an environment where a
/// page of memory is 4 KiB (execve(2), MAX_ARG_STRLEN).
pub const MAX_VALUE_BYTES: usize = 128 << 10;

/// The mistake of a longer value.
pub(crate) fn too_long() -> Mistake {
    Mistake::of_whole(format!("the value has more than {MAX_VALUE_BYTES} bytes"))
}

/// One `PIN_*` variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// The kind of its value: `set`, `set or map`, `placement`, `rules`, `memory policy`, `globs`, `filter`, `seconds`, or the words that
    /// it knows.
    pub value: &'static str,
    /// What its value says; for a variable that places threads, which threads.
    pub meaning: &'static str,
    /// What is true when it is not set.
    pub when_unset: &'static str,
}

impl Variable {
    /// Whether it says where the VM's threads run, how they are scheduled, where they have their memory, or beside whom; the
    /// others are settings. One that does has an option of `run` and an attribute in a domain's XML.
    pub fn places(&self) -> bool {
        matches!(self.value, "set" | SET_OR_MAP | "placement" | "rules" | MEMORY_POLICY | CORE)
    }
}

/// The kind of `PIN_VHOST`.
const SET_OR_MAP: &str = "set or map";
/// The kind of `PIN_MEMORY`.
const MEMORY_POLICY: &str = "memory policy";
/// The words of `PIN_CORE`.
const CORE: &str = "vm|off";

const fn variable(
    name: &'static str,
    value: &'static str,
    meaning: &'static str,
    when_unset: &'static str,
) -> Variable {
    Variable { name, value, meaning, when_unset }
}

/// Every variable that pinshim reads, placements first.
pub const VARIABLES: &[Variable] = &[
    variable(
        "PIN_CPUS",
        "set",
        "all threads that nothing below names: the base",
        "the affinity that QEMU was started with",
    ),
    variable("PIN_VCPUS", "placement", "vCPU N", "base"),
    variable("PIN_IOTHREADS", "placement", "the user's IOThreads, by id or in order of creation", "base"),
    variable("PIN_EMULATOR", "set", "the main loop and every thread with no other role", "base"),
    variable(
        "PIN_WORKERS",
        "set",
        "worker-pool threads and io_uring workers",
        "a pool follows its home: the IOThread's set, or the emulator's",
    ),
    variable("PIN_MIGRATION", "set", "migration threads", "emulator"),
    variable("PIN_VHOST", SET_OR_MAP, "the kernel's vhost workers: all, or the Nth that appears", "emulator"),
    variable(
        "PIN_THREADS",
        "rules",
        "GLOB@SET,… on a thread's name: the first match wins over the role",
        "none",
    ),
    variable(
        "PIN_SCHED",
        "rules",
        "WHO@CLASS,… on a role: the class by which the kernel schedules its threads",
        "as QEMU was started",
    ),
    variable(
        "PIN_MEMORY",
        MEMORY_POLICY,
        "the NUMA policy of QEMU's memory: strict:NODES, preferred:NODES, interleave:NODES or local",
        "the policy that QEMU was started with",
    ),
    variable(
        "PIN_CORE",
        CORE,
        "vm: a core of the VM's runs nothing else on its SMT siblings (core scheduling)",
        "off",
    ),
    variable("PIN_TARGET", "globs", "the executables the shim acts in, by basename", DEFAULT_TARGETS),
    variable("PIN_ERRORS", "exit|warn", "what a bad value does", "exit"),
    variable("PIN_MANAGER", "libvirt", "who arranges cgroups and affinities after the start", "none"),
    variable(
        "PIN_WATCH",
        "seconds",
        "how often a process beside QEMU puts back threads that are off their set",
        "threads that were placed are not looked at again",
    ),
    variable("PIN_NAMES", "on|off", "whether threads are named after their QEMU name", "on"),
    variable("PIN_LOG", "filter", "how much is said at run time, to stderr", "warn"),
];

/// Names that are misspelt, each with the name that was meant.
pub(crate) const MISSPELLINGS: &[(&str, &str)] = &[
    ("PIN_CPU", "PIN_CPUS"),
    ("PIN_VCPU", "PIN_VCPUS"),
    ("PIN_IOTHREAD", "PIN_IOTHREADS"),
    ("PIN_WORKER", "PIN_WORKERS"),
    ("PIN_EMULATORS", "PIN_EMULATOR"),
    ("PIN_THREAD", "PIN_THREADS"),
];

/// Whether a variable of this name asks for threads to be placed: it does so itself, or its name is a
/// misspelling of one that does.
pub(crate) fn asks_for_placement(name: &[u8]) -> bool {
    VARIABLES.iter().any(|variable| variable.places() && variable.name.as_bytes() == name)
        || MISSPELLINGS.iter().any(|(misspelt, _)| misspelt.as_bytes() == name)
}

/// The name as a constant, if it is one of [`VARIABLES`] or of [`MISSPELLINGS`].
pub(crate) fn known(name: &[u8]) -> Option<&'static str> {
    let ours = VARIABLES.iter().map(|variable| variable.name);
    let misspelt = MISSPELLINGS.iter().map(|(misspelt, _)| *misspelt);
    ours.chain(misspelt).find(|ours| ours.as_bytes() == name)
}

/// The place of a variable in [`VARIABLES`]; misspelt names come after all of them.
pub(crate) fn rank(name: &str) -> usize {
    VARIABLES.iter().position(|variable| variable.name == name).unwrap_or(VARIABLES.len())
}
