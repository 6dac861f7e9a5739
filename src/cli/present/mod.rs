//! How a look at a VM is written down: a table for people, JSON for programs.

pub(crate) mod json;
pub(crate) mod table;
pub(crate) mod vm_report;
