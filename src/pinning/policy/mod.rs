//! The policy: on which CPUs each thread of the VM belongs.

mod classes;
mod host;
mod placement;
#[allow(clippy::module_inception, reason = "the room is named for the type that it is about")]
mod policy;
mod real_time;
mod sets;
mod unmet;
mod vhost;

pub(crate) use classes::Classes;
pub use host::Host;
pub use placement::{IoThreadId, Placement, VCPU_LIMIT, VcpuRange, VhostRange};
pub use policy::{COMM_BYTES, Manager, Policy, RuleIndex};
pub(crate) use real_time::{Hang, hang};
pub use sets::SetId;
pub(crate) use sets::{ALL_SETS_LIMIT, BASE, SETS_LIMIT, Sets};
pub use unmet::Unmet;
pub(crate) use vhost::VhostPlacement;
