//! `pinshim`: starts a QEMU under the library, shows where its threads are, proves it and mends it.
//!
//! Only the way in: [`arguments`] says what can be asked, and each subcommand answers in a file of its own.

mod affinity;
mod apply;
mod arguments;
mod check;
mod cpuset;
mod diagnosis;
mod domain_xml;
mod dry_run;
mod elf;
mod expected;
mod failure;
mod find;
mod generate;
mod json;
mod library;
mod libvirt_hook;
mod output;
mod page;
mod process;
mod qmp;
mod reach;
mod run;
mod show;
mod table;
mod threads;
mod verdict;
mod vm;
mod vm_name;
mod watch;

use arguments::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match arguments::read() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let done = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Show(arguments) => show::show(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Apply(arguments) => apply::apply(&arguments),
        Command::LibvirtHook(arguments) => libvirt_hook::libvirt_hook(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
    };
    done.unwrap_or_else(|failure| failure.report())
}
