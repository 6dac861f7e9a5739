//! The fuzz targets. Each takes any bytes for what a stranger may write, and panics if a property does not hold.
//!
//! `scripts/fuzz` searches for such bytes. The tests of the workspace replay `corpus/`, where inputs made by
//! hand and those that were found stand.

// The files that are included have unit tests, which run where the files belong. clippy's --all-targets asks for
// them here too.
#![cfg(not(test))]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a property that does not hold is a panic"
)]

mod broker;
mod cost;
mod targets;

/// What libvirt hands to the hook.
#[allow(dead_code, reason = "the targets need a part of it")]
#[path = "../../src/cli/libvirt"]
mod libvirt {
    pub(crate) mod domain_xml;
    pub(crate) mod faults;
    pub(crate) mod own_threads;
    pub(crate) mod placement_element;
    pub(crate) mod tuning;
}

/// Words for messages.
#[allow(dead_code, reason = "the targets need a part of it")]
#[path = "../../src/cli/output"]
mod output {
    pub(crate) mod text;
}

/// What QEMU's arguments say.
#[allow(dead_code, reason = "the targets need a part of it")]
#[path = "../../src/cli/vm"]
mod vm {
    pub(crate) mod command_line;
}

/// What the broker's messages need.
#[allow(dead_code, unused_macros, unreachable_pub, reason = "the targets need a part of it")]
#[path = "../../src/inside/sys"]
mod sys {
    pub(crate) mod errno;
}

/// Tries one input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("set", targets::set::run),
    ("placement", targets::environment::placement),
    ("rules", targets::environment::rules),
    ("classes", targets::environment::classes),
    ("log_filter", targets::log_filter::run),
    ("target_list", targets::target_list::run),
    ("glob", targets::glob::run),
    ("environment", targets::environment::run),
    ("page", targets::page::run),
    ("changed_page", targets::page::changed),
    ("message", broker::target),
    ("domain_xml", targets::domain_xml::run),
    ("vm_name", targets::command_line::vm_name),
    ("arguments", targets::command_line::run),
];
