//! The environment: the text of the `PIN_*` variables, and the policy that it makes.

mod cpu_list;
mod fault;
mod items;
mod log_filter;
mod placement;
mod read;
mod rules;
mod target;
mod variables;

pub use fault::{Fault, Slip};
pub use read::{OnError, Reading};
pub use target::{DEFAULT_TARGETS, acts_in};
pub use variables::{VARIABLES, Variable};
