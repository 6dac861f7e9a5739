//! `pinshim generate`: man pages and completions.

use crate::arguments::Generate;
use crate::commands::man_page;
use crate::output::exit_status::SUCCESS;
use crate::output::failure::{Done, Failure};
use std::fs;
use std::path::Path;

/// The completions by file: each asks `pinshim complete`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("pinshim.bash", include_str!("../completions/pinshim.bash")),
    ("_pinshim", include_str!("../completions/_pinshim")),
    ("pinshim.fish", include_str!("../completions/pinshim.fish")),
];

/// Writes what was asked for.
pub(crate) fn generate(arguments: &Generate) -> Done {
    if arguments.man.is_none() && arguments.completions.is_none() {
        return Err(Failure::new("nothing was asked for").next("name a folder with --man or --completions"));
    }
    if let Some(folder) = &arguments.man {
        into(folder, man_page::write_all)?;
    }
    if let Some(folder) = &arguments.completions {
        into(folder, |folder| {
            COMPLETIONS.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
        })?;
    }
    Ok(SUCCESS)
}

fn into(folder: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .and_then(|()| write(folder))
        .map_err(|error| Failure::new(format!("{} cannot be written to: {error}", folder.display())))
}
