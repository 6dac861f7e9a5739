//! `pinshim complete`: what could come next on a line, for the completions of shells.
//!
//! The first line of the answer is its kind. `words`: each further line is a word, then maybe a tab and what it means.
//! `files`: names of files. `command N`: a command of its own begins at the word N of those that were given.

use crate::arguments::{Arguments, Complete};
use crate::output::exit_status::SUCCESS;
use crate::output::failure::Done;
use crate::output::print::Output;
use crate::output::text::is_plain_word;
use crate::sys::kernel::Kernel;
use crate::vm::find;
use clap::{Arg, Command, CommandFactory, ValueHint};
use std::ffi::OsString;

/// Answers.
pub(crate) fn complete(arguments: &Complete, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let mut command = Arguments::command();
    command.build();
    match answer(&command, &arguments.words) {
        Answer::Words(words) => say_words(output, words),
        Answer::Vms => say_words(output, vms(kernel)),
        Answer::Files => output.line("files"),
        Answer::Command(at) => output.line(format_args!("command {at}")),
    }
    Ok(SUCCESS)
}

/// A word with what it means.
type Candidate = (String, String);

/// A tab has its meaning here, so the words are written one by one: what is harmful in them is not.
fn say_words(output: &mut Output, words: Vec<Candidate>) {
    output.line("words");
    for (word, meaning) in words {
        output.pair(&word, &meaning);
    }
}

/// What could come next.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Words(Vec<Candidate>),
    Vms,
    Files,
    Command(usize),
}

/// What could be the last of these words, which is not there yet or not whole.
fn answer(root: &Command, words: &[OsString]) -> Answer {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Some((current, before)) = words.split_last() else { return Answer::Words(Vec::new()) };
    let mut command = root;
    let mut value_of = None;
    let mut options_end = false;
    for (at, word) in before.iter().enumerate() {
        if value_of.take().is_some() {
            continue;
        }
        if !options_end && word == "--" {
            options_end = true;
        } else if !options_end && word.len() > 1 && word.starts_with('-') {
            value_of = option(command, word).filter(|option| option.get_action().takes_values());
        } else if takes_a_command(command) {
            return Answer::Command(at);
        } else {
            command = command.find_subcommand(word).unwrap_or(command);
        }
    }
    if let Some(option) = value_of {
        return value(option);
    }
    if !options_end && current.starts_with('-') {
        return Answer::Words(options(command, current));
    }
    if takes_a_command(command) {
        return Answer::Command(before.len());
    }
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let subcommands =
        subcommands.map(|subcommand| (subcommand.get_name().to_owned(), about(subcommand.get_about())));
    let subcommands: Vec<Candidate> = subcommands.filter(|(name, _)| name.starts_with(current)).collect();
    match command.get_positionals().next() {
        Some(argument) if subcommands.is_empty() => value(argument),
        _ => Answer::Words(subcommands),
    }
}

/// Whether the first word that is no option begins a command with its own arguments.
fn takes_a_command(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

/// The option of a word whose value is the word after it.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut options = command.get_arguments().filter(|argument| !argument.is_positional());
    match word.strip_prefix("--") {
        Some(long) => options.find(|option| option.get_long() == Some(long)),
        None => {
            options.find(|option| option.get_short().is_some() && option.get_short() == word.chars().last())
        }
    }
}

fn options(command: &Command, current: &str) -> Vec<Candidate> {
    let options = command
        .get_opts()
        .chain(command.get_arguments().filter(|argument| !argument.get_action().takes_values()));
    let mut words: Vec<Candidate> = options
        .filter(|option| !option.is_hide_set() && !option.is_positional())
        .filter_map(|option| Some((format!("--{}", option.get_long()?), about(option.get_help()))))
        .filter(|(word, _)| word.starts_with(current))
        .collect();
    words.sort();
    words.dedup();
    words
}

/// The values of an option or of an argument.
fn value(argument: &Arg) -> Answer {
    let names = argument.get_value_names().unwrap_or_default();
    if names.iter().any(|name| name.split(" | ").any(|name| ["PID", "VM-NAME"].contains(&name))) {
        return Answer::Vms;
    }
    if argument.get_value_hint() == ValueHint::AnyPath {
        return Answer::Files;
    }
    let values = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    Answer::Words(values.map(|value| (value.get_name().to_owned(), about(value.get_help()))).collect())
}

/// The first line of a help.
fn about(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// The VMs of this host, by name where that needs no quotes in any shell, and by id.
fn vms(kernel: &dyn Kernel) -> Vec<Candidate> {
    let vms = find::all(kernel).and_then(find::Found::into_vms).unwrap_or_default();
    let candidates = vms.iter().flat_map(|vm| {
        let by_name = vm
            .name
            .clone()
            .filter(|name| is_plain_word(name))
            .map(|name| (name, format!("PID {}", vm.process.pid)));
        by_name.into_iter().chain([(vm.process.pid.to_string(), vm.name.clone().unwrap_or_default())])
    });
    candidates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::transcript::said;
    use crate::sys::fake::FakeKernel;
    use crate::vm::sample::web;

    /// The words that are offered at the end of a line, or the kind of the answer.
    fn offered(line: &str) -> Vec<String> {
        let mut command = Arguments::command();
        command.build();
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match answer(&command, &words) {
            Answer::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn subcommands_are_offered_but_for_hidden_ones() {
        for line in ["", "help "] {
            let words = offered(line);
            for subcommand in ["run", "show", "check", "apply", "doctor"] {
                assert!(words.iter().any(|word| word == subcommand), "{line}: {words:?}");
            }
            for hidden in ["generate", "libvirt-hook", "complete", "require"] {
                assert!(!words.iter().any(|word| word == hidden), "{line}: {words:?}");
            }
        }
        assert_eq!(offered("sh"), ["show"]);
        assert_eq!(offered("nonsense"), [""; 0]);
    }

    #[test]
    fn options_and_their_values_are_offered() {
        assert_eq!(offered("run --dr"), ["--dry-run"]);
        assert!(offered("show --").contains(&"--json".to_owned()));
        assert!(offered("check --").contains(&"--help".to_owned()));
        assert_eq!(offered("check web --qmp "), ["Files"]);
        assert_eq!(offered("check web --for "), [""; 0]);
        assert!(offered("plan --format ").contains(&"json".to_owned()));
    }

    #[test]
    fn where_a_vm_is_named_vms_are_offered() {
        for line in
            ["show ", "show web ", "check ", "apply --dry-run w", "show --watch 1 ", "show -p ", "check -- "]
        {
            assert_eq!(offered(line), ["Vms"], "{line}");
        }
    }

    #[test]
    fn behind_the_options_of_run_a_command_begins() {
        assert_eq!(offered("run --cpus 1 -- qemu"), ["Command(4)"]);
        assert_eq!(offered("run --cpus 1 qemu-system-x86_64 -smp"), ["Command(3)"]);
        assert_eq!(offered("run --dry-run "), ["Command(2)"]);
        assert_eq!(offered("run --cpus "), [""; 0]);
    }

    #[test]
    fn a_name_that_a_shell_would_not_take_as_it_is_is_left_out() {
        let kernel = FakeKernel::new();
        web(&kernel);
        kernel.process(200, &["/usr/bin/qemu-system-x86_64", "-name", "a;b\n\tc"]).thread(200, "q", "0");
        let arguments = Complete { words: vec!["show".into(), "".into()] };
        let (status, text) = said(|output| complete(&arguments, &kernel, output));
        assert_eq!((status, &*text), (0, "words\nweb\tPID 100\n100\tweb\n200\ta;b??c\n"));
    }
}
