//! What can be asked of the command: the one definition of subcommands and options.
//!
//! Help, man pages and completions are all made from it, so that none of them can say anything else.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Puts every thread of a QEMU on the CPUs you name, and shows that it is there.
#[derive(Debug, Parser)]
#[command(name = "pinshim", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(hide = true)]
    Generate(Generate),
}

/// Writes the man pages and shell completions.
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// Write the man pages into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) man: Option<PathBuf>,

    /// Write the completions for bash, zsh and fish into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) completions: Option<PathBuf>,
}

/// The arguments of this process; or, where it has already said all there is to say, how to exit.
pub(crate) fn read() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        // Nothing can be done where even this cannot be written.
        let _ = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(crate::failure::FAILED))
    })
}
