//! The man pages: one for each subcommand, made from the definition of the arguments, one for the variables, made from
//! their table, and one for qemu-pinned(1).
//!
//! clap_mangen writes what it knows. What stands after the options it would fill like prose, examples included.

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use pinning::VARIABLES;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::arguments::Arguments;

/// No hyphenation, which would break names and options, and no stretched lines. groff 1.24 sets both anew at each paragraph,
/// by the last two.
const NO_FILLING_UP: &str = ".nh\n.ad l\n.nr HY 0\n.ds AD l\n";

const QEMU_PINNED: &str = include_str!("../man/qemu-pinned.1");
const ENVIRONMENT: &str = include_str!("../man/pinshim-environment.7");

/// Writes all pages into a folder.
pub(crate) fn write_all(folder: &Path) -> io::Result<()> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    write_pages(&root, &root, folder)?;
    fs::write(folder.join("qemu-pinned.1"), QEMU_PINNED)?;
    fs::write(folder.join("pinshim-environment.7"), environment())
}

/// Writes the page of a command, and those of its subcommands.
fn write_pages(root: &Command, command: &Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(root, command, name)?)?;
    visible(command).try_for_each(|subcommand| write_pages(root, subcommand, folder))
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set())
}

fn page(root: &Command, command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    // What the sections below use for an apostrophe.
    page.extend(b".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n");
    // Not as clap_mangen writes it, which leaves empty arguments out.
    write!(page, ".TH {} 1 \"\" pinshim pinshim\n{NO_FILLING_UP}", text(&name.to_uppercase()))?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if visible(command).next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let after = after.unwrap_or_default();
    let (status, examples) = after.split_once("Examples:\n").unwrap_or((&after, ""));
    if let Some(status) = status.trim().strip_prefix("Exit status: ") {
        write!(page, ".SH \"EXIT STATUS\"\n{}\n", text(&sentence(status)))?;
    }
    page.extend(SHARED.as_bytes());
    if !examples.is_empty() {
        page.extend(b".SH EXAMPLES\n.nf\n.RS 4\n");
        for line in examples.lines() {
            writeln!(page, "{}", text(line.trim_start()))?;
        }
        page.extend(b".RE\n.fi\n");
    }
    let pages = visible(root).map(|other| format!("pinshim-{}", other.get_name()));
    let pages = ["pinshim".to_owned()].into_iter().chain(pages).filter(|other| other != name);
    let pages: Vec<String> = pages.map(|other| format!(".BR {} (1),\n", text(&other))).collect();
    write!(
        page,
        ".SH \"SEE ALSO\"\n{}.BR qemu\\-pinned (1),\n.BR pinshim\\-environment (7)\n",
        pages.concat()
    )?;
    Ok(without_empty_lines(&page))
}

/// What every subcommand heeds.
const SHARED: &str = ".SH ENVIRONMENT\n\
.TP\n.B PIN_*\nWhere the threads belong:\n.BR pinshim\\-environment (7).\n\
.TP\n.B PINSHIM_LIB\nThe library. Else\n.I libpinshim.so\nis looked for beside the command, in\n.I ../lib\nand\n\
.I ../lib64\nfrom there, and in the usual library folders.\n\
.TP\n.B NO_COLOR\nIf it is not empty, nothing is coloured. Nor is it where TERM is dumb or not set.\n\
.SH FILES\n\
.TP\n.I /proc/PID/fd\nOf a pinned QEMU it has the status page, a memory file that is called pinshim.\n\
.TP\n.I /etc/pinshim/domains/UUID.env\nThe pinning of a libvirt domain, as the administrator wants it.\n";

fn environment() -> String {
    let variables = VARIABLES.iter().map(|variable| {
        format!(
            ".TP\n.BR {} \" (\\fI{}\\fP)\"\n{}.\nIf it is not set: {}.\n",
            variable.name,
            text(variable.value),
            text(variable.meaning),
            text(variable.when_unset)
        )
    });
    format!(
        ".TH PINSHIM\\-ENVIRONMENT 7 \"\" \"pinshim\" \"pinshim\"\n{NO_FILLING_UP}\
         .SH NAME\npinshim\\-environment \\- the variables that say where the threads of a QEMU run\n\
         .SH DESCRIPTION\n\
         .I libpinshim.so\nin LD_PRELOAD reads these variables once, before QEMU begins. The options of\n\
         .BR pinshim\\-run (1)\nset the variables of their names.\n\
         .SH ENVIRONMENT\n{}{ENVIRONMENT}",
        variables.collect::<String>()
    )
}

/// A text as roff prints it, without a macro at the beginning of a line.
fn text(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('^', "\\(ha");
    let text = text.replace('`', "\\(ga").replace('~', "\\(ti").replace('…', "...");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

/// The text with a large letter at its beginning.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The page without empty lines, which clap_mangen leaves where the help of an option has two paragraphs.
fn without_empty_lines(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page).replace("\n\n", "\n.sp\n");
    page.replace("\n.br\n.sp\n.br\n", "\n.sp\n").into_bytes()
}
