//! Chooses host CPUs for a VM.
//!
//! [`plan()`] takes a host's [`Topology`], what is free there ([`Free`]) and a [`Request`], and answers with a [`Plan`]
//! and its reasons, or with what stands in the way ([`NoPlan`]). It is pure: the same question always has the same
//! answer.
//!
//! | module | holds |
//! |---|---|
//! | `topology` | a host's CPUs: packages, NUMA nodes, caches, cores |
//! | `request` | what is asked for, and what is free |
//! | `plan` | the question and the answer |
//! | `reason` | why a plan is as it is, and why there is none |
//! | `arrange` | which thread goes on which of the chosen cores |
//! | `guest` | the guest's topology that fits |
//! | `choose` | which cores: what a user would want most, then what would do |
//! | `search` | the best of all ways to share out cores |
//! | `domains` | the host as a tree, from packages down to cores |
//! | `cost` | what makes one way better than another |

#![forbid(unsafe_code)]

mod arrange;
mod choose;
mod cost;
mod domains;
mod guest;
mod plan;
mod reason;
mod request;
mod search;
mod topology;

pub use guest::GuestTopology;
pub use plan::{Plan, plan};
pub use reason::{NoPlan, Reason};
pub use request::{Free, Request, Taken};
pub use topology::{HostCpu, Topology};
