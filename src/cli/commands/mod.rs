//! The subcommands, one file each.
//!
//! `dry_run` is the text of `run --dry-run` with its line for a `shell`, `auto` is its choice of CPUs, and `repair` the work
//! of `apply`.

pub(crate) mod apply;
pub(crate) mod auto;
pub(crate) mod check;
pub(crate) mod complete;
pub(crate) mod doctor;
pub(crate) mod dry_run;
pub(crate) mod generate;
#[cfg(test)]
mod hostile_text;
pub(crate) mod leases;
pub(crate) mod libvirt;
mod libvirt_disable;
mod libvirt_enable;
pub(crate) mod libvirt_hook;
pub(crate) mod libvirt_keep;
mod libvirt_status;
pub(crate) mod libvirt_take;
pub(crate) mod man_page;
pub(crate) mod metrics;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod require;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod show;
mod waiting;
