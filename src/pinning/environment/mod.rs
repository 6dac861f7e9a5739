//! The environment: the text of the `PIN_*` variables, and the policy that it makes.

mod classes;
mod cpu_item;
mod cpu_list;
mod fault;
mod items;
mod keys;
mod log_filter;
mod memory_policy;
mod mistake;
mod parse;
mod parsed;
mod placement;
mod range;
mod reader;
mod rules;
mod target;
mod variables;

pub use fault::Fault;
pub use mistake::Mistake;
pub use parsed::{OnError, ParsedEnvironment};
pub use target::{DEFAULT_TARGETS, acts_in};
pub use variables::{MAX_VALUE_BYTES, VARIABLES, Variable};
