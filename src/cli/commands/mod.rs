//! One file a subcommand, and what `run --dry-run` prints.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod dry_run;
pub(crate) mod generate;
pub(crate) mod libvirt_hook;
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod show;
