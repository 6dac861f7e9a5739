//! The kernel: processes, threads, affinities and cpusets, and what CPUs a host has.
//!
//! Only `linux`, `pass`, `perf` and `rights` make system calls of their own, and only they have unsafe code.

#[forbid(unsafe_code)]
pub(crate) mod cgroup;
#[forbid(unsafe_code)]
pub(crate) mod cpuset;
#[forbid(unsafe_code)]
pub(crate) mod descriptors;
#[forbid(unsafe_code)]
pub(crate) mod ending;
#[cfg(test)]
#[forbid(unsafe_code)]
pub(crate) mod fake;
#[cfg(test)]
#[forbid(unsafe_code)]
mod fake_perf;
#[forbid(unsafe_code)]
pub(crate) mod held;
#[forbid(unsafe_code)]
pub(crate) mod held_file;
#[forbid(unsafe_code)]
pub(crate) mod held_folder;
#[forbid(unsafe_code)]
pub(crate) mod host;
#[forbid(unsafe_code)]
pub(crate) mod host_tree;
#[forbid(unsafe_code)]
pub(crate) mod host_use;
#[forbid(unsafe_code)]
pub(crate) mod interrupts;
#[forbid(unsafe_code)]
pub(crate) mod kernel;
pub(crate) mod linux;
#[forbid(unsafe_code)]
pub(crate) mod locks;
#[forbid(unsafe_code)]
pub(crate) mod near;
#[forbid(unsafe_code)]
pub(crate) mod numa_maps;
pub(crate) mod pass;
pub(crate) mod perf;
#[forbid(unsafe_code)]
pub(crate) mod perf_event;
#[forbid(unsafe_code)]
pub(crate) mod process;
#[forbid(unsafe_code)]
pub(crate) mod program;
pub(crate) mod rights;
#[forbid(unsafe_code)]
pub(crate) mod saved_host;
#[forbid(unsafe_code)]
pub(crate) mod schedstat;
#[forbid(unsafe_code)]
pub(crate) mod thread_cgroup;
#[forbid(unsafe_code)]
pub(crate) mod threads;
#[forbid(unsafe_code)]
pub(crate) mod topology;
#[forbid(unsafe_code)]
pub(crate) mod user;
