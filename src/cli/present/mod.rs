//! How what was seen of a VM is written: a report with a table for people, JSON for programs.

pub(crate) mod by_cpu;
pub(crate) mod doctor;
pub(crate) mod json;
pub(crate) mod metrics;
pub(crate) mod perfetto;
pub(crate) mod picture;
pub(crate) mod plan;
pub(crate) mod recorded;
pub(crate) mod standing;
pub(crate) mod table;
pub(crate) mod vm_report;
