//! `pinshim`: starts a QEMU under the library, shows where its threads are, proves it and mends it.
//!
//! Only the way in: [`arguments`] says what can be asked, and each subcommand answers in a file of its own.

mod arguments;
mod failure;
mod generate;

use arguments::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::read() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let done = match arguments.command {
        Command::Generate(arguments) => generate::generate(&arguments),
    };
    done.unwrap_or_else(|failure| failure.report())
}
