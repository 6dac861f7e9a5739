//! The library as ld.so(8) sees it: where the file is, and whether a preload of it reaches a command and
//! what that starts.

pub(crate) mod elf;
pub(crate) mod launchers;
pub(crate) mod library;
pub(crate) mod reach;
