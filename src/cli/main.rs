//! `pinshim`: starts a QEMU under the library, shows where its threads are, proves it and mends it.
//!
//! Only the way in: [`arguments`] says what can be asked, and each subcommand answers in a file of its own.

mod arguments;
mod commands;
mod libvirt;
mod output;
mod preload;
mod present;
mod sys;
mod verdict;
mod vm;

use arguments::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::read() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let done = match arguments.command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Show(arguments) => commands::show::show(&arguments),
        Command::Check(arguments) => commands::check::check(&arguments),
        Command::Apply(arguments) => commands::apply::apply(&arguments),
        Command::LibvirtHook(arguments) => commands::libvirt_hook::libvirt_hook(&arguments),
        Command::Generate(arguments) => commands::generate::generate(&arguments),
    };
    done.unwrap_or_else(|failure| failure.report())
}
