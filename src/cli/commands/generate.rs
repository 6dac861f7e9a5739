//! `pinshim generate`: man pages and completions, made from the definition of the arguments.

use crate::arguments::{Arguments, Generate};
use crate::output::exit_status::SUCCESS;
use crate::output::failure::{Done, Failure};
use clap::CommandFactory;
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// Writes what was asked for.
pub(crate) fn generate(arguments: &Generate) -> Done {
    if arguments.man.is_none() && arguments.completions.is_none() {
        return Err(Failure::new("nothing was asked for").next("name a folder with --man or --completions"));
    }
    if let Some(folder) = &arguments.man {
        into(folder, |folder| clap_mangen::generate_to(Arguments::command(), folder))?;
    }
    if let Some(folder) = &arguments.completions {
        into(folder, |folder| {
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                clap_complete::generate_to(shell, &mut Arguments::command(), "pinshim", folder)?;
            }
            Ok(())
        })?;
    }
    Ok(SUCCESS)
}

fn into(folder: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .and_then(|()| write(folder))
        .map_err(|error| Failure::new(format!("{} cannot be written to: {error}", folder.display())))
}
