//! The library as ld.so sees it: where it is, and whether a preload reaches a command.

pub(crate) mod elf;
pub(crate) mod library;
pub(crate) mod reach;
