//! `pinshim`: starts a QEMU under the library, shows where its threads are, proves that they are where they
//! belong, and moves those back that are not.
//!
//! # Where things are
//! A room imports only from rooms further down in this table; tests/floors.rs holds it to that.
//!
//! | room | what is in it |
//! |---|---|
//! | [`commands`] | one file for each subcommand |
//! | [`present`] | how a look at a VM is written: a table for people, JSON for programs |
//! | [`doctor`] | what on a host works against pinning |
//! | [`verdict`], [`libvirt`] | whether threads are where they belong; what libvirt's hook needs |
//! | [`record`] | every run of every thread for a time |
//! | [`lease`] | CPUs that a VM has for itself |
//! | [`vm`] | a VM seen from outside: its QEMU, its status page, who its threads are and where they belong |
//! | [`sys`], [`preload`], [`arguments`] | the kernel; the library as ld.so sees it; the command line |
//! | [`output`] | stdout, stderr and exit statuses |

#[forbid(unsafe_code)]
mod arguments;
#[forbid(unsafe_code)]
mod commands;
#[forbid(unsafe_code)]
mod doctor;
#[forbid(unsafe_code)]
mod lease;
#[forbid(unsafe_code)]
mod libvirt;
#[forbid(unsafe_code)]
mod output;
#[forbid(unsafe_code)]
mod preload;
#[forbid(unsafe_code)]
mod present;
#[forbid(unsafe_code)]
mod record;
mod sys;
#[forbid(unsafe_code)]
mod verdict;
#[forbid(unsafe_code)]
mod vm;

use arguments::Command;
use output::print::Output;
use std::process::ExitCode;
use sys::linux::Linux;

fn main() -> ExitCode {
    let mut output = Output::standard();
    let arguments = match arguments::read(&mut output) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let kernel = Linux::new();
    let done = match arguments.command {
        Command::Run(arguments) => commands::run::run(&arguments, &kernel, &mut output),
        Command::Show(arguments) => commands::show::show(&arguments, &kernel, &mut output),
        Command::Check(arguments) => commands::check::check(&arguments, &kernel, &mut output),
        Command::Record(arguments) => commands::record::record(&arguments, &kernel, &mut output),
        Command::Apply(arguments) => commands::apply::apply(&arguments, &kernel, &mut output),
        Command::Metrics(arguments) => commands::metrics::metrics(&arguments, &kernel, &mut output),
        Command::Plan(arguments) => commands::plan::plan_vms(&arguments, &kernel, &mut output),
        Command::Doctor(arguments) => commands::doctor::doctor(&arguments, &kernel, &mut output),
        Command::Libvirt(arguments) => commands::libvirt::libvirt(&arguments, &kernel, &mut output),
        Command::Require(arguments) => commands::require::require(&arguments, &kernel, &mut output),
        Command::LibvirtHook(arguments) => commands::libvirt_hook::libvirt_hook(&arguments, &kernel),
        Command::LibvirtKeep(arguments) => commands::libvirt_keep::libvirt_keep(&arguments, &kernel),
        Command::LibvirtTake(arguments) => commands::libvirt_take::libvirt_take(&arguments),
        Command::Generate(arguments) => commands::generate::generate(&arguments),
        Command::Complete(arguments) => commands::complete::complete(&arguments, &kernel, &mut output),
    };
    ExitCode::from(done.unwrap_or_else(|failure| failure.report(&mut output)))
}
