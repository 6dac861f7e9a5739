//! A VM seen from outside: its QEMU, its status page, who its threads are and where they belong.

pub(crate) mod broker;
pub(crate) mod class;
pub(crate) mod command_line;
pub(crate) mod expected;
pub(crate) mod family;
pub(crate) mod find;
pub(crate) mod holder;
pub(crate) mod homes;
pub(crate) mod identify;
mod layout_1;
pub(crate) mod look;
pub(crate) mod occupied;
pub(crate) mod page;
pub(crate) mod put;
pub(crate) mod qmp;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod unmet;
mod vhost_workers;
mod whole_ids;
