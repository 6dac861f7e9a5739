//! `pinshim show --leases`: which CPUs are leased, by whom.

use crate::lease::folder::Folder;
use crate::lease::taken::{self, Leased};
use crate::output::exit_status::SUCCESS;
use crate::output::failure::Done;
use crate::output::print::Output;
use crate::present::json;
use crate::sys::kernel::Kernel;
use serde::Serialize;

/// Shows the leases of this user's folder.
pub(crate) fn show(as_json: bool, kernel: &dyn Kernel, output: &mut Output) -> Done {
    let folder = Folder::of_user(kernel)?;
    let mutex = folder.mutex(kernel)?;
    let leased = taken::leased(kernel, &folder, &mutex)?;
    if as_json {
        json::print(output, &Leases::new(&leased))?;
    } else {
        output.lines(lines(&leased));
    }
    Ok(SUCCESS)
}

/// A line for each process.
fn lines(leased: &[Leased]) -> Vec<String> {
    if leased.is_empty() {
        return vec!["no CPU is leased".to_owned()];
    }
    let line = |leased: &Leased| {
        let by =
            leased.pid.map_or("nobody that this user can see".to_owned(), |pid| format!("process {pid}"));
        format!("{} by {by}", leased.cpus)
    };
    leased.iter().map(line).collect()
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Leases {
    version: u32,
    leases: Vec<LeasedCpus>,
}

#[derive(Debug, Serialize)]
struct LeasedCpus {
    cpus: String,
    pid: Option<i32>,
}

impl Leases {
    fn new(leased: &[Leased]) -> Self {
        let of = |leased: &Leased| LeasedCpus { cpus: leased.cpus.to_string(), pid: leased.pid };
        Self { version: json::VERSION, leases: leased.iter().map(of).collect() }
    }
}
