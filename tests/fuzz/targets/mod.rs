//! The targets, by what they read.

pub(crate) mod command_line;
pub(crate) mod domain_xml;
pub(crate) mod environment;
pub(crate) mod glob;
pub(crate) mod hosts;
pub(crate) mod log_filter;
pub(crate) mod page;
pub(crate) mod policy;
pub(crate) mod set;
pub(crate) mod target_list;
